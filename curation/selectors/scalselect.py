"""`scalselect`: what reaches farthest into the subspace that holds most of the pool (arXiv 2602.11636).

Columns are centred and divided by their deviation, rows scaled to length 1. Of the singular vectors the
fewest that hold 90 % of the energy (the sum of squares) span the subspace. A row's importance is its
leverage there, |U_k[i]|^2; with the d x d matrix of products X'X = V S^2 V' it is |x_i V_k / S_k|^2, so that
neither U nor the pairs are ever there.

The paper's rows are hidden states of image tokens that the instruction attends to in a VLM's first layer;
here they are the encoder's vectors of image and text, which is a variant that needs no VLM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from clustering.vectors import unit
from curation.selectors.decision import Deciding, Decision
from curation.selectors.grid import ByCover, covered
from curation.selectors.order import TIES, demand, pick_order
from schemas.grid import on_grid

if TYPE_CHECKING:
    import polars as pl

ENERGY = 0.9
CHUNK = 4096
# Bits of the largest number in the directions: with rows on the grid, products with them are exact.
BITS = 30


@dataclass(frozen=True)
class ScalSelect(ByCover, Deciding):
    """The highest leverage first. Rows without such vectors come last.

    Ties go to the smaller (content_hash, uid); the seed has no influence; a smaller budget is a prefix.
    Time: n * d^2; memory: the vectors twice and d^2. Leverage favours outliers, bad records among them.
    """

    cover: str = "joint"

    name: ClassVar[str] = "scalselect"

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        import polars as pl

        demand(table, (*TIES, *self.needs))
        score = leverage(covered(table, self.cover))
        return Decision(pick_order(table, [pl.Series(score)], [True])[:n], score)


def leverage(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """The share of each row in the subspace with ENERGY of the pool: (n, d) on the grid -> (n,) in [0, 1].

    NaN for a zero row, which is no part of the pool.
    """
    held: NDArray[np.bool_] = np.asarray(rows.any(axis=1))
    if not held.any():
        return np.full(len(rows), np.nan)
    scaled = standardised(rows, held)
    products = np.zeros((rows.shape[1], rows.shape[1]))
    for start in range(0, len(rows), CHUNK):
        part = scaled[start : start + CHUNK].astype(np.float64)
        products += part.T @ part
    onto = directions(products)
    found = np.empty(len(rows))
    for start in range(0, len(rows), CHUNK):
        part = scaled[start : start + CHUNK].astype(np.float64)
        found[start : start + CHUNK] = np.square(part @ onto).sum(axis=1)
    return np.where(held, found, np.nan)


def standardised(rows: NDArray[np.float32], held: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Columns centred and divided by their deviation over `held`, rows of length 1; on the grid."""
    n = held.sum()
    mean = rows.sum(axis=0, dtype=np.float64) / n
    # Squares of numbers on the grid are on a grid of their own, and so their sum is exact as well.
    squares = np.zeros(rows.shape[1])
    for start in range(0, len(rows), CHUNK):
        squares += np.square(rows[start : start + CHUNK], dtype=np.float64).sum(axis=0)
    deviation = np.sqrt(np.maximum(squares / n - mean**2, 0.0))
    scale = np.where(deviation > 1e-9, deviation, np.inf)
    scaled = np.zeros_like(rows)
    for start in range(0, len(rows), CHUNK):
        scaled[start : start + CHUNK] = on_grid(unit((rows[start : start + CHUNK] - mean) / scale))
    scaled[~held] = 0
    return scaled


def directions(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """V_k / S_k of the fewest eigenvectors with ENERGY: (d, d) -> (d, k)."""
    energy, vectors = np.linalg.eigh(products)
    energy, vectors = np.maximum(energy[::-1], 0.0), vectors[:, ::-1]
    if not energy[0]:
        return np.zeros((len(products), 1))
    k = int(np.searchsorted(np.cumsum(energy), ENERGY * energy.sum() * (1 - 1e-12))) + 1
    onto: NDArray[np.float64] = vectors[:, :k] / np.sqrt(energy[:k])
    step = 2.0 ** (int(np.frexp(np.abs(onto).max())[1]) - BITS)
    rounded: NDArray[np.float64] = np.rint(onto / step) * step
    return rounded
