"""`prism`: what correlates least with the pool, once the pool's mean is taken off (PRISM, arXiv 2502.12119).

Mean features of images lie in a narrow cone, so that all of them correlate. PRISM takes their common part
off (re-centring); what still correlates with the others, in the mean over all of them, is redundant.
Pearson's r of two rows is the product of both after their own means are taken off and they are scaled to
length 1, so the mean of r over the pool is one product with the mean row: no pairs.

The paper's features are those that a language model sees of an image, averaged; here they are the encoder's.
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

CHUNK = 4096


@dataclass(frozen=True)
class Prism(ByCover, Deciding):
    """The lowest mean correlation first. Rows without such vectors come last: of them it says nothing.

    Ties go to the smaller (content_hash, uid); the seed has no influence; a smaller budget is a prefix.
    Time: n * d; memory: the vectors twice.
    """

    cover: str = "image"

    name: ClassVar[str] = "prism"

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        import polars as pl

        demand(table, (*TIES, *self.needs))
        score = correlation(covered(table, self.cover))
        return Decision(pick_order(table, [pl.Series(score)], [False])[:n], score)


def correlation(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean of Pearson's r of each row with all of them, after the mean row is taken off.

    (n, d) on the grid -> (n,) in [-1, 1]; NaN for a zero row, which is no part of the mean either.
    Sums are exact, so that the order of the rows does not matter.
    """
    held = rows.any(axis=1)
    n = max(int(held.sum()), 1)
    mean = rows.sum(axis=0, dtype=np.float64) / n
    centred = np.zeros_like(rows)
    for start in range(0, len(rows), CHUNK):
        away = rows[start : start + CHUNK] - mean
        centred[start : start + CHUNK] = on_grid(unit(away - away.mean(axis=1, keepdims=True)))
    centred[~held] = 0
    total = centred.sum(axis=0, dtype=np.float64)
    found = np.full(len(rows), np.nan)
    for start in range(0, len(rows), CHUNK):
        found[start : start + CHUNK] = centred[start : start + CHUNK] @ total / n
    return np.where(held, found, np.nan)
