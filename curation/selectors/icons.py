"""`icons:DATASET`: what most of a target's tasks vote for (ICONS, arXiv 2501.00654).

Each task of the target gives a vote to the fifth of the candidates with the most influence on it, and the
candidates with the most votes are taken: a consensus, where a mean would let one task's scale decide. Votes
are few and whole, so that the cut falls inside a large tie; the published code leaves that to the order of
the rows. Here the mean rank over the tasks decides it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.selectors.decision import Decision
from curation.selectors.less import Less
from curation.selectors.order import TIES, demand, pick_order

if TYPE_CHECKING:
    import polars as pl

INFLUENCES = "influences"  # array of float64, by task of the target; NaN for a row without a vector


@dataclass(frozen=True)
class Icons(Less):
    """The samples that most tasks of a target vote for; a task is a source of that dataset.

    Influence is the mean cosine to the task's samples: with the `gradient` vectors of a VLM it is ICONS, with
    embeddings it is nearness. Samples without a vector come last; ties go to the smaller (content_hash, uid).
    The seed plays no part; a smaller budget is a prefix.
    """

    name: ClassVar[str] = "icons"

    @property
    def needs(self) -> tuple[str, ...]:
        return (f"{INFLUENCES}:{self.target}@{self.space}",)

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        import polars as pl

        demand(table, (*TIES, *self.needs))
        votes, rank = consensus(table[self.needs[0]].to_numpy())
        order = pick_order(table, [pl.Series(votes), pl.Series(rank)], [True, True])
        return Decision(order[:n], votes)


def consensus(
    influences: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Votes of the tasks for each row, and its mean rank as a share: (n, t) -> (n,), (n,).

    A task votes for what is at or above the 80th percentile of its influences. A row's rank is the share of
    rows that are not above it. NaN, both, for a row with a NaN.
    """
    valued = ~np.isnan(influences).any(axis=1)
    ordered = np.sort(influences[valued], axis=0)
    votes, ranks = np.full(len(influences), np.nan), np.full(len(influences), np.nan)
    if not ordered.size:
        return votes, ranks
    # The first value at or above the 80th percentile, in whole numbers.
    least = ordered[-(-4 * (len(ordered) - 1) // 5)]
    votes[valued] = (influences[valued] >= least).sum(axis=1)
    places = [
        np.searchsorted(column, values, side="right")
        for column, values in zip(ordered.T, influences[valued].T, strict=True)
    ]
    ranks[valued] = np.sum(places, axis=0) / ordered.size
    return votes, ranks
