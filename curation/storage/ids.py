"""Ids and hashes as columns of machine words: compared, hashed and looked up without a Python loop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def words(column: pa.Array | pa.ChunkedArray) -> NDArray[np.uint64]:
    """(n, 2) the first 128 bits of each value of a fixed-size binary column without nulls."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    width = array.type.byte_width
    data = np.frombuffer(array.buffers()[1] or b"", np.uint8)
    rows = data[array.offset * width : (array.offset + len(array)) * width].reshape(-1, width)
    return np.ascontiguousarray(rows[:, :16]).view("<u8").reshape(-1, 2)


def sortable(uids: pa.Array | pa.ChunkedArray) -> NDArray[np.bytes_]:
    """(n,) uids as values whose order is that of their bytes."""
    return words(uids).view("S16")[:, 0]


def first_equal(columns: Sequence[pa.Array | pa.ChunkedArray]) -> NDArray[np.int64]:
    """For each value of the concatenated columns the position of the first equal one (by 128 bits).

    >>> first_equal([pa.array([b"a" * 16, b"b" * 16, b"a" * 16], pa.binary(16))])
    array([0, 1, 0])
    """
    return first_of(np.concatenate([np.zeros((0, 2), np.uint64), *[words(column) for column in columns]]))


def first_of(rows: NDArray[np.uint64]) -> NDArray[np.int64]:
    """(n,) for each of `rows` (n, 2) the position of the first equal one."""
    order = np.lexsort((rows[:, 1], rows[:, 0]))  # stable, so that of equal ones the first comes first
    in_order = rows[order]
    new = np.ones(len(order), bool)
    new[1:] = (in_order[1:] != in_order[:-1]).any(axis=1)
    starts = np.flatnonzero(new)
    found = np.empty(len(order), np.int64)
    found[order] = np.repeat(order[starts], np.diff(starts, append=len(order)))
    return found


def positions(values: pa.ChunkedArray, among: pa.ChunkedArray) -> NDArray[np.int64]:
    """Where each of `values` stands in `among`; -1 where it does not."""
    found = pc.fill_null(pc.index_in(values, value_set=among.combine_chunks()), -1)
    return np.asarray(found.to_numpy(), np.int64)


def hashed(column: pa.Array | pa.ChunkedArray, seed: int = 0) -> NDArray[np.uint64]:
    """(n,) a 64-bit mix of each uid and `seed`: uniform, and the same on every machine."""
    halves = words(column)
    found = np.full(len(halves), np.uint64(seed & 0xFFFFFFFFFFFFFFFF))
    for half in (halves[:, 0], halves[:, 1]):
        found = mixed(found ^ half)
    return found


def mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """(n,) The finaliser of SplitMix64.

    Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
    """
    found = numbers + np.uint64(0x9E3779B97F4A7C15)
    found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return found ^ (found >> np.uint64(31))
