"""`weighted:a*0.5+b`: the highest values of an arithmetic expression over the columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from curation.selectors.decision import Deciding, Decision
from curation.selectors.order import TIES, demand, numbers, pick_order
from schemas.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

HINT = "write weighted:alignment*0.5+synthetic_quality, with column names, numbers, + - * / and ( )"


@dataclass(frozen=True)
class Weighted(Deciding):
    """The rows with the highest value of `expression`, an arithmetic SQL expression over columns as they are.

    Columns are not rescaled: give each the weight that its unit asks for. A row without one of the values has
    no value and comes last; ties go to the smaller (content_hash, uid). The seed has no influence; a smaller
    budget is a prefix.
    """

    expression: str

    name: ClassVar[str] = "weighted"

    @classmethod
    def parse(cls, argument: str | None) -> Weighted:
        """The selector of the spec `weighted:EXPRESSION`.

        Raises:
            ConfigError: there is no expression, or it is none.
        """
        made = cls((argument or "").strip())
        if not made.expression or not made.needs:
            raise ConfigError(f"weighted needs an expression over columns; {HINT}")
        return made

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._parsed().meta.root_names()))

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        import polars as pl

        demand(table, (*TIES, *self.needs))
        columns = [pl.Series(name, numbers(table[name])) for name in self.needs]
        try:
            values = pl.DataFrame(columns).select(self._parsed().alias("value"))["value"]
            score = numbers(values)
        except pl.exceptions.PolarsError as error:
            raise ConfigError(f"{self.expression!r} cannot be computed: {error}; {HINT}") from None
        order = pick_order(table, [pl.Series(score)], [True])[:n]
        return Decision(order, score)

    def _parsed(self) -> pl.Expr:
        import polars as pl

        try:
            return pl.sql_expr(self.expression)
        except pl.exceptions.PolarsError as error:
            raise ConfigError(f"{self.expression!r} is no expression ({error}); {HINT}") from None
