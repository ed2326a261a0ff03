"""`text_agreement`, from what was read in a sample's images, and `picture_agreement`, with `alignment`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.steps.score.ocr import IMAGE_TEXT
from curation.steps.score.scored import Scored
from curation.storage.rows import ShardRows, gather, places
from schemas.stages import Linked, Task
from scorers.picture_agreement import PictureAgreement
from scorers.text_agreement import TextAgreement

READ = ["lines", "n_words", "text_share"]


@dataclass(frozen=True)
class ReadSamples:
    """Samples, and what was read in their images: image j of sample i is row offsets[i] + j."""

    rows: pa.RecordBatch
    offsets: NDArray[np.int64]  # (n + 1,)
    images: pa.Table


def _read(task: Task, rows: pa.RecordBatch) -> ReadSamples:
    offsets, shards, numbers = places(rows["places"])
    if len(shards):
        images = gather(task.inputs["image_text"], shards, numbers, READ)
    else:
        images = IMAGE_TEXT.empty_table().select(READ)
    return ReadSamples(rows.select(["uid", "turns", "error"]), offsets, images)


READ_SAMPLES = ShardRows(
    (("samples", ("uid", "turns")), ("checked", ("error",)), ("image_places", ("places",))),
    256,
    (Linked("image_text", through="image_places"),),
    _read,
)
BOTH = ShardRows(
    (("alignment", ("uid", "alignment")), ("text_agreement", ("text_agreement", "n_image_words"))), 1024
)


def text_agreement_stages() -> list[Scored]:
    """See `scorers.text_agreement` and `scorers.picture_agreement`."""
    text, both = TextAgreement(), PictureAgreement()
    return [
        Scored(text.name, text.version, text.writes, READ_SAMPLES, text.score),
        Scored(both.name, both.version, both.writes, BOTH, both.score),
    ]
