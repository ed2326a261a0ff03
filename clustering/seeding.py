"""Starts for k-means. Arrays only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustering.fixed import Crew, Rows

# Rows a centroid among which starts are looked for, and rows at least.
POINTS = 16
FEWEST = 4096
# Rows nearer to each other than this differ by rounding alone.
SAME = 1e-6


def plus_plus(rows: Rows, k: int, rng: np.random.Generator, crew: Crew) -> NDArray[np.int64]:
    """Positions of at most `k` rows that lie far from one another: greedy k-means++.

    One after the other is drawn with odds of its squared distance to the nearest one before (Arthur and
    Vassilvitskii, SODA 2007), that is 1 - cosine. As they suggest at their end, several are drawn at a time,
    2 + ln k, and the one stays that brings the rows nearest to their starts: after as many iterations the
    clusters are tighter than from plain k-means++ or random starts. They are looked for among 16 rows a
    centroid. Fewer than `k` come back where no row is left that differs, to 8 bits, from all that are chosen.
    No row may be zero.
    """
    n = max(FEWEST, POINTS * k)
    if n < len(rows):
        places = np.sort(rng.choice(len(rows), n, replace=False))
        chosen = places[_greedy(rows.take(places), k, rng, crew)]
        if len(chosen) == k:
            return chosen
    return _greedy(rows, k, rng, crew)


def _greedy(rows: Rows, k: int, rng: np.random.Generator, crew: Crew) -> NDArray[np.int64]:
    trials = 2 + int(math.log(k))
    digits, scales = crew.operand(rows.digits), (1 / rows.lengths).astype(np.float32)
    chosen = [int(rng.integers(len(rows)))]
    nearest = _cosines(digits, scales, np.array(chosen), crew)[:, 0]
    while len(chosen) < k:
        odds = np.cumsum(np.where(nearest < 1 - SAME, 1 - nearest, np.float32(0)), dtype=np.float64)
        if odds[-1] <= 0:
            break
        drawn = np.searchsorted(odds, rng.random(trials) * odds[-1], side="right").clip(max=len(rows) - 1)
        nearer = _cosines(digits, scales, drawn, crew)
        np.maximum(nearer, nearest[:, None], out=nearer)
        best = int(nearer.sum(axis=0, dtype=np.float64).argmax())
        chosen.append(int(drawn[best]))
        nearest = nearer[:, best].copy()
    return np.array(chosen, np.int64)


def _cosines(
    digits: NDArray[Any], scales: NDArray[np.float32], chosen: NDArray[np.int64], crew: Crew
) -> NDArray[np.float32]:
    """(n, m) cosines of all rows to the chosen ones. Of equal rows it is 1, up to rounding."""
    out = np.empty((len(digits), len(chosen)), np.float32)

    def block(part: slice) -> None:
        products = crew.product(digits[part], digits[chosen])
        np.multiply(products, scales[chosen], out=out[part], casting="same_kind")
        out[part] *= scales[part, None]

    crew.blocks(len(digits), len(chosen), block)
    return out
