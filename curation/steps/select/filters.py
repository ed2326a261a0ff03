"""Filters before a selection: `--where 'n_tokens < 4096 and alignment > 0'`, clause by clause."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

HINT = "write conditions over columns, such as 'n_tokens < 4096 and alignment > 0'"
# What is no training sample whatever it is for. Each applies where its columns exist. A fidelity of 0.5 is
# one serious flag of synthetic quality.
DEFAULTS = (
    "n_answer_words >= 1",
    "min_contrast > 0.01 or min_contrast is null",
    "fidelity > 0.6 or fidelity is null",
)
FLOOR = "alignment_floor"  # the threshold of a sample's group; null where nothing is left out by it
TOKEN = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[A-Za-z_][A-Za-z_0-9]*|[()]|\s+|.", re.DOTALL)


@dataclass(frozen=True)
class Clause:
    """One condition.

    Args:
        text: as it was written, or what it is called.
        condition: the SQL of it, where that is not `text`.
    """

    text: str
    condition: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """What it reads.

        Raises:
            ConfigError: it is no expression.
        """
        return tuple(dict.fromkeys(_parsed(self.condition or self.text).meta.root_names()))

    def holds(self, table: pl.DataFrame) -> NDArray[np.bool_]:
        """For which rows it is true: (n,). Null is not true, as in SQL.

        Raises:
            ConfigError: it cannot be computed, or is no condition of single rows.
        """
        import polars as pl

        try:
            found = table.select(_parsed(self.condition or self.text).alias("holds"))["holds"]
        except pl.exceptions.PolarsError as error:
            raise ConfigError(f"--where {self.text!r} cannot be computed: {_line(error)}; {HINT}") from None
        if found.dtype != pl.Boolean or len(found) != len(table):
            raise ConfigError(f"--where {self.text!r} is no condition that each sample meets or not; {HINT}")
        return found.fill_null(False).to_numpy()


# The default filter whose threshold is measured on the pool, group by group (table `filters`).
MEASURED = Clause(
    "alignment >= threshold of its group",
    f"alignment >= {FLOOR} or alignment is null or {FLOOR} is null",
)


def clauses(conditions: Sequence[str]) -> list[Clause]:
    """The conditions, cut at each `and` outside brackets: what each keeps is counted by itself.

    >>> [clause.text for clause in clauses(["n_tokens < 4096 and (alignment > 0 and n_images = 1)"])]
    ['n_tokens < 4096', '(alignment > 0 and n_images = 1)']

    Raises:
        ConfigError: one is no expression, or reads no column.
    """
    found = [Clause(text) for condition in conditions for text in _split(condition)]
    for clause in found:
        if not clause.columns:
            raise ConfigError(f"--where {clause.text!r} names no column; {HINT}")
    return found


def default_clauses(known: Sequence[str]) -> list[Clause]:
    """Those of DEFAULTS, and MEASURED, whose columns are all among `known`."""
    there = {*known, FLOOR}
    return [clause for clause in (*map(Clause, DEFAULTS), MEASURED) if set(clause.columns) <= there]


def first_failed(table: pl.DataFrame, applied: Sequence[Clause]) -> NDArray[np.int64]:
    """The number of the first clause that each row fails, -1 where it meets all: (n,)."""
    failed = np.full(len(table), -1, np.int64)
    for number, clause in reversed(list(enumerate(applied))):
        failed[~clause.holds(table)] = number
    return failed


def _split(condition: str) -> list[str]:
    """The parts between top-level ANDs, except that of BETWEEN … AND."""
    parts, depth, between = [""], 0, False
    for token in TOKEN.findall(condition):
        word = token.upper()
        depth += (token == "(") - (token == ")")
        if word == "BETWEEN" and not depth:
            between = True
        if word in ("OR", "CASE") and not depth:
            # AND binds tighter than OR: such a condition is one clause.
            return [condition.strip()]
        if word == "AND" and not depth and not between:
            parts.append("")
            continue
        if word == "AND" and not depth:
            between = False
        parts[-1] += token
    return [part.strip() for part in parts]


def _parsed(text: str) -> pl.Expr:
    import polars as pl

    # `cluster` is a word of SQL, and here a column.
    tokens = ['"cluster"' if token.lower() == "cluster" else token for token in TOKEN.findall(text)]
    try:
        return pl.sql_expr("".join(tokens))
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"--where {text!r} is no condition ({_line(error)}); {HINT}") from None


def _line(error: Exception) -> str:
    return str(error).splitlines()[0]
