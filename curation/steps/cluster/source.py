"""What is clustered: a table with a vector a sample, and its rows as unit rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clustering.vectors import joint
from curation.storage.rows import vectors


@dataclass(frozen=True)
class ClusterVectors:
    """The table that is clustered, and what its rows are as unit rows.

    Args:
        table: a row a sample, in pool order.
        columns: one column of unit vectors; or two, images and texts, to be joined.
        dim: numbers of a joined row.
        among: a table with a row a sample, in pool order.
        missing: a narrow column of it, null where a sample has a vector to learn from.
        image_weight: the share of the images where there are two columns.
    """

    table: str
    columns: tuple[str, ...]
    dim: int
    among: str
    missing: str
    image_weight: float | None = None

    @property
    def tables(self) -> tuple[str, ...]:
        return (self.table, self.among)

    def params(self) -> dict[str, Any]:
        """What stands in the keys of the stages that read it."""
        weight = {} if self.image_weight is None else {"image_weight": self.image_weight}
        return {"vectors": self.table, **weight}

    def rows(self, table: pa.Table | pa.RecordBatch) -> NDArray[np.float32]:
        """(n, dim) unit rows; zero where a sample has no vector."""
        parts = [vectors(table[name]) for name in self.columns]
        if self.image_weight is None:
            return parts[0]
        image, text = parts
        return joint(image, text, image_weight=self.image_weight)

    def present(self, table: pa.Table | pa.RecordBatch) -> NDArray[np.bool_]:
        """(n,) whether a sample has a vector."""
        valid: NDArray[np.bool_] = np.zeros(table.num_rows, bool)
        for name in self.columns:
            valid |= np.asarray(table[name].is_valid())
        return valid
