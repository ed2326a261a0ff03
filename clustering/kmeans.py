"""Spherical k-means on a bounded sample: centroids follow from rows and seed alone. Arrays only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clustering.fixed import BLOCK, ONE, Centres, Crew, Rows, crew
from clustering.seeding import plus_plus

MOST_CLUSTERS = 10_000
# A cluster that is too large is split into pieces of about this share of what is allowed, in at most so many
# rounds, each with so many iterations on so many of its rows a piece.
FILLED = 0.75
ROUNDS = 8
SPLIT_ITERATIONS = 8
SPLIT_POINTS = 256
# Rows added up at once, and clusters that a thread takes at once.
ADDED = 4096
GROUPS = 128


def root_k(n: int) -> int:
    """A number of clusters for `n` rows: round(sqrt(n / 2)), in [1, 10,000].

    The usual rule of thumb (Mardia, Kent and Bibby, Multivariate Analysis, 1979, p. 365). It gives 64 for
    8,200 rows, 577 for LLaVA-665K and 1,140 for 2.6M: clusters of about sqrt(2 n) rows. It looks at no data.
    """
    return min(max(round(math.sqrt(n / 2)), 1), MOST_CLUSTERS)


@dataclass(frozen=True)
class Fit:
    """Centroids, and how well they fit the rows they were fitted on.

    Args:
        centroids: (k', d) float32 unit rows.
        cosine: mean cosine of the rows to their centroid, in [0, 1]; higher is better.
        iterations: Lloyd iterations until no row changed its cluster, or as many as were allowed.
    """

    centroids: NDArray[np.float32]
    cosine: float
    iterations: int


def fit(
    vectors: NDArray[np.floating] | Rows, k: int, *, iterations: int = 20, seed: int, most: float = math.inf
) -> Fit:
    """Spherical k-means: (n, d) unit rows -> (k', d) float32 unit rows.

    k-means++ starts (`clustering.seeding`), then Lloyd's iterations, which look at rows and centroids to 8
    bits and add rows up to 16 bits, both exactly (`clustering.fixed`): the result depends on the rows, their
    order and the seed, and on no thread, block, library or processor. An empty cluster starts anew with the
    farthest row of the largest one. Zero rows take no part. k' is `k`, less where fewer rows differ to 8
    bits, and more where `most` splits clusters.

    Args:
        vectors: a sample, not the pool: a round costs n * k * d multiplications, a number takes 3 bytes.
        k: how many centroids to ask for.
        iterations: Lloyd iterations at most; it stops when no row changes its cluster.
        seed: of the starts.
        most: a cluster of more rows is split, unless its rows are equal.

    Raises:
        ValueError: k < 1, no row has a direction, or rows are not unit rows.
    """
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
    rows = vectors if isinstance(vectors, Rows) else Rows.of(vectors)
    if not rows.lengths.all():
        rows = rows.take(np.flatnonzero(rows.lengths))
    if not len(rows):
        raise ValueError("k-means needs at least one row that is not zero")
    with crew(float(len(rows)) * k * rows.width * (iterations + 2)) as workers:
        lloyd = _Lloyd(rows, workers)
        done = lloyd.run(k, iterations, seed)
        lloyd.split(most, seed)
    return Fit(lloyd.centroids().astype(np.float32), lloyd.cosine(), done)


class _Lloyd:
    """Where k-means stands: the cluster of each row, and the exact sum of each cluster's rows."""

    def __init__(self, rows: Rows, crew: Crew) -> None:
        self.rows = rows
        self.crew = crew
        self._forget(0)

    def run(self, k: int, iterations: int, seed: int) -> int:
        """Start anew and iterate; how often."""
        # Generators take no negative seeds.
        starts = plus_plus(self.rows, k, np.random.default_rng(seed % 2**64), self.crew)
        self._forget(len(starts))
        centroids = _unit(self.rows.fixed[starts])
        for number in range(iterations):
            if not self._step(centroids):
                return number
            centroids = self.centroids()
        return iterations

    def centroids(self) -> NDArray[np.float64]:
        """(k, d) unit rows: the directions of the sums."""
        return _unit(self.sums)

    def cosine(self) -> float:
        """Mean cosine of the rows to their centroids: a sum is as long as its rows' cosines to it add up."""
        return float(np.linalg.norm(self.sums, axis=1).sum() / (ONE * len(self.rows)))

    def split(self, most: float, seed: int) -> None:
        """Split clusters of more than `most` rows by k-means on their own rows, until none is left."""
        for number in range(ROUNDS):
            large = np.flatnonzero(self.counts > most)
            pieces = [self._pieces(cluster, most, seed + number) for cluster in large.tolist()]
            if all(len(piece) == 1 for piece in pieces):
                return
            kept = np.delete(self.centroids(), large, axis=0)
            centroids = np.concatenate([kept, *pieces])
            self._forget(len(centroids))
            self._step(centroids)

    def _pieces(self, cluster: int, most: float, seed: int) -> NDArray[np.float64]:
        members = np.flatnonzero(self.labels == cluster)
        k = math.ceil(len(members) / max(FILLED * most, 1))
        part = _Lloyd(self.rows.take(members[: k * SPLIT_POINTS]), self.crew)
        part.run(k, SPLIT_ITERATIONS, seed)
        return part.centroids()

    def _forget(self, k: int) -> None:
        self.labels = np.full(len(self.rows), -1, np.int32)
        self.counts = np.zeros(k, np.int64)
        self.sums = np.zeros((k, self.rows.width), np.int64)

    def _step(self, centroids: NDArray[np.float64]) -> int:
        """Assign every row, bring the sums up to date; how many rows have changed their cluster."""
        labels, nearness = self._nearest(Centres.of(centroids, float(self.rows.lengths.max())))
        changed = np.flatnonzero(labels != self.labels)
        if 2 * len(changed) > len(labels):
            self._forget(len(self.counts))
            self._add(np.arange(len(labels)), labels, 1)
        else:
            self._add(changed, self.labels[changed], -1)
            self._add(changed, labels[changed], 1)
        self.labels = labels
        self.counts = np.bincount(labels, minlength=len(self.counts))
        return len(changed) + self._refill(nearness)

    def _nearest(self, centres: Centres) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The centroid of each row, and a number by which rows of one centroid are ordered as by cosine."""
        labels = np.empty(len(self.rows), np.int32)
        nearness = np.empty(len(self.rows))

        def block(part: slice) -> None:
            products = centres.products(self.rows.digits[part], self.crew)
            best = products.argmax(axis=1)
            labels[part] = best
            nearness[part] = products[np.arange(len(best)), best] / self.rows.lengths[part]

        self.crew.blocks(len(self.rows), len(centres.digits), block)
        return labels, nearness

    def _refill(self, nearness: NDArray[np.float64]) -> int:
        """Give each empty cluster the row of the largest that is farthest from its centre; how many."""
        empty = np.flatnonzero(self.counts == 0).tolist()
        for cluster in empty:
            members = np.flatnonzero(self.labels == self.counts.argmax())
            row = members[[nearness[members].argmin()]]
            self._add(row, self.labels[row], -1)
            self._add(row, np.array([cluster]), 1)
            self.counts[self.labels[row]] -= 1
            self.counts[cluster] += 1
            self.labels[row] = cluster
        return len(empty)

    def _add(self, places: NDArray[np.int64], clusters: NDArray[np.int32], sign: int) -> None:
        """Add rows to the sums of their clusters, or take them away: exact, so in any order."""
        order = np.argsort(clusters, kind="stable")
        starts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
        groups = np.split(places[order], starts[1:])
        numbers = clusters[order[starts]]

        def add(part: slice) -> None:
            for number, group in zip(numbers[part], groups[part], strict=True):
                for start in range(0, len(group), ADDED):
                    rows = self.rows.fixed[group[start : start + ADDED]]
                    self.sums[number] += sign * rows.sum(axis=0, dtype=np.int64)

        self.crew.blocks(len(numbers), BLOCK // GROUPS, add)


def _unit(rows: NDArray[np.integer]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    wide /= np.where(lengths > 0, lengths, 1.0)
    return wide
