"""Runs of equal values in a sorted array. Arrays only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def place_in_run(values: NDArray[np.integer]) -> NDArray[np.int64]:
    """The place of each entry in its run of equal values: 0, 1, … from where the value changes."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    lengths = np.diff(np.append(starts, len(values)))
    found: NDArray[np.int64] = np.arange(len(values)) - np.repeat(starts, lengths)
    return found
