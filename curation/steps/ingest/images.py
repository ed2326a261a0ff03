"""Each distinct image once: decoded in threads, measured into `images`, embedded into `image_vectors`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from curation.readers.images import BadImage, as_ingested, decode, fetch, to_rgb
from curation.storage.store import read_shard
from schemas.columns import IMAGES
from schemas.errors import EXTREME_ASPECT, STAGE_FAILED
from schemas.stages import Aligned, Input, Task
from scorers.image_figures import measure
from scorers.image_marks import marks

if TYPE_CHECKING:
    from PIL import Image

MOST_ASPECT = 200


@dataclass(frozen=True)
class Decoded:
    """One distinct image, or why there is none."""

    sha256: bytes
    n_bytes: int
    image: Image.Image | None
    format: str | None = None
    mode: str | None = None
    marks: dict[str, str | None] = field(default_factory=dict)
    error: BadImage | None = None


@dataclass(frozen=True)
class DistinctImages:
    """Source: the images first seen in a shard of the pool, `batch` at a time, decoded one by one."""

    batch: int
    max_pixels: int

    inputs: ClassVar[tuple[Input, ...]] = (Aligned("distinct_images"), Aligned("samples"))

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        index = read_shard(task.path("distinct_images"))
        yield from index.combine_chunks().to_batches(max_chunksize=self.batch)

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[Decoded]:
        refs = _references(task.path("samples"))
        wanted = [
            refs[sample][position]
            for sample, position in zip(
                rows["sample_row"].to_pylist(), rows["position"].to_pylist(), strict=True
            )
        ]
        for ref, data in zip(wanted, fetch(wanted), strict=True):
            yield self._decode(ref, data)

    def _decode(self, ref: dict[str, Any], data: bytes | BadImage) -> Decoded:
        data = as_ingested(ref, data)
        try:
            image = decode(data, max_pixels=self.max_pixels)
        except BadImage as error:
            return Decoded(ref["sha256"], len(data), None, error=error)
        longer, shorter = max(image.size), min(image.size)
        if longer > MOST_ASPECT * shorter:
            # Scaled to an encoder's shorter side it would fill the memory.
            narrow = BadImage(EXTREME_ASPECT, f"the image has {image.width} x {image.height} pixels")
            return Decoded(ref["sha256"], len(data), None, error=narrow)
        marked = marks(image, data)
        return Decoded(ref["sha256"], len(data), to_rgb(image), image.format, image.mode, marked)

    def failed(self, piece: Decoded, error: Exception) -> Decoded:
        """An image on which a stage raised is a bad image."""
        sentence = f"a stage failed on the image: {type(error).__name__}: {error}"
        return Decoded(piece.sha256, piece.n_bytes, None, error=BadImage(STAGE_FAILED, sentence))


@lru_cache(maxsize=8)
def _references(path: str) -> list[list[dict[str, Any]]]:
    refs: list[list[dict[str, Any]]] = read_shard(path, ["images"])["images"].to_pylist()
    return refs


@dataclass(frozen=True)
class Figures:
    """`images`: size, format, hash, figures, marks of origin; the error of what cannot be decoded."""

    source: DistinctImages

    name: ClassVar[str] = "images"
    version: ClassVar[int] = 6
    writes: ClassVar[pa.Schema] = IMAGES

    def params(self) -> dict[str, Any]:
        # What decodes and hashes is part of the result.
        return {
            "max_pixels": self.source.max_pixels,
            "pillow": version("pillow"),
            "imagehash": version("imagehash"),
        }

    def prepare(self, piece: Decoded) -> dict[str, Any]:
        row: dict[str, Any] = {"sha256": piece.sha256, "n_bytes": piece.n_bytes}
        if piece.image is None:
            assert piece.error is not None
            return {**row, "error": piece.error.code, "error_message": str(piece.error)}
        return {**row, "format": piece.format, "mode": piece.mode, **piece.marks, **measure(piece.image)}

    def finish(self, rows: pa.RecordBatch, prepared: list[dict[str, Any]]) -> pa.RecordBatch:
        return pa.RecordBatch.from_pylist(prepared, schema=IMAGES)
