"""`dbp`: density-based pruning (arXiv 2401.04578): clusters that are wide and far from others keep more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from curation.selectors.apportion import nearest, whole_shares
from curation.selectors.decision import Deciding, Decision
from curation.selectors.entropies import means
from curation.selectors.order import TIES, demand, first_of_each, groups_of, numbers, pick_order
from curation.selectors.per_cluster import CLUSTER, labels
from curation.selectors.spec import knob, positive

if TYPE_CHECKING:
    import polars as pl

SIMILARITY = "similarity"  # cosine to the centre of the own cluster
APART = "centroid_distance"  # mean cosine distance of that centre to the 20 nearest others


@dataclass(frozen=True)
class DensityBased(Deciding):
    """Quotas from the complexity of the clusters, by the paper's quadratic program; the hardest of each.

    A cluster's complexity is the mean cosine distance of its rows to its centre, times the mean distance of
    its centre to the 20 nearest other centres; its wish is softmax(complexity / temperature) of the budget.
    The quotas are the whole numbers nearest to min |x - wish|^2 with sum x = budget and 1 <= x <= size. Hard
    is what lies far from its centre. Rows without a cluster are one of complexity 0. The seed plays no part.
    """

    temperature: float = 0.1

    name: ClassVar[str] = "dbp"
    needs: ClassVar[tuple[str, ...]] = (SIMILARITY, APART)

    @classmethod
    def parse(cls, argument: str | None) -> DensityBased:
        """The selector of the spec `dbp` or `dbp:TEMPERATURE`.

        Raises:
            ConfigError: the temperature is no positive number.
        """
        wanted = f"dbp takes a temperature, such as dbp:0.1, not {argument!r}"
        return cls(knob(argument, cls.temperature, positive, wanted))

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, CLUSTER, *self.needs))
        if not len(table):
            return Decision(np.empty(0, np.int64))
        groups, values = groups_of([table[CLUSTER]])
        distance = 1.0 - numbers(table[SIMILARITY])
        complexity = means(groups, distance) * means(groups, numbers(table[APART]))
        power = np.exp((complexity - complexity.max()) / self.temperature)
        sizes = np.bincount(groups)
        total = min(n, len(table))
        wish = total * power / power.sum()
        # A budget below the number of clusters cannot give each of them one.
        least = np.ones(len(sizes)) if total >= len(sizes) else np.zeros(len(sizes))
        quotas = whole_shares(
            nearest(wish, least, sizes.astype(np.float64), total), least.astype(np.int64), sizes, total
        )
        order = first_of_each(groups, pick_order(table, [table[SIMILARITY]], [False]), quotas)
        names = labels(CLUSTER, values)
        why = [f"complexity {value:.4f}" for value in complexity]
        return Decision(order, distance, groups, names, ["distance to its centre"] * len(names), why)
