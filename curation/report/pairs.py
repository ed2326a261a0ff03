"""Pairs that pruning decided about: what goes beside what stands for it, the most doubtful first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.report.records import Ints, positions_of, records
from curation.steps.prune.decide import EXACT, PIXELS
from curation.steps.prune.pairs import MOST_ODD
from curation.storage.rows import gather, located
from schemas.stages import Pool

COLUMNS = ["uid", "reason", "kept_uid", "near_uid", "similarity", "oddness", "group"]


def pairs(pool: Pool, *, limit: int = 60, offset: int = 0, reason: str | None = None) -> dict[str, Any]:
    """{"n", "reasons", "pairs"}: how many were dropped, by reason, and `limit` of them from `offset` on.

    Of each `reason`, `doubt` (0 where files are equal), `similarity`, `oddness`, `n_group` (samples that one
    stands for, itself too), and as `curation.report.records.records` has them `dropped`, `kept` (None where
    nothing stands for it) and `near`: what it is too similar to, where that goes as well.
    With `reason` only those. Nothing before anything was pruned.
    """
    if pool.find("pruned") is None:
        return {"n": 0, "reasons": {}, "pairs": []}
    rows = pool.read("pruned", COLUMNS)
    reasons = _counts(rows["reason"])
    if reason is not None:
        rows = rows.filter(pc.equal(rows["reason"], reason))
    group_column = rows["group"]
    order = _doubtful(rows)[offset : offset + limit]
    picked = rows.take(pa.array(order)).combine_chunks()
    doubts = doubt(picked)
    sizes = _counts(group_column.filter(pc.is_in(group_column, value_set=picked["group"])))
    sides = {name: positions_of(pool, picked[f"{name}uid"]) for name in ("", "kept_", "near_")}
    shown = _by_position(pool, np.concatenate(list(sides.values())))
    found = []
    for row, worth, gone, kept, near in zip(
        picked.to_pylist(), doubts.tolist(), *(side.tolist() for side in sides.values()), strict=True
    ):
        facts = {name: row[name] for name in ("reason", "similarity", "oddness")}
        group = None if row["group"] is None else sizes[row["group"]] + 1
        between = shown.get(near) if near != kept else None
        whole = {"dropped": shown.get(gone), "kept": shown.get(kept), "near": between}
        found.append({**facts, "doubt": worth, "n_group": group, **whole})
    return {"n": sum(reasons.values()), "reasons": reasons, "pairs": found}


def doubt(rows: pa.Table) -> NDArray[np.float64]:
    """(n,) how doubtful rows of `pruned` are: 0 of equals, up to 1 of pictures that are copies only just.

    Where no second look was taken, how far the vectors or hashes lie apart.
    """
    equal = pc.is_in(rows["reason"], value_set=pa.array([EXACT, PIXELS])).to_numpy()
    odd = rows["oddness"].cast(pa.float64()).fill_null(np.nan).to_numpy()
    apart = 1 - rows["similarity"].cast(pa.float64()).fill_null(0).to_numpy()
    return np.where(equal, 0.0, np.where(np.isnan(odd), apart, odd))


def _doubtful(rows: pa.Table) -> Ints:
    """The rows, most doubtful first; ties go to the less similar, then to the first in the table."""
    similarity = rows["similarity"].fill_null(0).to_numpy()
    return np.lexsort((np.arange(len(rows)), similarity, -doubt(rows)))


def near_misses(pool: Pool, limit: int = 24) -> list[dict[str, Any]]:
    """Pairs of pictures that were looked at twice and are no copies, the nearest first.

    Of each `oddness` (above 1), `flipped`, `left` and `right`: a sample that shows the picture, with that
    picture alone among its `images`.
    """
    tables = [name for name in ("looks", "near_looks") if pool.find(name) is not None]
    names = ["left", "right", "flipped", "oddness"]
    rows = [table for table in (pool.read(name, names) for name in tables) if len(table)]
    if not rows:
        return []
    table = pa.concat_tables(rows)
    table = table.filter(pc.greater(table["oddness"], MOST_ODD))
    keys = [(name, "ascending") for name in ("oddness", "left", "right")]
    nearest = table.take(pc.sort_indices(table, keys)).slice(0, limit).combine_chunks()
    sides = [_showing(pool, nearest[name].to_numpy()) for name in ("left", "right")]
    return [
        {"oddness": row["oddness"], "flipped": row["flipped"], "left": left, "right": right}
        for row, left, right in zip(nearest.to_pylist(), *sides, strict=True)
    ]


def _showing(pool: Pool, images: Ints) -> list[dict[str, Any]]:
    """The sample that each of these rows of `images` is first used by."""
    if not len(images):
        return []
    sizes = pool.manifest("images").sizes
    starts = np.cumsum([0, *pool.manifest("samples").sizes])
    shards, rows = located(sizes, images)
    uses = gather(pool.paths("distinct_images"), shards, rows, ["sample_row", "position"])
    found = records(pool, starts[shards] + uses["sample_row"].to_numpy())
    places = uses["position"].to_pylist()
    return [{**each, "images": each["images"][at : at + 1]} for each, at in zip(found, places, strict=True)]


def _counts(column: pa.ChunkedArray) -> dict[Any, int]:
    """How often each value stands there, the commonest first."""
    counted = [tuple(each.values()) for each in pc.value_counts(column).to_pylist()]
    return dict(sorted(counted, key=lambda each: (-each[1], str(each[0]))))


def _by_position(pool: Pool, at: Ints) -> dict[int, dict[str, Any]]:
    places: Sequence[int] = np.unique(at[at >= 0]).tolist()
    return dict(zip(places, records(pool, places), strict=True))
