"""Runs of equal values in sorted arrays. Arrays only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def begins_run(*columns: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(n,) Which rows of sorted columns begin a run of equal ones."""
    found = np.ones(len(columns[0]), bool)
    found[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return found


def place_in_run(*columns: NDArray[np.integer]) -> NDArray[np.int64]:
    """(n,) The place of each row in its run of equal ones: 0, 1, … from where a column changes.

    >>> place_in_run(np.array([7, 7, 7, 8, 9, 9]))
    array([0, 1, 2, 0, 0, 1])
    """
    starts = np.flatnonzero(begins_run(*columns))
    lengths = np.diff(np.append(starts, len(columns[0])))
    found: NDArray[np.int64] = np.arange(len(columns[0])) - np.repeat(starts, lengths)
    return found


def runs(starts: NDArray[np.integer], counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """The numbers of the runs [start, start + count), one run after the other.

    >>> runs(np.array([5, 0]), np.array([2, 3]))
    array([5, 6, 0, 1, 2])
    """
    before = np.cumsum(counts, dtype=np.int64) - counts
    found: NDArray[np.int64] = np.arange(int(counts.sum())) + np.repeat(starts - before, counts)
    return found
