"""The nearest centroid of every row, exactly. Arrays only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clustering.runs import place_in_run
from clustering.vectors import checked, cosines, margin

# Numbers of a block of products: 4 MB stay in the cache.
BLOCK = 1 << 20


@dataclass(frozen=True)
class Assignment:
    """Rows to centroids.

    Args:
        centroids: (k, d) float32 unit rows, checked; see `of`.
    """

    centroids: NDArray[np.float32]

    @classmethod
    def of(cls, centroids: NDArray[np.float32]) -> Assignment:
        """Prepare (k, d) unit rows.

        Raises:
            ValueError: there is none, or a row is neither a unit row nor zero.
        """
        if not len(centroids):
            raise ValueError(f"centroids are {centroids.shape}; there must be at least one")
        return cls(checked(centroids, "centroids"))

    def assign(
        self, vectors: NDArray[np.float32], chunk: int | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The nearest centroid of each row: (n, d) unit rows -> (n,) int32, (n,) float32 cosine.

        Cosine, higher is nearer, in [-1, 1]; a tie goes to the smaller id, so a zero row goes to cluster 0
        with cosine 0. Bit for bit the same for any `chunk`, any number of rows and any number of threads: a
        float32 product proposes, and where the two best are within its error exact cosines decide. Memory:
        chunk * k * 4 bytes, by default 4 MB.

        Raises:
            ValueError: the widths differ, or a row is neither a unit row nor zero.
        """
        rows, centres = checked(vectors, "vectors"), self.centroids
        if centres.shape[1] != rows.shape[1]:
            raise ValueError(
                f"vectors are {rows.shape} and centroids {centres.shape}; they must be (n, d) and (k, d)"
            )
        step = chunk or min(max(BLOCK // len(centres), 64), 4096)
        cluster = np.empty(len(rows), np.int32)
        similarity = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            cluster[part] = found = _nearest(rows[part], centres)
            similarity[part] = cosines(rows[part], centres, np.arange(len(found)), found)
        return cluster, similarity

    def ranked(
        self, vectors: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The `count` nearest centroids of each row (all, if fewer), the nearest first, and their cosines.

        (n, count) int32 and float64. Ties go to the smaller id; as exact as `assign`, which gives the first.
        """
        rows, centres = checked(vectors, "vectors"), self.centroids
        count = min(count, len(centres))
        ranked = np.empty((len(rows), count), np.int32)
        similarity = np.empty((len(rows), count))
        step = min(max(BLOCK // len(centres), 64), 4096)
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            proposed = part @ centres.T
            place = len(centres) - count
            kth = np.partition(proposed, place, axis=1)[:, place]
            row, centre = np.nonzero(proposed >= (kth - 2 * margin(rows.shape[1]))[:, None])
            exact = cosines(part, centres, row, centre)
            # Compared as `assign` compares: in float64, ties to the smaller id.
            order = np.lexsort((centre, -exact, row))
            kept = order[place_in_run(row[order]) < count]
            ranked[start : start + step] = centre[kept].reshape(-1, count)
            similarity[start : start + step] = exact[kept].reshape(-1, count)
        return ranked, similarity


def assign(
    vectors: NDArray[np.float32], centroids: NDArray[np.float32], chunk: int | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """`Assignment.of(centroids).assign(vectors, chunk)`."""
    return Assignment.of(centroids).assign(vectors, chunk)


def _nearest(rows: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    proposed = rows @ centres.T
    every = np.arange(len(rows))
    nearest: NDArray[np.int64] = proposed.argmax(axis=1)
    best = proposed[every, nearest]
    floor = best - 2 * margin(rows.shape[1])
    proposed[every, nearest] = -2
    contested = np.flatnonzero(proposed.max(axis=1) >= floor)
    if not len(contested):
        return nearest
    proposed[contested, nearest[contested]] = best[contested]
    row, centre = np.nonzero(proposed[contested] >= floor[contested, None])
    exact = cosines(rows[contested], centres, row, centre)
    # `row` ascends and every row has a candidate: the runs of equal rows start where it changes.
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    winners = np.flatnonzero(exact == np.maximum.reduceat(exact, starts)[row])
    nearest[contested] = centre[winners[np.flatnonzero(np.diff(row[winners], prepend=-1))]]
    return nearest
