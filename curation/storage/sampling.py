"""A bounded sample of the pool that follows from the uids alone: the rows whose hashed uid is smallest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.storage.ids import hashed
from curation.storage.rows import gather
from schemas.stages import Pool


def sample(
    pool: Pool,
    limit: int,
    *,
    table: str,
    columns: Sequence[str],
    among: str,
    wanted: str,
    valid: bool,
    seed: int = 0,
) -> pa.Table:
    """`uid` and `columns` of at most `limit` rows of `table`, sorted by uid.

    Drawn from the rows where column `wanted` of the row-aligned table `among` is valid (with `valid=False`:
    null). Reads narrow columns of the whole pool and wide ones of the sample alone.
    """

    def mask(shard: pa.Table) -> pa.ChunkedArray:
        column = shard[wanted]
        return column.is_valid() if valid else column.is_null()

    shards, rows = smallest(pool.iterate(among, ["uid", wanted]), limit, mask, seed)
    if not len(rows):
        return pool.read(table, ["uid", *columns], 0).slice(0, 0)
    return gather(pool.paths(table), shards, rows, ["uid", *columns]).sort_by("uid").combine_chunks()


def smallest(
    shards: Iterable[pa.Table], limit: int, wanted: Callable[[pa.Table], pa.ChunkedArray], seed: int = 0
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(shard, row) of the at most `limit` wanted rows with the smallest hashes; holds thrice that many."""
    kept = np.zeros((0, 3), np.uint64)  # hash, shard, row
    for number, shard in enumerate(shards):
        rows = np.flatnonzero(wanted(shard).to_numpy())
        if not len(rows):
            continue
        keys = hashed(shard["uid"], seed)[rows]
        fresh = np.stack([keys, np.full(len(rows), number, np.uint64), rows.astype(np.uint64)], axis=1)
        kept = np.concatenate([kept, fresh])
        if len(kept) > 2 * limit:
            kept = _cut(kept, limit)
    kept = _cut(kept, limit)
    return kept[:, 1].astype(np.int32), kept[:, 2].astype(np.int32)


def _cut(rows: NDArray[np.uint64], limit: int) -> NDArray[np.uint64]:
    return rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))[:limit]]
