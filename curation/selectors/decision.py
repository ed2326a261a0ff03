"""What a selector can say besides its picks: the stratum of each row, the score that decided, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from schemas.protocols import Selector

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Decision:
    """Picks and their provenance. n rows of the table, g strata, k picks."""

    order: NDArray[np.int64]  # (k,) row positions in pick order
    score: NDArray[np.float64] | None = None  # (n,) what rows were compared by; NaN: no value
    stratum: NDArray[np.int64] | None = None  # (n,) in [0, g)
    names: Sequence[str] = ()  # (g,) of the strata
    scorers: Sequence[str] = ()  # (g,) the column that decided in each, "" for chance
    why: Sequence[str] = ()  # (g,) a sentence on how that column was chosen, or ""


@runtime_checkable
class Deciding(Protocol):
    """A selector that explains its picks; `select` is made of it."""

    def select(self, table: pl.DataFrame, n: int, seed: int) -> NDArray[np.int64]:
        return self.decide(table, n, seed).order

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        """As `select`, with the reasons."""
        ...


@runtime_checkable
class Wanting(Protocol):
    """A selector that uses columns where they exist, besides those that it needs."""

    @property
    def wants(self) -> tuple[str, ...]: ...


def decide(selector: Selector, table: pl.DataFrame, n: int, seed: int) -> Decision:
    """The decision of any selector: one that does not explain itself gives its picks alone."""
    if isinstance(selector, Deciding):
        return selector.decide(table, n, seed)
    return Decision(selector.select(table, n, seed))


def wanted(selector: Selector) -> tuple[str, ...]:
    """Every column that the selector may look at: those it needs, then those it uses where they exist."""
    return (*selector.needs, *(selector.wants if isinstance(selector, Wanting) else ()))
