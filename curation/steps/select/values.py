"""Values that settings name and no sample has: mostly a slip of the pen, so it is said."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from curation.steps.select.filters import TOKEN, Clause
from schemas.bounds import EACH, Bound
from schemas.errors import ConfigError
from schemas.near import near

if TYPE_CHECKING:
    import polars as pl

LOG = logging.getLogger(__name__)
NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


def demand_values(
    table: pl.DataFrame, bounds: Sequence[Bound], wheres: Sequence[Clause], *, n_candidates: int
) -> None:
    """Refuse a bound on a text that no sample has; warn of a condition on one, or refuse it if none is left.

    Raises:
        ConfigError: naming the value that was meant, if one is like it.
    """
    for bound in bounds:
        if bound.value != EACH and bound.column in table.columns:
            known = _known(table, bound.column)
            if known is not None and bound.value not in known:
                none = f"no sample has {bound.column} {bound.value!r}"
                raise ConfigError(f"{bound}: {none}; {near(bound.value, known)}")
    for clause in wheres:
        for column, value in compared(clause.text):
            known = _known(table, column) if column in table.columns else None
            if known is not None and value not in known:
                none = f"--where {clause.text!r}: no sample has {column} {value!r}; {near(value, known)}"
                if not n_candidates:
                    raise ConfigError(none)
                LOG.warning("%s", none)


def _known(table: pl.DataFrame, column: str) -> set[str] | None:
    import polars as pl

    values = table[column]
    return set(values.drop_nulls().unique().to_list()) if values.dtype == pl.String else None


def compared(condition: str) -> Iterator[tuple[str, str]]:
    """The columns of a condition with the texts that they are compared with.

    >>> list(compared("source = 'a' or source IN ('b', 'c') or n_words > 3 or 'd' != dataset"))
    [('source', 'a'), ('source', 'b'), ('source', 'c'), ('dataset', 'd')]
    """
    tokens = [token for token in TOKEN.findall(condition) if not token.isspace()]
    for at, token in enumerate(tokens):
        if not token.startswith("'"):
            continue
        column = _before(tokens[:at]) or _behind(tokens[at + 1 :])
        if column is not None:
            yield column, token[1:-1].replace("''", "'")


def _before(tokens: Sequence[str]) -> str | None:
    """The column of `column = ` and of `column IN ('a', `."""
    left = list(tokens)
    listed = [token for token in left if token == "("]
    while listed and left and (left[-1] == "," or left[-1].startswith("'")):
        left.pop()
    if left[-2:] and left[-1] == "(" and left[-2].upper() == "IN":
        left = left[:-2]
        if left and left[-1].upper() == "NOT":
            left.pop()
        return _column(left[-1:])
    while left and left[-1] in "=!<>":
        left.pop()
    return _column(left[-1:]) if len(left) < len(tokens) else None


def _behind(tokens: Sequence[str]) -> str | None:
    """The column of ` = column`."""
    rest = list(tokens)
    while rest and rest[0] in "=!<>":
        rest.pop(0)
    return _column(rest[:1]) if len(rest) < len(tokens) else None


def _column(tokens: Sequence[str]) -> str | None:
    name = tokens[0].strip('"') if tokens else ""
    return name if NAME.fullmatch(name) else None
