"""Equal shares for groups: `random-per-cluster`, `random-per-source`, `top-per-cluster:COLUMN`.

The quotas are those of uniform water-filling (Adapt-infinity, arXiv 2410.10636, its default budget): every
group gives the same number, a group that is smaller gives all it has, and the others share what it could not
give. Picking in rounds, one of each group that has one left, yields just these quotas for every budget, so a
smaller budget is a prefix of a larger one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from curation.selectors.decision import Deciding, Decision
from curation.selectors.order import TIES, demand, drawn, groups_of, in_rounds, numbers, pick_order
from curation.selectors.spec import Plain
from curation.selectors.top import Top

if TYPE_CHECKING:
    import polars as pl

CLUSTER = "cluster"
SOURCE = "source"


@dataclass(frozen=True)
class RandomPerCluster(Plain, Deciding):
    """Equal quotas over the clusters, uniformly at random inside each, by a hash of (seed, uid).

    Rows without a cluster are one more cluster. Where the budget does not divide, which clusters give
    one more is random too.
    """

    name: ClassVar[str] = "random-per-cluster"
    needs: ClassVar[tuple[str, ...]] = ()
    column: ClassVar[str] = CLUSTER

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, self.column))
        groups, values = groups_of([table[self.column]])
        order = in_rounds(groups, drawn(table, seed))[:n]
        return Decision(order, stratum=groups, names=labels(self.column, values))


@dataclass(frozen=True)
class RandomPerSource(RandomPerCluster):
    """The same over the sources."""

    name: ClassVar[str] = "random-per-source"
    needs: ClassVar[tuple[str, ...]] = (SOURCE,)
    column: ClassVar[str] = SOURCE


@dataclass(frozen=True)
class TopPerCluster(Top):
    """Equal quotas over the clusters, the highest values of `column` (or the lowest) of each.

    Where the budget does not divide, the clusters whose next row is better give one more. Rows without a
    value come last in their cluster; ties go to the smaller (content_hash, uid). The seed has no influence.
    """

    name: ClassVar[str] = "top-per-cluster"

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, CLUSTER, *self.needs))
        groups, values = groups_of([table[CLUSTER]])
        column, names = self.chosen(table), labels(CLUSTER, values)
        order = in_rounds(groups, pick_order(table, [table[column]], [not self.lowest]))[:n]
        scorers, why = [column] * len(names), [self.why(column)] * len(names)
        return Decision(order, numbers(table[column]), groups, names, scorers, why)


def labels(column: str, values: pl.DataFrame) -> list[str]:
    """Names of groups: `cluster 3`, `source coco`, `no cluster`."""
    return [f"no {column}" if value is None else f"{column} {value}" for value in values.to_series()]
