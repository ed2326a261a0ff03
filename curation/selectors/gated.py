"""`gated`: by chance, but the lowest share of a score only after all others. With `--mix`, group by group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from curation.selectors.decision import Deciding, Decision
from curation.selectors.order import TIES, demand, drawn, numbers, pick_order
from curation.selectors.spec import column_and_direction, knob

if TYPE_CHECKING:
    import polars as pl

SHARE = 0.5


@dataclass(frozen=True)
class Gated(Deciding):
    """The rows above the gate in random order, then those below it, the best first.

    The gate is at the share `share` of the rows that have a value of `column`. Rows without one are never
    below it: of them the score says nothing. A smaller budget is a prefix.
    """

    column: str = "alignment"
    lowest: bool = False
    share: float = SHARE

    name: ClassVar[str] = "gated"

    @classmethod
    def parse(cls, argument: str | None) -> Gated:
        """The selector of the spec `gated`, `gated:COLUMN`, `gated:-COLUMN` or `gated:COLUMN@0.3`.

        Raises:
            ConfigError: the column's name is empty, or the share is none below 1.
        """
        column, at, share = (argument or "").partition("@")
        name, lowest = column_and_direction(cls.name, column) if argument else (cls.column, False)
        wanted = f"gated leaves out a share from 0 to 1, such as gated:alignment@0.3, not {share!r}"
        return cls(name, lowest, knob(share if at else None, SHARE, lambda value: 0 <= value < 1, wanted))

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, self.column))
        score = numbers(table[self.column])
        ranked = pick_order(table, [table[self.column]], [not self.lowest])
        valued = ranked[~np.isnan(score[ranked])]
        below = valued[len(valued) - int(self.share * len(valued)) :]
        is_below = np.zeros(len(table), np.int64)
        is_below[below] = 1
        order = drawn(table, seed)
        order = np.concatenate([order[is_below[order] == 0], below])[:n]
        names = [f"above the gate of {self.column}", f"below the gate of {self.column}"]
        return Decision(order, score, is_below, names, ["", self.column], ["", ""])
