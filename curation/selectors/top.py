"""`top`, `top:COLUMN`: the highest values of one column; `top:-COLUMN`: the lowest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from curation.selectors.by_column import ByColumn, column_or_best
from curation.selectors.decision import Deciding, Decision
from curation.selectors.order import TIES, demand, numbers, pick_order

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Top(ByColumn, Deciding):
    """The rows with the highest values of `column` (or the lowest), rows without a value last.

    Ties go to the smaller (content_hash, uid). The seed has no influence; a smaller budget is a prefix.
    """

    column: str
    lowest: bool = False

    name: ClassVar[str] = "top"

    @classmethod
    def parse(cls, argument: str | None) -> Self:
        """The selector of the spec `NAME`, `NAME:COLUMN` or `NAME:-COLUMN`.

        Raises:
            ConfigError: the column's name is empty.
        """
        return cls(*column_or_best(cls.name, argument))

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, *self.needs))
        column = self.chosen(table)
        order = pick_order(table, [table[column]], [not self.lowest])[:n]
        whole = np.zeros(len(table), np.int64)
        return Decision(order, numbers(table[column]), whole, ["all"], [column], [self.why(column)])
