"""`kcenter` and `maxmin`: every pick is the row farthest from all picks so far (Gonzalez, TCS 1985)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.selectors.decision import Deciding, Decision
from curation.selectors.grid import IMAGE, TEXT, joint_vectors
from curation.selectors.order import TIES, demand, pick_order
from curation.selectors.spec import Plain

if TYPE_CHECKING:
    import polars as pl

# Products held at once: 64 MB of float32.
HELD = 2**24


@dataclass(frozen=True)
class KCenter(Plain, Deciding):
    """Greedy k-center over joint vectors: no row lies farther from the picks than twice the optimum.

    It starts with the row nearest to the mean of all. Distances are 1 - cosine; ties go to the smaller
    (content_hash, uid). The seed has no influence; a smaller budget is a prefix. n * k * d multiplications
    at most, n * d * 4 bytes: never n x n.
    """

    name: ClassVar[str] = "kcenter"
    needs: ClassVar[tuple[str, ...]] = (IMAGE, TEXT)

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, *self.needs))
        canonical = pick_order(table, [], [])
        if not len(canonical) or n < 1:
            return Decision(canonical[:0])
        rows = joint_vectors(table)[canonical]
        order, similarity = farthest_first(rows, min(n, len(rows)), self._start(rows))
        score = np.full(len(rows), np.nan)
        score[canonical[order]] = 1.0 - similarity
        return Decision(canonical[order], score)

    def _start(self, rows: NDArray[np.float32]) -> int:
        return middle(rows)


@dataclass(frozen=True)
class MaxMin(KCenter):
    """Greedy max-min diversity: the same, started at a far end, so that the nearest two picks lie far apart.

    The smallest distance between two picks is at least half of the largest possible.
    """

    name: ClassVar[str] = "maxmin"

    def _start(self, rows: NDArray[np.float32]) -> int:
        return int((rows @ rows[middle(rows)]).argmin())


def middle(rows: NDArray[np.float32]) -> int:
    """The row nearest to the mean of all; the first of several."""
    total = rows.sum(axis=0, dtype=np.float64)
    best, where = -np.inf, 0
    for start in range(0, len(rows), 4096):
        near = rows[start : start + 4096].astype(np.float64) @ total
        if near.max() > best:
            best, where = near.max(), start + int(near.argmax())
    return where


def farthest_first(
    rows: NDArray[np.float32], k: int, start: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Picks, k of them, each the row whose highest similarity to the picks before it is lowest.

    Products are computed for the rows that are farthest now, many at once: as long as the next pick is among
    them, nothing else is needed. The result is that of one at a time.

    Args:
        rows: (n, d) on the grid.
        k: in 1 … n.
        start: the first pick.

    Returns:
        (k,) int64 rows in pick order, and (k,) float64 the highest similarity to an earlier pick (-inf for
        the first). Ties go to the smaller row.
    """
    n = len(rows)
    most = int(np.clip(HELD // n, 1, 256))
    closest = np.full(n, -np.inf, np.float32)
    order, similarity = np.empty(k, np.int64), np.empty(k)
    count, width = 0, 1
    following = start
    while count < k:
        ahead = np.argpartition(closest, min(width, n - 1))[:width] if width > 1 else np.empty(0, np.int64)
        proposed = np.unique(np.array([following, *ahead], np.int64))
        place = {row: at for at, row in enumerate(proposed.tolist())}
        products = rows[proposed] @ rows.T
        used = 0
        while count < k and following in place:
            order[count], similarity[count] = following, closest[following]
            np.maximum(closest, products[place[following]], out=closest)
            closest[following] = np.inf
            count, used = count + 1, used + 1
            following = int(closest.argmin())
        # As wide as it pays: a product that is not used costs as much as one that is.
        width = min(width * 2, most) if used * 2 > len(proposed) else max(width // 2, 1)
    return order, similarity
