"""The most similar rows of every row, among its cluster and those around it. Arrays only, never n x n."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clustering.vectors import unit
from schemas.grid import on_grid

CHUNK = 1024


@dataclass(frozen=True)
class Similar:
    """The neighbours of n rows, k each at most, itself included.

    `rows[i]` are the rows that are similar to i; `gain[i]` how much more similar than `floor`: what is left
    out of the lists counts as that similar to everything. Padding has gain 0.
    """

    rows: NDArray[np.int32]  # (n, k)
    gain: NDArray[np.float32]  # (n, k) >= 0, multiples of 2^-22
    floor: NDArray[np.float32]  # (n,) >= 0


def similar(
    vectors: NDArray[np.float32], clusters: NDArray[np.int64], k: int = 32, reach: int = 4096
) -> Similar:
    """The k rows of the highest positive cosine for each row, out of at least `reach` rows around it.

    They are looked for in the row's own cluster and in the clusters whose centres are nearest to its centre,
    as many of them as hold `reach` rows. A row of zeros is similar to nothing, itself included.

    Args:
        vectors: (n, d) on the grid.
        clusters: (n,) in [0, c).
        k: rows a list.
        reach: moves time (n * reach * d multiplications) and how often a true neighbour is missed; where it
            is n or more, none is.
    """
    n = len(vectors)
    k = min(k, n)
    found = Similar(np.zeros((n, k), np.int32), np.zeros((n, k), np.float32), np.zeros(n, np.float32))
    for members, around in _surroundings(vectors, clusters, min(reach, n)):
        columns = np.ascontiguousarray(vectors[around].T)
        for start in range(0, len(members), CHUNK):
            part = members[start : start + CHUNK]
            _enter(found, part, around, vectors[part] @ columns, k)
    return found


def _surroundings(
    vectors: NDArray[np.float32], clusters: NDArray[np.int64], reach: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """For each cluster its rows, and the rows that they are compared with, ascending."""
    if reach == len(vectors):
        every = np.arange(len(vectors))
        return [(every, every)]
    order = np.argsort(clusters, kind="stable")
    sizes = np.bincount(clusters)
    members = np.split(order, np.cumsum(sizes)[:-1])
    # Sums of multiples of 2^-11 are exact in float64, so centres do not depend on how they are added.
    centres = on_grid(unit(np.stack([vectors[rows].sum(axis=0, dtype=np.float64) for rows in members])))
    found = []
    for number, rows in enumerate(members):
        near = np.argsort(-(centres @ centres[number]), kind="stable")
        near = np.concatenate([[number], near[near != number]])
        enough = int(np.searchsorted(np.cumsum(sizes[near]), reach)) + 1
        found.append((rows, np.sort(np.concatenate([members[other] for other in near[:enough]]))))
    return found


def _enter(
    found: Similar, part: NDArray[np.int64], around: NDArray[np.int64], products: NDArray[np.float32], k: int
) -> None:
    np.maximum(products, 0.0, out=products)
    if k < len(around):
        best = np.argpartition(products, len(around) - k, axis=1)[:, len(around) - k :]
        best.sort(axis=1)
        kept = np.take_along_axis(products, best, axis=1)
        found.floor[part] = kept.min(axis=1)
    else:
        best = np.broadcast_to(np.arange(len(around)), products.shape)
        kept = products
    found.rows[part, : best.shape[1]] = around[best]
    found.gain[part, : best.shape[1]] = kept - found.floor[part][:, None]
