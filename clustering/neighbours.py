"""All pairs of rows that are nearly the same, by brute force in blocks. Arrays only."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from clustering.vectors import checked, cosines, margin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Pairs: TypeAlias = "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]"


def near_pairs(views: Sequence[NDArray[np.float32]], threshold: float, block: int = 1024) -> Pairs:
    """Every pair of rows whose cosine reaches `threshold` in every view.

    A view is a modality, or an image position of multi-image samples: two samples are as similar as their
    least similar view, min over views of the cosine. Give groups of like samples (same modalities, equal
    numbers of images); a zero row is near nothing.

    Exact, no approximate index: n^2 / 2 * d multiplications a view (later views only in blocks where the
    earlier ones left a pair), memory 6 * block^2 bytes (8 * block^2 more where a block is full of pairs)
    and 20 bytes a pair found, never n x n. Bit for bit the same for any `block` and any number of threads.

    Args:
        views: one or more (n, d) float32 arrays of unit rows; d may differ from view to view.
        threshold: cosine in (0, 1]; compared in float32, equal counts as near.
        block: rows a block; moves memory and speed, not the result.

    Returns:
        left (m,) int64 and right (m,) int64 with left < right, sorted by (left, right), and similarity (m,)
        float32.

    Raises:
        ValueError: no view, views of different lengths, a row that is neither a unit row nor zero, or a
            threshold outside (0, 1].
    """
    rows = [checked(view, f"view {number}") for number, view in enumerate(views)]
    if len({len(view) for view in rows}) != 1:
        raise ValueError(f"views have {[len(view) for view in rows]} rows; give one or more, equally long")
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold is {threshold}; it is a cosine in (0, 1]")
    starts = range(0, len(rows[0]), block)
    found = [
        _block_pairs(rows, top, left, block, np.float32(threshold))
        for top in starts
        for left in starts
        if left >= top
    ]
    i, j, similarity = (np.concatenate(parts) for parts in zip(_NO_PAIRS, *found, strict=True))
    order = np.lexsort((j, i))
    return i[order], j[order], similarity[order]


_NO_PAIRS: Pairs = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


def _block_pairs(
    views: Sequence[NDArray[np.float32]], top: int, left: int, block: int, threshold: np.float32
) -> Pairs:
    """The near pairs between rows top… and rows left…: a float32 product proposes, exact cosines decide."""
    cuts = [(view[top : top + block], view[left : left + block]) for view in views]
    near: NDArray[np.bool_] | None = None
    for down, across in cuts:
        proposed = down @ across.T >= threshold - margin(down.shape[1])
        near = proposed if near is None else near & proposed
        if not near.any():
            return _NO_PAIRS
    assert near is not None
    i, j = np.nonzero(np.triu(near, 1) if top == left else near)
    similarity = np.minimum.reduce([cosines(down, across, i, j) for down, across in cuts]).astype(np.float32)
    kept = similarity >= threshold
    return i[kept] + top, j[kept] + left, similarity[kept]
