"""`random`: the baseline that every other strategy has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.selectors.order import TIES, demand, drawn
from curation.selectors.spec import Plain

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Random(Plain):
    """Uniformly at random, without repeats, by a hash of (seed, uid).

    Whether a sample is picked before another depends on the two alone: a smaller budget is a prefix, and
    a pool that grows keeps most of its picks.
    """

    name: ClassVar[str] = "random"
    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, table: pl.DataFrame, n: int, seed: int) -> NDArray[np.int64]:
        demand(table, TIES)
        return drawn(table, seed)[:n]
