"""How many clusters: the knee of the curve of what more of them gain. Arrays only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from clustering.fixed import Rows
from clustering.kmeans import fit

# Rows that are scanned at most, and numbers of clusters that are tried.
SCANNED = 16_384
TRIED = 12
ITERATIONS = 8
# Numbers of clusters reach from here to where so many rows a cluster are left.
SMALLEST = 2
ROWS_A_CLUSTER = 16


@dataclass(frozen=True)
class Curve:
    """What was tried, and which of it is chosen.

    Args:
        k: numbers of clusters, ascending.
        wss: within-cluster sum of squares over the rows, 2 - 2 * mean cosine, in [0, 2]; lower is tighter.
        knee: one of `k`.
    """

    k: tuple[int, ...]
    wss: tuple[float, ...]
    knee: int


def scan(rows: Rows, most: int, *, seed: int) -> Curve:
    """Fit a dozen numbers of clusters, evenly spaced in their logarithms, and find the knee of their WSS.

    The knee is that of Kneedle (Satopää et al., Finding a "Kneedle" in a Haystack, 2011) on the logarithm of
    k: on k itself it moves with the largest number that is tried.

    Args:
        rows: a sample; at most 16,384 of it are looked at.
        most: the largest number to try, if the rows allow it.
        seed: of the starts.
    """
    from kneed import KneeLocator

    if len(rows) > SCANNED:
        rows = rows.take(np.arange(SCANNED))
    largest = max(min(most, len(rows) // ROWS_A_CLUSTER), SMALLEST)
    tried = sorted({round(k) for k in np.geomspace(SMALLEST, largest, TRIED).tolist()})
    wss = [2 - 2 * fit(rows, k, iterations=ITERATIONS, seed=seed).cosine for k in tried]
    if len(tried) < 3:
        return Curve(tuple(tried), tuple(wss), tried[-1])
    logs = [math.log(k) for k in tried]
    found = KneeLocator(logs, wss, curve="convex", direction="decreasing").knee
    knee = tried[-1] if found is None else tried[int(np.argmin(np.abs(np.array(logs) - found)))]
    return Curve(tuple(tried), tuple(wss), knee)
