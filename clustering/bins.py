"""Groups into bins of about equal cost."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import ArrayLike, NDArray


def balance(costs: ArrayLike, n_bins: int) -> NDArray[np.int64]:
    """The bin of each group: (g,) costs >= 0 -> (g,) int64 in [0, n_bins).

    Longest processing time first (Graham, Bounds on Multiprocessing Timing Anomalies, 1969): the dearest
    group left goes to the emptiest bin, so the fullest bin is at most 4/3 of the best possible. Ties: the
    smaller group, the smaller bin. O(g log g), in Python: g is the number of clusters, not of rows.

    >>> balance([5, 1, 4, 3, 3], n_bins=2)
    array([0, 1, 1, 1, 0])

    Raises:
        ValueError: n_bins < 1, or a cost is negative or not a number.
    """
    array = np.asarray(costs)
    if n_bins < 1:
        raise ValueError(f"n_bins is {n_bins}; it must be at least 1")
    if not (array >= 0).all():
        raise ValueError("a cost is negative or not a number")
    bins = np.empty(len(array), np.int64)
    loads = [(0, number) for number in range(n_bins)]
    for group in np.argsort(-array.astype(np.float64), kind="stable").tolist():
        load, emptiest = heapq.heappop(loads)
        bins[group] = emptiest
        heapq.heappush(loads, (load + array[group].item(), emptiest))
    return bins
