"""`image_vectors`: each distinct image embedded once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.models.resolved import Model
from curation.steps.ingest.images import Decoded, DistinctImages
from curation.storage.rows import vector_array
from schemas.columns import SHA256, vector


@dataclass(frozen=True)
class EmbedImages:
    """`image_vectors`: one unit vector a distinct image, null where it cannot be decoded."""

    source: DistinctImages
    model: Model
    name: str = "image_vectors"

    version: ClassVar[int] = 1

    @property
    def writes(self) -> pa.Schema:
        return pa.schema([SHA256, vector("vector", self.model.dim)])

    def params(self) -> dict[str, Any]:
        return {"model": self.model.key, "batch": self.source.batch, "max_pixels": self.source.max_pixels}

    def prepare(self, piece: Decoded) -> tuple[bytes, NDArray[np.uint8] | None]:
        pixels = None if piece.image is None else self.model.encoder().preprocess(piece.image)
        return piece.sha256, pixels

    def finish(
        self, rows: pa.RecordBatch, prepared: list[tuple[bytes, NDArray[np.uint8] | None]]
    ) -> pa.RecordBatch:
        encoder = self.model.encoder()
        # The batch always has the same shape: a smaller one could change the bits of the rows in it.
        pixels = np.zeros((self.source.batch, 3, *encoder.image_size), np.uint8)
        present = np.zeros(len(prepared), bool)
        for row, (_, image) in enumerate(prepared):
            if image is not None:
                pixels[row], present[row] = image, True
        vectors = np.asarray(encoder.encode_images(pixels))[: len(prepared)]
        hashes = pa.array([sha256 for sha256, _ in prepared], pa.binary(32))
        return pa.record_batch([hashes, vector_array(vectors, present)], schema=self.writes)
