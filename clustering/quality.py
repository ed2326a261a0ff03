"""How good clusters are: how far apart, how stable, and how they agree with classes. Arrays only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clustering.fixed import Rows

# Rows whose distances to all clusters are held at once.
BLOCK = 1024


def silhouette(rows: Rows, clusters: NDArray[np.integer]) -> float:
    """Mean silhouette of the rows by cosine distance, in [-1, 1]; higher is better.

    Of a row (Rousseeuw, 1987): (b - a) / max(a, b), with a its mean distance to the other rows of its cluster
    and b the smallest mean distance to the rows of another one; 0 for the only row of a cluster. As a mean of
    cosines to unit rows is a cosine to their sum, it takes n * k * d multiplications and not n^2 * d, and as
    rows and sums are whole numbers here, it is exact. NaN where there is one cluster only.
    """
    names, labels = np.unique(clusters, return_inverse=True)
    if len(names) < 2:
        return float("nan")
    fixed = rows.fixed.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", fixed, fixed))
    counts = np.bincount(labels).astype(np.float64)
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(len(names)))
    # Lengths differ by rounding alone; sums of whole numbers, and their products with whole numbers, do not.
    sums = np.add.reduceat(fixed[order], starts, axis=0)
    scale = np.mean(lengths)
    total = 0.0
    for start in range(0, len(fixed), BLOCK):
        part = slice(start, start + BLOCK)
        total += _silhouettes(fixed[part] @ sums.T / scale**2, counts, labels[part]).sum()
    return float(total / len(fixed))


def _silhouettes(
    products: NDArray[np.float64], counts: NDArray[np.float64], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n, k) sums of cosines of each row to the rows of each cluster -> (n,)."""
    every, own = np.arange(len(labels)), counts[labels]
    # Without itself, whose cosine to itself is 1.
    inside = 1 - (products[every, labels] - 1) / np.maximum(own - 1, 1)
    outside = 1 - products / counts
    outside[every, labels] = np.inf
    nearest = outside.min(axis=1)
    larger = np.maximum(np.maximum(inside, nearest), np.finfo(np.float64).tiny)
    return np.where(own > 1, (nearest - inside) / larger, 0.0)


def adjusted_rand(left: ArrayLike, right: ArrayLike) -> float:
    """How far two groupings of the same rows agree: 1 is the same, 0 what chance gives (Hubert, 1985)."""
    table = _contingency(left, right)
    n = float(table.sum())
    both = _pairs(table).sum()
    first, second = _pairs(table.sum(axis=1)).sum(), _pairs(table.sum(axis=0)).sum()
    expected = first * second / max(n * (n - 1) / 2, 1.0)
    largest = (first + second) / 2
    return 1.0 if largest == expected else float((both - expected) / (largest - expected))


def purity(clusters: ArrayLike, classes: ArrayLike) -> float:
    """The share of rows of their cluster's commonest class, in (0, 1]; more clusters make it larger."""
    table = _contingency(clusters, classes)
    return float(table.max(axis=1).sum() / table.sum())


def _contingency(left: ArrayLike, right: ArrayLike) -> NDArray[np.int64]:
    rows, i = np.unique(np.asarray(left), return_inverse=True)
    columns, j = np.unique(np.asarray(right), return_inverse=True)
    if len(i) != len(j):
        raise ValueError(f"{len(i)} and {len(j)} rows; they must be the same")
    table = np.bincount(i * len(columns) + j, minlength=len(rows) * len(columns))
    return table.reshape(len(rows), len(columns))


def _pairs(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    wide = counts.astype(np.float64)
    return wide * (wide - 1) / 2
