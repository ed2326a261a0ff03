"""`cosines`: mean over chunks of the maximum over images, in [-1, 1], higher is better; else null."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from curation.steps.embed.vectors import Embedded, SampleVectors
from curation.steps.score.scored import Scored
from scorers.alignment import alignment

COSINE = pa.field("cosine", pa.float32())


def cosine_stage(dim: int) -> Scored:
    """The raw agreement of image and text by an encoder whose vectors have `dim` numbers."""
    return Scored("cosines", 1, pa.schema([COSINE]), Embedded(dim), _cosines)


def _cosines(piece: SampleVectors) -> pa.RecordBatch:
    cosine = alignment(piece.images, piece.image_offsets, piece.chunks, piece.chunk_offsets)
    return pa.record_batch([pa.array(cosine.astype(np.float32), mask=np.isnan(cosine))], ["cosine"])
