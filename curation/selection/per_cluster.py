"""Equal shares for groups: `random-per-cluster`, `random-per-source`, `top-per-cluster:COLUMN`.

The quotas are those of uniform water-filling (Adapt-infinity, arXiv 2410.10636, its default budget): every
group gives the same number, a group that is smaller gives all it has, and the others share what it could not
give. Picking in rounds, one of each group that has one left, yields just these quotas for every budget, so a
smaller budget is a prefix of a larger one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from curation.selection.decision import Decision
from curation.selection.order import TIES, demand, drawn, groups_of, in_rounds, numbers, pick_order
from curation.selection.top import column_and_direction
from schemas.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

CLUSTER = "cluster"
SOURCE = "source"


@dataclass(frozen=True)
class RandomPerCluster:
    """Equal quotas over the clusters, uniformly at random inside each, by a hash of (seed, uid).

    Rows without a cluster are one more cluster. Where the budget does not divide, which clusters give
    one more is random too.
    """

    name: ClassVar[str] = "random-per-cluster"
    needs: ClassVar[tuple[str, ...]] = ()
    column: ClassVar[str] = CLUSTER

    @classmethod
    def parse(cls, argument: str | None) -> RandomPerCluster:
        """The selector of the spec `random-per-cluster`.

        Raises:
            ConfigError: there is an argument.
        """
        if argument is not None:
            raise ConfigError(f"{cls.name} takes no argument, not {argument!r}; write --strategy {cls.name}")
        return cls()

    def select(self, table: pl.DataFrame, n: int, seed: int) -> NDArray[np.int64]:
        """See `schemas.protocols.Selector`."""
        return self.decide(table, n, seed).order

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        """See `curation.selection.decision`."""
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
class TopPerCluster:
    """Equal quotas over the clusters, the highest values of `column` (or the lowest) of each.

    Where the budget does not divide, the clusters whose next row is better give one more. Rows without a
    value come last in their cluster; ties go to the smaller (content_hash, uid). The seed has no influence.
    """

    column: str
    lowest: bool = False

    name: ClassVar[str] = "top-per-cluster"

    @classmethod
    def parse(cls, argument: str | None) -> TopPerCluster:
        """The selector of the spec `top-per-cluster:COLUMN` or `top-per-cluster:-COLUMN`.

        Raises:
            ConfigError: there is no column.
        """
        return cls(*column_and_direction(cls.name, argument))

    @property
    def needs(self) -> tuple[str, ...]:
        """See `schemas.protocols.Selector`."""
        return (self.column,)

    def select(self, table: pl.DataFrame, n: int, seed: int) -> NDArray[np.int64]:
        """See `schemas.protocols.Selector`."""
        return self.decide(table, n, seed).order

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        """See `curation.selection.decision`."""
        demand(table, (*TIES, CLUSTER, *self.needs))
        groups, values = groups_of([table[CLUSTER]])
        order = in_rounds(groups, pick_order(table, [table[self.column]], [not self.lowest]))[:n]
        names = labels(CLUSTER, values)
        return Decision(order, numbers(table[self.column]), groups, names, [self.column] * len(names))


def labels(column: str, values: pl.DataFrame) -> list[str]:
    """Names of groups: `cluster 3`, `source coco`, `no cluster`."""
    return [f"no {column}" if value is None else f"{column} {value}" for value in values.to_series()]
