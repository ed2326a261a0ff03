"""A bounded sample of a table that follows from the uids alone: the rows whose hashed uid is smallest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from curation.ids import hashed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def smallest(
    shards: Iterable[pa.Table], limit: int, wanted: Callable[[pa.Table], pa.Array], seed: int = 0
) -> pa.Table:
    """At most `limit` of the rows that `wanted` marks, sorted by uid; holds twice that many at a time."""
    kept: pa.Table | None = None
    for shard in shards:
        fresh = shard.filter(wanted(shard))
        kept = fresh if kept is None else pa.concat_tables([kept, fresh])
        if len(kept) > 2 * limit:
            kept = _cut(kept, limit, seed)
    if kept is None:
        raise ValueError("no shards to sample from")
    kept = _cut(kept, limit, seed)
    return kept.sort_by("uid")


def _cut(table: pa.Table, limit: int, seed: int) -> pa.Table:
    if len(table) <= limit:
        return table
    order = np.argsort(hashed(table["uid"], seed), kind="stable")[:limit]
    return table.take(pa.array(np.sort(order))).combine_chunks()
