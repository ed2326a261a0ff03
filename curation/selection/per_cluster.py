"""Equal shares for the clusters: `random-per-cluster`, `top-per-cluster:COLUMN`.

The quotas are those of uniform water-filling (Adapt-infinity, arXiv 2410.10636, its default budget): every
cluster gives the same number, a cluster that is smaller gives all it has, and the others share what it could
not give. Picking in rounds, one of each cluster that has one left, yields just these quotas for every budget,
so a smaller budget is a prefix of a larger one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from curation.selection.order import TIES, demand, pick_order, random_keys
from curation.selection.top import column_and_direction
from schemas.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

CLUSTER = "cluster"


@dataclass(frozen=True)
class RandomPerCluster:
    """Equal quotas over the clusters, uniformly at random inside each, by a hash of (seed, uid).

    Rows without a cluster are one more cluster. Where the budget does not divide, which clusters give
    one more is random too.
    """

    name: ClassVar[str] = "random-per-cluster"
    needs: ClassVar[tuple[str, ...]] = ()

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
        import polars as pl

        demand(table, (*TIES, CLUSTER, *self.needs))
        keys = pl.Series(random_keys(table["uid"], seed))
        return _in_rounds(table[CLUSTER], pick_order(table, [keys], [False]))[:n]


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
        demand(table, (*TIES, CLUSTER, *self.needs))
        return _in_rounds(table[CLUSTER], pick_order(table, [table[self.column]], [not self.lowest]))[:n]


def _in_rounds(cluster: pl.Series, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Reorder `order` so that the first row of every cluster comes first, then the second, and so on."""
    # Ids of clusters are not negative; -1 stands for none.
    ids = cluster.fill_null(-1).to_numpy()[order]
    grouped = np.argsort(ids, kind="stable")
    sizes = np.unique(ids, return_counts=True)[1]
    rounds = np.empty(len(ids), np.int64)
    rounds[grouped] = np.arange(len(ids)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order[np.argsort(rounds, kind="stable")]
