"""`top:COLUMN`: the highest values of one column; `top:-COLUMN`: the lowest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from curation.selectors.decision import Deciding, Decision
from curation.selectors.order import TIES, demand, numbers, pick_order
from curation.selectors.spec import column_and_direction

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Top(Deciding):
    """The rows with the highest values of `column` (or the lowest), rows without a value last.

    Ties go to the smaller (content_hash, uid). The seed has no influence; a smaller budget is a prefix.
    """

    column: str
    lowest: bool = False

    name: ClassVar[str] = "top"

    @classmethod
    def parse(cls, argument: str | None) -> Self:
        """The selector of the spec `NAME:COLUMN` or `NAME:-COLUMN`.

        Raises:
            ConfigError: there is no column.
        """
        return cls(*column_and_direction(cls.name, argument))

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, *self.needs))
        order = pick_order(table, [table[self.column]], [not self.lowest])[:n]
        return Decision(order, numbers(table[self.column]))
