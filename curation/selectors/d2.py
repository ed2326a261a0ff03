"""`d2`, `d2:COLUMN`: D2 pruning, messages between near samples (arXiv 2310.07931), on the stored pairs."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.selectors.by_column import ByColumn, column_or_best
from curation.selectors.decision import Deciding, Decision
from curation.selectors.order import TIES, demand, numbers, pick_order
from curation.selectors.spec import knob

if TYPE_CHECKING:
    import polars as pl

NEAR = "neighbours"  # list of struct<uid, similarity>: stored pairs (`curation.steps.select.columns`)


@dataclass(frozen=True)
class D2(ByColumn, Deciding):
    """Importance spreads to neighbours, and every pick takes some back from its own.

    Importance is the rank of `column` as a share in (0, 1] (0 without a value). Forward: a row's score is its
    importance plus exp(-d) times that of each neighbour. Backward: the row with the highest score is picked,
    and each neighbour loses exp(-gamma d) times that score. d is the Euclidean distance of unit vectors. So
    the difficult and the dense come first, without their copies. Only pairs above the floor of `curate prune`
    (cosine 0.9) are neighbours. Ties go to the smaller (content_hash, uid); the seed has no influence; a
    smaller budget is a prefix.
    """

    column: str
    lowest: bool = False
    gamma: float = 1.0

    name: ClassVar[str] = "d2"

    @classmethod
    def parse(cls, argument: str | None) -> D2:
        """The selector of the spec `d2`, `d2:COLUMN`, `d2:-COLUMN` or `d2:COLUMN@GAMMA`.

        Raises:
            ConfigError: the column's name is empty, or gamma is no number of at least 0.
        """
        column, at, number = (argument or "").partition("@")
        name, lowest = column_or_best(cls.name, column or (None if at else argument))
        wanted = f"d2 takes a gamma of at least 0, such as d2:COLUMN@0.4, not {number!r}"
        return cls(
            name, lowest, knob(number if at else None, 1.0, lambda gamma: 0 <= gamma < float("inf"), wanted)
        )

    @property
    def needs(self) -> tuple[str, ...]:
        return (*super().needs, NEAR)

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, *self.needs))
        # From here on rows are numbered canonically, so that sums and ties follow from the rows alone.
        canonical = pick_order(table, [], [])
        rows = table[canonical]
        column = self.chosen(table)
        importance = ranked_share(numbers(rows[column]) * (-1 if self.lowest else 1))
        first, second, similarity = edges(rows)
        distance = np.sqrt(np.maximum(2.0 - 2.0 * similarity, 0.0))
        score = importance + np.bincount(first, np.exp(-distance) * importance[second], minlength=len(rows))
        order = pass_back(score, first, second, np.exp(-self.gamma * distance), min(n, len(rows)))
        spread = np.empty(len(rows))
        spread[canonical] = score
        whole = np.zeros(len(rows), np.int64)
        return Decision(canonical[order], spread, whole, ["all"], [column], [self.why(column)])


def ranked_share(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of the valued rows that are not above each row: (n,) in (0, 1], 0 where there is no value."""
    valued = ~np.isnan(values)
    ordered = np.sort(values[valued])
    share = np.zeros(len(values))
    share[valued] = np.searchsorted(ordered, values[valued], side="right") / max(len(ordered), 1)
    return share


def edges(rows: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Both directions of every pair, sorted by (first, second), without neighbours that are no candidates."""
    import polars as pl

    frame = rows.select(pl.col("uid"), pl.col(NEAR)).with_row_index("first")
    long = frame.select("first", NEAR).explode(NEAR).drop_nulls().unnest(NEAR)
    found = long.join(frame.select(pl.col("uid"), pl.col("first").alias("second")), on="uid").sort(
        "first", "second"
    )
    return tuple(  # type: ignore[return-value]  # three columns, three arrays
        found[name].to_numpy().astype(kind)
        for name, kind in (("first", np.int64), ("second", np.int64), ("similarity", np.float64))
    )


def pass_back(
    score: NDArray[np.float64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    weight: NDArray[np.float64],
    n: int,
) -> NDArray[np.int64]:
    """Pick the row with the highest score n times; each pick takes weight * its score from its neighbours."""
    starts = np.searchsorted(first, np.arange(len(score) + 1)).tolist()
    near, share = second.tolist(), weight.tolist()
    held = score.tolist()
    heap = [(-value, row) for row, value in enumerate(held)]
    heapq.heapify(heap)
    picked: list[int] = []
    taken = [False] * len(held)
    # Sequential by nature; n picks and as many entries more as there are messages.
    while len(picked) < n:
        value, row = heapq.heappop(heap)
        if taken[row] or -value != held[row]:
            continue
        taken[row] = True
        picked.append(row)
        message = max(held[row], 0.0)
        for at in range(starts[row], starts[row + 1]):
            other = near[at]
            if not taken[other] and message * share[at]:
                held[other] -= message * share[at]
                heapq.heappush(heap, (-held[other], other))
    return np.array(picked, np.int64)
