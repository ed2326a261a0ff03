"""Linear heads on stored embeddings: aesthetic, NSFW and watermark predictors. Arrays in, columns out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.columns import figure

# Rows multiplied at once: a float64 copy of 256 x 1,024 stays in the cache.
ROWS = 256


def linear(
    vectors: NDArray[np.float32], weight: NDArray[np.float32], bias: NDArray[np.float32]
) -> NDArray[np.float64]:
    """(m, d), (k, d), (k,) -> (m, k) float64: weight . vector + bias.

    A row's bits follow from the row alone: a matrix product's would depend on the batch and on threads.
    """
    out = np.empty((len(vectors), len(weight)))
    for start in range(0, len(vectors), ROWS):
        rows = vectors[start : start + ROWS].astype(np.float64)
        for column, direction in enumerate(weight.astype(np.float64)):
            out[start : start + ROWS, column] = (rows * direction).sum(axis=1)
    return out + bias.astype(np.float64)


class Embedded(Protocol):
    """What `Head` reads: vector j of sample i is row `offsets[i] + j` of `vectors`."""

    @property
    def vectors(self) -> NDArray[np.float32]:
        """(m, d) unit rows."""
        ...

    @property
    def offsets(self) -> NDArray[np.int64]:
        """(n + 1,) from 0 to m."""
        ...


@dataclass(frozen=True)
class Head:
    """One column an output: the mean over a sample's vectors; null where it has none.

    Args:
        columns: their names.
        weight: (k, d), a row a column.
        bias: (k,).
    """

    columns: tuple[str, ...]
    weight: NDArray[np.float32] = field(compare=False)
    bias: NDArray[np.float32] = field(compare=False)

    name: ClassVar[str] = "head"
    version: ClassVar[int] = 1

    @property
    def writes(self) -> pa.Schema:
        return pa.schema([figure(column, "output of a head", "(-inf, inf)") for column in self.columns])

    def score(self, batch: Embedded) -> pa.RecordBatch:
        """One row a sample of `batch`."""
        outputs = linear(batch.vectors, self.weight, self.bias)
        counts = np.diff(batch.offsets)
        some = counts > 0
        means = np.zeros((len(counts), len(self.columns)))
        if some.any():
            means[some] = np.add.reduceat(outputs, batch.offsets[:-1][some], axis=0) / counts[some, None]
        arrays = [pa.array(column.astype(np.float32), mask=~some) for column in means.T]
        return pa.RecordBatch.from_arrays(arrays, schema=self.writes)
