"""`visnec`: from every cluster an equal share, the visually most necessary samples (arXiv 2603.01195)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from curation.selectors.apportion import apportion
from curation.selectors.by_column import NECESSITY
from curation.selectors.decision import Deciding, Decision
from curation.selectors.order import TIES, demand, first_of_each, groups_of, numbers, pick_order
from curation.selectors.per_cluster import CLUSTER, labels
from curation.selectors.spec import Plain

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class VisNec(Plain, Deciding):
    """Quotas in proportion to the clusters' sizes, by largest remainder; the highest values of each.

    The score is NLL without the image minus NLL with it (`visual_necessity`, which needs --vlm). Samples
    without a value come last. The seed has no influence.
    """

    name: ClassVar[str] = "visnec"
    needs: ClassVar[tuple[str, ...]] = (NECESSITY,)

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, CLUSTER, *self.needs))
        groups, values = groups_of([table[CLUSTER]])
        sizes = np.bincount(groups, minlength=len(values))
        quotas = apportion(sizes, sizes, min(n, len(table)))
        order = first_of_each(groups, pick_order(table, [table[NECESSITY]], [True]), quotas)
        names = labels(CLUSTER, values)
        return Decision(order, numbers(table[NECESSITY]), groups, names, [NECESSITY] * len(names))
