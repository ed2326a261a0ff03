"""Spherical k-means: fit centroids on a bounded sample, assign every row. Arrays only."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from clustering.vectors import checked, cosines, margin, unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MOST_CLUSTERS = 10_000


def auto_k(n: int) -> int:
    """A number of clusters for `n` rows: round(sqrt(n / 2)), in [1, 10,000].

    The usual rule of thumb (Mardia, Kent and Bibby, Multivariate Analysis, 1979, p. 365). It gives 64 for
    8,200 rows, 577 for LLaVA-665K and 1,140 for 2.6M: clusters of about sqrt(2 n) rows. It looks at no data.
    """
    return min(max(round(math.sqrt(n / 2)), 1), MOST_CLUSTERS)


def fit(vectors: NDArray[np.float32], k: int, *, iterations: int = 20, seed: int) -> NDArray[np.float32]:
    """Centroids of spherical k-means: (n, d) unit rows -> (k', d) float32 unit rows.

    k' is `k`, or the number of distinct rows where that is smaller (then the centroids are those rows, in
    order of appearance). Zero rows take no part. The centroids depend on the order of the rows, so give
    them in a fixed one (by uid); they do not depend on the number of threads. k-means++ starts (Arthur
    and Vassilvitskii, SODA 2007) and Lloyd's iterations of faiss, which splits a big cluster where one runs
    empty. Cost: iterations * n * k * d multiplications, on one thread; give it a sample, not the pool.

    Raises:
        ValueError: k < 1, no row has a direction, or rows are not unit rows.
    """
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
    rows = checked(vectors, "vectors")
    rows = rows[rows.any(axis=1)]
    if not len(rows):
        raise ValueError("k-means needs at least one row that is not zero")
    distinct = _distinct(rows, at_most=k + 1)
    if len(distinct) <= k:
        return rows[distinct]
    import faiss

    with _one_thread():
        kmeans = faiss.Kmeans(
            rows.shape[1],
            k,
            niter=iterations,
            # faiss keeps seeds in 31 bits.
            seed=seed % (2**31 - 1),
            spherical=True,
            # Random starts merge clusters that are far apart: on 100 planted ones the mean cosine to the
            # centroid is 0.89 with them and 0.98 with k-means++, for 5 to 30 % more time.
            init_method=faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
            # The caller chose the sample: faiss shall neither draw its own nor warn that it is small.
            max_points_per_centroid=len(rows),
            min_points_per_centroid=1,
        )
        kmeans.train(rows)
    return unit(np.asarray(kmeans.centroids, np.float32))


def assign(
    vectors: NDArray[np.float32], centroids: NDArray[np.float32], chunk: int = 4096
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The nearest centroid of each row: (n, d), (k, d) unit rows -> (n,) int32, (n,) float32 cosine.

    Cosine, higher is nearer, in [-1, 1]; a tie goes to the smaller id, so a zero row goes to cluster 0 with
    cosine 0. Bit for bit the same for any `chunk`, any number of rows and any number of threads: a float32
    product proposes the centroids within its error of the best, exact cosines decide between them. Memory:
    chunk * k * 5 bytes.

    Raises:
        ValueError: there is no centroid, the widths differ, or a row is neither a unit row nor zero.
    """
    rows, centres = checked(vectors, "vectors"), checked(centroids, "centroids")
    if not len(centres) or centres.shape[1] != rows.shape[1]:
        raise ValueError(
            f"vectors are {rows.shape} and centroids {centres.shape}; they must be (n, d) and (k, d)"
        )
    cluster = np.empty(len(rows), np.int32)
    similarity = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), chunk):
        part = slice(start, start + chunk)
        cluster[part], similarity[part] = _nearest(rows[part], centres)
    return cluster, similarity


def _nearest(
    rows: NDArray[np.float32], centres: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    proposed = rows @ centres.T
    floor = proposed.max(axis=1, keepdims=True) - 2 * margin(rows.shape[1])
    row, centre = np.nonzero(proposed >= floor)
    exact = cosines(rows, centres, row, centre)
    # `row` ascends and every row has a candidate: the runs of equal rows start where it changes.
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    best = np.maximum.reduceat(exact, starts)
    winners = np.flatnonzero(exact == best[row])
    first = winners[np.flatnonzero(np.diff(row[winners], prepend=-1))]
    return centre[first], best


def _distinct(rows: NDArray[np.float32], at_most: int) -> list[int]:
    """Positions of the first `at_most` distinct rows. Stops early: usually after little more than that."""
    seen: dict[bytes, int] = {}
    for position, row in enumerate(rows):
        seen.setdefault(row.tobytes(), position)
        if len(seen) == at_most:
            break
    return list(seen.values())


@contextmanager
def _one_thread() -> Iterator[None]:
    """Pin faiss to one thread: how it splits its sums, and so their last bits, depends on the number."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
