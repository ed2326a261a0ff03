"""Which of near-duplicates stay, and what stands for the others. Arrays only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from clustering.runs import place_in_run

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Graph:
    """Rows, and pairs of them that are near each other.

    Args:
        n: number of rows.
        left: (m,) int64, one row of each pair.
        right: (m,) int64, the other; pairs in any order and direction, more than once or not.
        similarity: (m,) float32, higher is nearer.
    """

    n: int
    left: Ints
    right: Ints
    similarity: Floats

    def at_least(self, threshold: float) -> Graph:
        """The pairs of at least such a similarity; compared in float32, equal counts."""
        near = self.similarity >= np.float32(threshold)
        return Graph(self.n, self.left[near], self.right[near], self.similarity[near])

    def ranked(self, order: Ints) -> tuple[Ints, Ints, Floats, Ints]:
        """Each pair in both directions, as ranks in `order`, with its similarity and number.

        Raises:
            ValueError: `order` is no permutation of the rows.
        """
        if len(order) != self.n or (np.bincount(order, minlength=self.n) != 1).any():
            raise ValueError(f"order must hold each of the {self.n} rows once")
        rank = np.empty(self.n, np.int64)
        rank[order] = np.arange(self.n)
        left, right = rank[self.left], rank[self.right]
        both = np.concatenate([left, right]), np.concatenate([right, left])
        return *both, np.tile(self.similarity, 2), np.tile(np.arange(len(left)), 2)


@dataclass(frozen=True)
class Verdict:
    """What became of each row.

    Args:
        kept_by: (n,) int64: the row that stands for this one, -1 where it stays, -2 where it goes and no row
            stands for it.
        pair: (n,) int64: the pair because of which it goes, -1 where there is none.
    """

    kept_by: Ints
    pair: Ints

    @property
    def goes(self) -> NDArray[np.bool_]:
        """(n,) which rows go."""
        goes: NDArray[np.bool_] = self.kept_by != -1
        return goes


def leader(graph: Graph, order: Ints) -> Verdict:
    """Visit the rows in `order`; a row stays unless one that stays already is near it.

    So no two rows that stay are near each other, and every row that goes has one that stays beside it: of
    those the most similar (which may come later in `order`), ties to the one visited first. O(m log m), with
    a loop over the rows that have pairs.
    """
    first, second, similarity, pair = graph.ranked(order)
    dropped = _dropped(graph.n, first, second)
    offered = np.flatnonzero(dropped[first] & ~dropped[second])
    return _kept(graph.n, order, *_strongest(offered, first, second, similarity), first, second, pair)


def chain(graph: Graph, order: Ints) -> Verdict:
    """A row goes if any row before it in `order` is near it, even one that goes itself (SemDeDup, §3.8).

    What stands for it is found by going from each row to the most similar one before it, to the end. Along
    the way similarity gets lost: a row and the one that stands for it need not be near.
    """
    first, second, similarity, pair = graph.ranked(order)
    offered = np.flatnonzero(second < first)
    return _kept(graph.n, order, *_strongest(offered, first, second, similarity), first, second, pair)


def component(graph: Graph, order: Ints) -> Verdict:
    """Of rows that are joined by pairs, however indirectly, the first in `order` stays."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second, similarity, pair = graph.ranked(order)
    joined = coo_array((np.ones(len(first), bool), (first, second)), shape=(graph.n, graph.n))
    _, label = connected_components(joined, directed=False)
    head = np.full(graph.n, graph.n)
    np.minimum.at(head, label, np.arange(graph.n))
    kept_by = head[label]
    stays = kept_by == np.arange(graph.n)
    rows, best = _strongest(np.flatnonzero(~stays[first]), first, second, similarity)
    found = Verdict(np.full(graph.n, -1), np.full(graph.n, -1))
    found.kept_by[order[~stays]] = order[kept_by[~stays]]
    found.pair[order[rows]] = pair[best]
    return found


def least_similar(graph: Graph, order: Ints, n_kept: int) -> Verdict:
    """Keep exactly `n_kept` rows: those least similar to any row before them in `order` (Adapt-∞, LITE).

    Ties, such as rows without a pair, go to the earlier row. What stands for a row that goes is found as in
    `chain`; where that ends at a row that goes for want of room, nothing does.
    """
    first, second, similarity, pair = graph.ranked(order)
    rows, best = _strongest(np.flatnonzero(second < first), first, second, similarity)
    highest = np.full(graph.n, -np.inf, np.float32)
    highest[rows] = similarity[best]
    stays = np.zeros(graph.n, bool)
    stays[np.lexsort((np.arange(graph.n), highest))[:n_kept]] = True
    gone = ~stays[rows]
    found = _kept(graph.n, order, rows[gone], best[gone], first, second, pair)
    # A chain of rows that go may end at one that has nobody before it and goes for want of room.
    alone = ~stays
    alone[rows] = False
    found.kept_by[order[alone]] = -2
    ends = found.kept_by >= 0
    found.kept_by[ends] = np.where(found.kept_by[found.kept_by[ends]] == -1, found.kept_by[ends], -2)
    return found


LINKAGES: dict[str, Callable[[Graph, Ints], Verdict]] = {
    "leader": leader,
    "chain": chain,
    "component": component,
}


def _strongest(offered: Ints, first: Ints, second: Ints, similarity: Floats) -> tuple[Ints, Ints]:
    """The ranks where offered pairs begin, and of each its best pair: the most similar, then the earliest."""
    best = offered[np.lexsort((second[offered], -similarity[offered], first[offered]))]
    best = best[place_in_run(first[best]) == 0]
    return first[best], best


def _kept(n: int, order: Ints, rows: Ints, best: Ints, first: Ints, second: Ints, pair: Ints) -> Verdict:
    """Row `rows[i]` (a rank) goes because of pair `best[i]`, to where that pair's other row goes."""
    towards = np.arange(n)
    towards[rows] = second[best]
    # Each step doubles the way: chains of n rows take log n of them. Ways lead to rows that stay, or earlier.
    while not np.array_equal(towards, further := towards[towards]):
        towards = further
    found = Verdict(np.full(n, -1), np.full(n, -1))
    found.kept_by[order[rows]] = order[towards[rows]]
    found.pair[order[rows]] = pair[best]
    return found


def _dropped(n: int, first: Ints, second: Ints) -> NDArray[np.bool_]:
    """Which rows go, by rank: a row that stays drops the later ones beside it. Pairs in both directions."""
    later = np.flatnonzero(first < second)
    later = later[np.argsort(first[later], kind="stable")]
    rows, counts = np.unique(first[later], return_counts=True)
    ends = np.cumsum(counts)
    neighbours = second[later]
    dropped = np.zeros(n, bool)
    # Sequential by nature; n: rows that have a later neighbour.
    for row, start, end in zip(rows.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True):
        if not dropped[row]:
            dropped[neighbours[start:end]] = True
    return dropped
