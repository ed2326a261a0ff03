"""Vectors whose inner products are exact: the same bits on any machine, for any order of the rows.

Unit rows rounded to multiples of 2^-11 have products that are multiples of 2^-22 and sums below 4, which
float32 holds without rounding. So a plain matrix product gives equal results however its library cuts and
threads it, and what is decided by comparing them is decided the same everywhere. A cosine moves by about
2^-12 (at worst by sqrt(d) times that).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GRID = np.float32(2.0**11)


def on_grid(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1 or 0, rounded to multiples of 2^-11: (n, d) float32."""
    rounded = rows * GRID
    np.rint(rounded, out=rounded)
    rounded /= GRID
    return rounded
