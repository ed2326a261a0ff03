"""Strategies that go by one column: the one that their spec names, or else the best that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curation.selectors.spec import column_and_direction
from schemas.errors import SchemaError
from scorers.judgement import COLUMNS as JUDGED

if TYPE_CHECKING:
    import polars as pl

NECESSITY = "visual_necessity"
# How good a sample is, the surest first: what a model says of it that was asked, what its images add to the
# answer, and what needs no further model. Capabilities say what a sample is about, and a head's highest
# value may be the worst: they are never taken unasked.
BEST = (
    *JUDGED[:3],
    NECESSITY,
    "image_grounding",
    "phrase_grounding",
    "synthetic_quality",
    "alignment",
)


class ByColumn:
    """What the selectors by one column share. `column` is "" where none is named: see BEST."""

    column: str

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.column,) if self.column else ()

    @property
    def wants(self) -> tuple[str, ...]:
        return () if self.column else BEST

    def chosen(self, table: pl.DataFrame) -> str:
        """The column to go by: of BEST the first that at least half of the rows of `table` have a value of.

        Where none is so common, the first that is there at all.

        Raises:
            SchemaError: none is there.
        """
        if self.column:
            return self.column
        there = [name for name in BEST if name in table.columns]
        if not there:
            raise SchemaError(
                f"the table has none of {', '.join(BEST)}; name a column: --strategy top:COLUMN"
            )
        common = [name for name in there if 2 * table[name].null_count() <= len(table)]
        return (common or there)[0]

    def why(self, column: str) -> str:
        """A sentence on how `column` was chosen; nothing where it was named."""
        return "" if self.column else f"no column was named: {column} is the best that is there"


def column_or_best(name: str, argument: str | None) -> tuple[str, bool]:
    """As `column_and_direction`; ("", False) where the spec of strategy `name` gives no argument.

    Raises:
        ConfigError: it gives an empty one.
    """
    return ("", False) if argument is None else column_and_direction(name, argument)
