"""Which of near-duplicates stay: one greedy pass over the pairs. Arrays only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def leader(
    n: int, left: Ints, right: Ints, similarity: NDArray[np.float32], threshold: float, order: Ints
) -> tuple[Ints, NDArray[np.float32]]:
    """Visit the rows in `order`; a row stays unless one that stays already is at least `threshold` near.

    So no two rows that stay are as near as that, and every row that goes has one that stays beside it: of
    those the most similar (which may come later in `order`), ties to the one visited first.

    Args:
        n: number of rows.
        left: (m,) one row of each pair.
        right: (m,) the other; each pair once, in either direction.
        similarity: (m,) float32 cosine, higher is nearer.
        threshold: cosine; compared in float32, equal counts as near (as in `near_pairs`).
        order: (n,) a permutation of the rows: which to prefer.

    Returns:
        kept_by (n,) int64: the row that stands for this one, -1 where it stays itself; and similarity (n,)
        float32: the cosine to that row, 0 where it stays. O(m log m), with a loop over the rows with pairs.

    Raises:
        ValueError: `order` is no permutation of the rows.
    """
    if len(order) != n or (np.bincount(order, minlength=n) != 1).any():
        raise ValueError(f"order must hold each of the {n} rows once")
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    near = similarity >= np.float32(threshold)
    first = np.concatenate([rank[left[near]], rank[right[near]]])
    second = np.concatenate([rank[right[near]], rank[left[near]]])
    cosine = np.concatenate([similarity[near], similarity[near]])
    dropped = _dropped(n, first, second)
    # Rows stand for rows from here on as ranks: a smaller one was visited earlier.
    offered = np.flatnonzero(dropped[first] & ~dropped[second])
    best = offered[np.lexsort((second[offered], -cosine[offered], first[offered]))]
    best = best[np.flatnonzero(np.diff(first[best], prepend=-1))]
    kept_by = np.full(n, -1, np.int64)
    kept_similarity = np.zeros(n, np.float32)
    kept_by[order[first[best]]] = order[second[best]]
    kept_similarity[order[first[best]]] = cosine[best]
    return kept_by, kept_similarity


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
