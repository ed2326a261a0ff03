"""Greedy facility location on lists of similar rows, exact and lazy, or stochastic. Arrays only.

f(S) = sum over rows i of max over picks j of gain(i, j). All gains are multiples of 2^-22 below 2, so float64
holds their sums without rounding: what is kept up to date by differences is what a new sum would give.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from curation.selectors.similar import Similar


class Coverage:
    """What the picks cover so far, and what each further row would add."""

    def __init__(self, lists: list[Similar], extra: NDArray[np.float64] | None = None) -> None:
        """Nothing is picked yet. A list covers the same n rows once more; a pick also adds `extra` (n,)."""
        n = len(lists[0].rows)
        width = max(part.rows.shape[1] for part in lists)
        self.rows = np.concatenate([_wide(part.rows, width) for part in lists])  # (m, k)
        self.gain = np.concatenate([_wide(part.gain, width) for part in lists])  # (m, k)
        self.covered = np.zeros(len(self.rows))
        flat, weight = self.rows.reshape(-1), self.gain.reshape(-1)
        used = np.flatnonzero(weight > 0)
        by_column = used[np.argsort(flat[used], kind="stable")]
        self.starts = np.searchsorted(flat[by_column], np.arange(n + 1))
        self.sources = by_column // width  # the rows that each row could cover
        self.strengths = weight[by_column]
        none = np.zeros(n) if extra is None else extra
        self.adds = np.bincount(flat[used], weight[used].astype(np.float64), minlength=n) + none

    def take(self, row: int) -> None:
        """Pick `row`: what it covers adds less from now on."""
        part = slice(self.starts[row], self.starts[row + 1])
        sources, strengths = self.sources[part], self.strengths[part].astype(np.float64)
        better = strengths > self.covered[sources]
        sources, now = sources[better], strengths[better][:, None]
        before = self.covered[sources][:, None]
        gain = self.gain[sources].astype(np.float64)
        lost = np.maximum(gain - before, 0.0) - np.maximum(gain - now, 0.0)
        np.subtract.at(self.adds, self.rows[sources].reshape(-1), lost.reshape(-1))
        self.covered[sources] = now[:, 0]


def lazy(coverage: Coverage, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Picks, each the row that adds most: (k,) rows and (k,) what each added. Ties go to the smaller row.

    What a row adds only falls, so a row on top of the heap that is up to date is the best.
    """
    heap = [(-gain, row) for row, gain in enumerate(coverage.adds.tolist())]
    heapq.heapify(heap)
    order, added = np.empty(k, np.int64), np.empty(k)
    for count in range(k):
        while True:
            value, row = heap[0]
            current = coverage.adds[row]
            if -value == current:
                break
            heapq.heapreplace(heap, (-current, row))
        heapq.heappop(heap)
        order[count], added[count] = row, current
        coverage.take(row)
    return order, added


def stochastic(
    coverage: Coverage, k: int, draw: Callable[[int], NDArray[np.int64]], slack: float = 0.01
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each pick is the best of n / k * log(1 / slack) random rows (Mirzasoleiman et al., AAAI 2015).

    On average within (1 - 1/e - slack) of the optimum. `draw(size)` gives that many rows, repeats allowed.
    """
    n = len(coverage.adds)
    size = int(np.ceil(n / max(k, 1) * np.log(1 / slack)))
    left = np.ones(n, bool)
    order, added = np.empty(k, np.int64), np.empty(k)
    for count in range(k):
        rows = draw(size)
        rows = rows[left[rows]]
        if not len(rows):
            rows = np.flatnonzero(left)
        gains = coverage.adds[rows]
        row = int(rows[gains == gains.max()].min())
        left[row] = False
        order[count], added[count] = row, coverage.adds[row]
        coverage.take(row)
    return order, added


def _wide(part: NDArray, width: int) -> NDArray:  # type: ignore[type-arg]  # of whatever it holds
    return np.pad(part, ((0, 0), (0, width - part.shape[1])))
