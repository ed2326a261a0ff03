"""Vectors whose inner products are exact: the same bits on any machine, for any order of the rows.

Unit rows rounded to multiples of 2^-11 have products that are multiples of 2^-22 and sums below 4, which
float32 holds without rounding. So a plain matrix product gives equal results however its library cuts and
threads it, and what is decided by comparing them is decided the same everywhere. A cosine moves by about
2^-12 (at worst by sqrt(d) times that).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clustering.vectors import joint
from curation.selectors.order import demand
from curation.storage.rows import vectors

if TYPE_CHECKING:
    import polars as pl

GRID = np.float32(2.0**11)
IMAGE, TEXT = "image_vector", "text_vector"


def on_grid(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1 or 0, rounded to multiples of 2^-11: (n, d) float32."""
    rounded = rows * GRID
    np.rint(rounded, out=rounded)
    rounded /= GRID
    return rounded


def vectors_of(table: pl.DataFrame, columns: Sequence[str]) -> list[NDArray[np.float32]]:
    """The columns of vectors as (n, d) arrays; zeros where a row has none.

    Raises:
        SchemaError: a column is missing.
    """
    demand(table, columns)
    found = []
    for name in columns:
        column = table[name].to_arrow()
        width = table[name].dtype.shape[0]  # type: ignore[attr-defined]  # pl.Array
        found.append(vectors(column.cast(pa.list_(pa.float32(), width))))
    return found


def joint_vectors(table: pl.DataFrame) -> NDArray[np.float32]:
    """Image and text of each row side by side, equally weighted, as they are clustered; on the grid."""
    image, text = vectors_of(table, (IMAGE, TEXT))
    return on_grid(joint(image, text))
