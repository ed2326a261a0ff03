"""Fetch rows of a sharded table by (shard, row). Reads only the row groups that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from curation.files import each, is_url
from curation.store import ROW_GROUP, read_shard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


def gather(
    paths: Mapping[int, str],
    shards: NDArray[np.int32],
    rows: NDArray[np.int32],
    columns: Sequence[str] | None,
) -> pa.Table:
    """Rows `(shards[i], rows[i])` of a table, in that order; `paths` maps a shard's number to its file.

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
