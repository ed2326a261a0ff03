"""Rows of sharded tables: side by side, or by (shard, row) from the row groups that hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.storage.files import each, is_url
from curation.storage.ids import positions
from curation.storage.store import ROW_GROUP, Store, read_shard
from schemas.stages import Aligned, Input, Task


def side_by_side(
    task: Task, tables: Mapping[str, Sequence[str] | None], batch: int | None = None
) -> Iterator[pa.RecordBatch]:
    """Columns of the task's shard of tables whose rows belong together, `batch` rows at a time.

    Without columns, all of a table; of two that are called alike the first counts.
    """
    columns: dict[str, pa.ChunkedArray] = {}
    for table, wanted in tables.items():
        found = read_shard(task.path(table), wanted)
        columns |= {name: found[name] for name in found.column_names if name not in columns}
    yield from pa.table(columns).combine_chunks().to_batches(max_chunksize=batch)


@dataclass(frozen=True)
class ShardRows:
    """Source: columns of tables with a row a sample, side by side.

    Args:
        tables: each with its columns; None: all of them.
        batch: rows at a time; None: the whole shard.
        further: what else `made` reads of the task.
        made: the piece of a batch; without it the rows are the piece.
    """

    tables: tuple[tuple[str, tuple[str, ...] | None], ...]
    batch: int | None = None
    further: tuple[Input, ...] = ()
    made: Callable[[Task, pa.RecordBatch], Any] | None = None

    @property
    def inputs(self) -> tuple[Input, ...]:
        return (*(Aligned(table) for table, _ in self.tables), *self.further)

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        yield from side_by_side(task, dict(self.tables), self.batch)

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[Any]:
        yield rows if self.made is None else self.made(task, rows)


def gather(
    paths: Mapping[int, str] | Sequence[str],
    shards: NDArray[np.int32],
    rows: NDArray[np.int32],
    columns: Sequence[str] | None,
) -> pa.Table:
    """Rows `(shards[i], rows[i])` of a table, in that order; `paths` are the files by shard.

    Without `columns`, all of them.
    """
    order = np.lexsort((rows, shards))

    def read(number: int) -> pa.Table:
        wanted = rows[order[shards[order] == number]]
        groups = np.unique(wanted // ROW_GROUP)
        table = read_shard(paths[number], columns, groups.tolist())
        # Every row group but a shard's last is full, so a row's place among the groups read follows.
        place = np.searchsorted(groups, wanted // ROW_GROUP) * ROW_GROUP + wanted % ROW_GROUP
        return table.take(pa.array(place))

    numbers = np.unique(shards).tolist()
    pieces = list(each(read, numbers, remote=len(numbers) > 1 and is_url(paths[numbers[0]])))
    inverse = np.empty(len(order), np.int64)
    inverse[order] = np.arange(len(order))
    return pa.concat_tables(pieces).combine_chunks().take(pa.array(inverse))


def located(sizes: Sequence[int], at: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The (shard, row) of each position in a table whose shards have `sizes` rows."""
    starts = np.cumsum([0, *sizes])
    shards = np.searchsorted(starts, at, side="right") - 1
    return shards.astype(np.int32), (at - starts[shards]).astype(np.int32)


def ids_of(store: Store, uids: Iterable[bytes]) -> dict[bytes, dict[str, str | None]]:
    """Of each uid the record's own id, and its dataset: `id` and `dataset`."""
    table = store.read("checked", ["uid", "record_id", "dataset"]).rename_columns(["uid", "id", "dataset"])
    wanted = pa.array(list(dict.fromkeys(uids)), pa.binary(16))
    at = positions(pa.chunked_array([wanted]), table["uid"])
    return dict(zip(wanted.to_pylist(), table.drop("uid").take(pa.array(at)).to_pylist(), strict=True))


def places(column: pa.ListArray) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """A column list<struct<shard, row>> as offsets (n + 1,) and flat shard and row numbers."""
    offsets = column.offsets.to_numpy().astype(np.int64)
    flat = column.values.slice(offsets[0], offsets[-1] - offsets[0])
    return offsets - offsets[0], flat.field("shard").to_numpy(), flat.field("row").to_numpy()


def vectors(column: pa.ChunkedArray | pa.FixedSizeListArray) -> NDArray[np.float32]:
    """A column of vectors as an (n, d) array; rows that are null are zeros."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    dim = array.type.list_size
    if array.null_count:
        out = np.zeros((len(array), dim), np.float32)
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        out[valid] = array.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
        return out
    rows: NDArray[np.float32] = array.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
    return rows


def vector_array(rows: NDArray[np.float32], present: NDArray[np.bool_]) -> pa.FixedSizeListArray:
    """An (n, d) array as a column of vectors, null where `present` is False."""
    flat = pa.array(np.ascontiguousarray(rows, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1], mask=pa.array(~present))
