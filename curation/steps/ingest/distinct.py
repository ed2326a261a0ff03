"""Decide once which shard computes which distinct image or text chunk. Reads hashes only.

Shard p of the index holds the items first seen in shard p of the pool, so a dataset that is added at the end
changes no shard before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.storage.ids import first_of, words
from schemas.stages import Output, Pool

PLACES = pa.field(
    "places",
    pa.list_(pa.struct([pa.field("shard", pa.int32()), pa.field("row", pa.int32())])),
    nullable=False,
)
INDEX = pa.schema(
    [
        pa.field("sample_row", pa.int32(), nullable=False),  # row in the pool's shard of the same number
        pa.field("position", pa.int32(), nullable=False),  # which of that sample's items
    ]
)


@dataclass(frozen=True)
class Distinct:
    """Items of `table`'s list column `column`, hashed in its field `hash`: an index of firsts, and places."""

    name: str
    table: str
    column: str  # dotted path of the hash in Parquet
    index: str
    places: str

    version: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.table,)

    @property
    def writes(self) -> dict[str, pa.Schema]:
        return {self.index: INDEX, self.places: pa.schema([PLACES])}

    def params(self) -> dict[str, Any]:
        return {"column": self.column}

    @property
    def alike(self) -> str:
        """Its tables have as many shards."""
        return self.table

    def run(self, pool: Pool) -> Iterator[Output]:
        hashes, sizes = self._hashes(pool)
        first = first_of(hashes)
        del hashes
        shard_of = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        is_first = first == np.arange(len(first))
        # The row of a first item in its index shard: how many firsts precede it there.
        rank = np.cumsum(is_first, dtype=np.int32) - 1
        before = np.concatenate([[0], np.cumsum(np.bincount(shard_of[is_first], minlength=len(sizes)))])
        start = 0
        for column, size in zip(self._columns(pool), sizes, strict=True):
            part = slice(start, start + size)
            start += size
            shards = shard_of[first[part]]
            rows = (rank[first[part]] - before[shards]).astype(np.int32)
            yield Output(self.index, _index(column, is_first[part]))
            yield Output(self.places, _places(column, shards, rows), links=np.unique(shards).tolist())

    def _hashes(self, pool: Pool) -> tuple[NDArray[np.uint64], list[int]]:
        """(n, 2) half of each item's hash, and how many items each shard has."""
        parts = [words(_leaf(column)) for column in self._columns(pool)]
        return np.concatenate([np.zeros((0, 2), np.uint64), *parts]), [len(part) for part in parts]

    def _columns(self, pool: Pool) -> Iterator[pa.ListArray]:
        """The lists of each shard. They are read twice, as only halves of the hashes are held."""
        return (shard.column(0).combine_chunks() for shard in pool.iterate(self.table, [self.column]))


def _leaf(lists: pa.ListArray) -> pa.Array:
    """The flat hashes of a column list<binary> or list<struct<hash>>."""
    values = lists.flatten()
    return values.field(0) if pa.types.is_struct(values.type) else values


def _index(lists: pa.ListArray, is_first: NDArray[np.bool_]) -> pa.RecordBatch:
    offsets = lists.offsets.to_numpy() - lists.offsets[0].as_py()
    samples = np.repeat(np.arange(len(lists)), np.diff(offsets))
    positions = np.arange(len(samples)) - offsets[samples]
    arrays = [pa.array(samples[is_first], pa.int32()), pa.array(positions[is_first], pa.int32())]
    return pa.record_batch(arrays, schema=INDEX)


def _places(lists: pa.ListArray, shards: NDArray[np.int32], rows: NDArray[np.int32]) -> pa.RecordBatch:
    struct = pa.StructArray.from_arrays([pa.array(shards), pa.array(rows)], names=["shard", "row"])
    offsets = lists.offsets.to_numpy() - lists.offsets[0].as_py()
    column = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), struct)
    return pa.record_batch([column], schema=pa.schema([PLACES]))
