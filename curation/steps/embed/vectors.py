"""Vectors of samples from those of their images and chunks (`vectors`), and their agreement (`cosines`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clustering.vectors import unit
from curation.storage.rows import gather, places, vector_array, vectors
from curation.storage.store import read_shard
from schemas.columns import UID, vector
from schemas.stages import Aligned, Input, Linked, Prepared, Task


@dataclass(frozen=True)
class SampleVectors:
    """Per sample the vectors of its images and chunks, ragged by offsets. Bad samples have none of either."""

    uid: pa.Array
    image_offsets: NDArray[np.int64]  # (n + 1,)
    images: NDArray[np.float32]  # (n_images, d) unit rows
    chunk_offsets: NDArray[np.int64]
    chunks: NDArray[np.float32]


@dataclass(frozen=True)
class Embedded:
    """Source: samples with the vectors of their images and chunks.

    `prefix` is that of the names of the tables that an encoder fills.
    """

    dim: int
    prefix: str = ""

    batch: ClassVar[int] = 1024

    @property
    def inputs(self) -> tuple[Input, ...]:
        return (
            Aligned("checked"),
            Aligned("image_places"),
            Aligned(f"{self.prefix}chunk_places"),
            Linked(f"{self.prefix}image_vectors", through="image_places"),
            Linked(f"{self.prefix}chunk_vectors", through=f"{self.prefix}chunk_places"),
        )

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        parts = {
            "checked": read_shard(task.path("checked"), ["uid", "error"]),
            "image": read_shard(task.path("image_places")),
            "chunk": read_shard(task.path(f"{self.prefix}chunk_places")),
        }
        table = pa.table(
            {
                "uid": parts["checked"]["uid"],
                "error": parts["checked"]["error"],
                "image_places": parts["image"]["places"],
                "chunk_places": parts["chunk"]["places"],
            }
        )
        yield from table.combine_chunks().to_batches(max_chunksize=self.batch)

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[SampleVectors]:
        good = rows["error"].is_null().to_numpy(zero_copy_only=False)
        images = self._ragged(task, f"{self.prefix}image_vectors", rows["image_places"], good)
        chunks = self._ragged(task, f"{self.prefix}chunk_vectors", rows["chunk_places"], good)
        yield SampleVectors(rows["uid"], *images, *chunks)

    def _ragged(
        self, task: Task, table: str, column: pa.ListArray, good: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        offsets, shards, rows = places(column)
        keep = np.repeat(good, np.diff(offsets))
        kept_offsets = np.concatenate([[0], np.cumsum(np.diff(offsets) * good)])
        if not keep.any():
            return kept_offsets, np.zeros((0, self.dim), np.float32)
        return kept_offsets, vectors(
            gather(task.inputs[table], shards[keep], rows[keep], ["vector"])["vector"]
        )


@dataclass(frozen=True)
class MeanVectors(Prepared):
    """`vectors`: per modality the renormalised mean; `images` holds every vector where there are several."""

    source: Embedded
    name: str = "vectors"

    version: ClassVar[int] = 1

    @property
    def writes(self) -> pa.Schema:
        several = pa.field("images", pa.list_(pa.list_(pa.float32(), self.source.dim)))
        return pa.schema([UID, vector("image", self.source.dim), vector("text", self.source.dim), several])

    def params(self) -> dict[str, Any]:
        return {}

    def prepare(self, piece: SampleVectors) -> pa.RecordBatch:
        image = _means(piece.images, piece.image_offsets)
        text = _means(piece.chunks, piece.chunk_offsets)
        several = _several(piece.images, piece.image_offsets)
        return pa.record_batch([piece.uid, image, text, several], schema=self.writes)


def _means(rows: NDArray[np.float32], offsets: NDArray[np.int64]) -> pa.FixedSizeListArray:
    counts = np.diff(offsets)
    present = counts > 0
    sums = np.zeros((len(counts), rows.shape[1]), np.float64)
    if present.any():
        sums[present] = np.add.reduceat(rows.astype(np.float64), offsets[:-1][present], axis=0)
    means = unit(sums).astype(np.float32)
    # One vector stays as it is: renormalising would change its last bits.
    single = counts == 1
    means[single] = rows[offsets[:-1][single]]
    return vector_array(means, present)


def _several(rows: NDArray[np.float32], offsets: NDArray[np.int64]) -> pa.ListArray:
    counts = np.diff(offsets)
    several = counts > 1
    flat = vector_array(rows[np.repeat(several, counts)], np.ones(int(counts[several].sum()), bool))
    ends = np.concatenate([[0], np.cumsum(np.where(several, counts, 0))])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), flat, mask=pa.array(~several))
