"""`top:COLUMN`: the highest values of one column; `top:-COLUMN`: the lowest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from curation.selection.decision import Decision
from curation.selection.order import TIES, demand, numbers, pick_order
from schemas.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Top:
    """The rows with the highest values of `column` (or the lowest), rows without a value last.

    Ties go to the smaller (content_hash, uid). The seed has no influence; a smaller budget is a prefix.
    """

    column: str
    lowest: bool = False

    name: ClassVar[str] = "top"

    @classmethod
    def parse(cls, argument: str | None) -> Top:
        """The selector of the spec `top:COLUMN` or `top:-COLUMN`.

        Raises:
            ConfigError: there is no column.
        """
        return cls(*column_and_direction(cls.name, argument))

    @property
    def needs(self) -> tuple[str, ...]:
        """See `schemas.protocols.Selector`."""
        return (self.column,)

    def select(self, table: pl.DataFrame, n: int, seed: int) -> NDArray[np.int64]:
        """See `schemas.protocols.Selector`."""
        return self.decide(table, n, seed).order

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        """See `curation.selection.decision`."""
        demand(table, (*TIES, *self.needs))
        order = pick_order(table, [table[self.column]], [not self.lowest])[:n]
        return Decision(order, numbers(table[self.column]))


def column_and_direction(name: str, argument: str | None) -> tuple[str, bool]:
    """`COLUMN` -> (COLUMN, False), `-COLUMN` -> (COLUMN, True): whether the lowest values come first.

    Raises:
        ConfigError: there is no column.
    """
    column = (argument or "").removeprefix("-")
    if not column:
        raise ConfigError(
            f"{name} needs a column: write {name}:COLUMN, or {name}:-COLUMN for the lowest first"
        )
    return column, argument != column
