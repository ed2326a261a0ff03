"""Selections inside bounds: what a strategy would pick, changed as little as the bounds ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.selectors.apportion import nearest, whole_shares
from curation.selectors.decision import Decision, decide
from curation.selectors.order import numbers
from schemas.bounds import EACH, Bound
from schemas.errors import BudgetError, ConfigError
from schemas.near import near
from schemas.protocols import Selector
from scorers.taxonomy import STYLE_COLUMNS, column

if TYPE_CHECKING:
    import polars as pl

Ints = NDArray[np.int64]

STYLE = "style"
HAS_STYLE = 0.5


@dataclass(frozen=True)
class Limit:
    """A bound on one group of rows, in samples."""

    text: str  # as it was written
    rows: NDArray[np.bool_]  # (n,)
    least: int
    most: int


def columns_of(bounds: Sequence[Bound]) -> tuple[str, ...]:
    """The columns that the bounds read."""
    names = [STYLE_COLUMNS if bound.column == STYLE else (bound.column,) for bound in bounds]
    return tuple(dict.fromkeys(name for part in names for name in part))


def limits(table: pl.DataFrame, bounds: Sequence[Bound], n: int) -> list[Limit]:
    """What the bounds mean for a selection of n rows of `table`.

    Raises:
        ConfigError: a value does not occur in its column, or a style does not exist.
    """
    found = []
    for bound in bounds:
        for value, rows in _groups(table, bound):
            text = str(bound).replace(f":{EACH}=", f":{value}=", 1) if bound.value == EACH else str(bound)
            limit = bound.samples(n)
            least, most = (limit, len(table)) if bound.kind == "at-least" else (0, limit)
            found.append(Limit(text, rows, least, most))
    return found


def _groups(table: pl.DataFrame, bound: Bound) -> list[tuple[str, NDArray[np.bool_]]]:
    import polars as pl

    if bound.column == STYLE:
        if bound.value == EACH:
            return [(name.removeprefix("style_"), _has(table, name)) for name in STYLE_COLUMNS]
        name = column("style", bound.value)
        if name not in STYLE_COLUMNS:
            known = ", ".join(style.removeprefix("style_") for style in STYLE_COLUMNS)
            raise ConfigError(f"{bound}: there is no style {bound.value!r}; there are {known}")
        return [(bound.value, _has(table, name))]
    values = table[bound.column].cast(pl.String)
    there = values.drop_nulls().unique().sort().to_list()
    if bound.value == EACH:
        return [(value, (values == value).fill_null(False).to_numpy()) for value in there]
    if bound.value not in there and bound.kind == "at-least" and bound.limit:
        none = f"no candidate has {bound.column} {bound.value!r}"
        raise ConfigError(f"{bound}: {none}; {near(bound.value, there)}")
    return [(bound.value, (values == bound.value).fill_null(False).to_numpy())]


def _has(table: pl.DataFrame, name: str) -> NDArray[np.bool_]:
    return np.nan_to_num(numbers(table[name])) >= HAS_STYLE


def select_within(
    selector: Selector, table: pl.DataFrame, n: int, seed: int, bounds: Sequence[Limit]
) -> Decision:
    """Exactly min(n, len(table)) rows that meet every bound, and otherwise what the selector picks.

    Where its own picks meet them, they stay. Else each group of rows (rows to which the same bounds apply)
    gets the number nearest to what it had: groups that lose, lose their last picks; groups that gain, get
    what the selector picks among the rest of them, at the end of the order.

    Raises:
        BudgetError: no selection meets the bounds; the message names those that stand against each other.
    """
    n = min(n, len(table))
    decision = decide(selector, table, n, seed)
    chosen = np.zeros(len(table), bool)
    chosen[decision.order] = True
    if all(limit.least <= int(chosen[limit.rows].sum()) <= limit.most for limit in bounds):
        return decision
    cells, patterns = _cells([limit.rows for limit in bounds])
    sizes = np.bincount(cells, minlength=len(patterns))
    had = np.bincount(cells[decision.order], minlength=len(patterns))
    quotas = _quotas(bounds, patterns, sizes, had, n)
    places = np.zeros(len(patterns), np.int64)
    kept = []
    for row in decision.order.tolist():
        places[cells[row]] += 1
        if places[cells[row]] <= quotas[cells[row]]:
            kept.append(row)
    more = [
        _further(
            selector, table, np.flatnonzero((cells == cell) & ~chosen), int(quotas[cell] - had[cell]), seed
        )
        for cell in np.flatnonzero(quotas > had).tolist()
    ]
    order = np.concatenate([np.array(kept, np.int64), *more])
    return Decision(order, decision.score, decision.stratum, decision.names, decision.scorers, decision.why)


def _further(selector: Selector, table: pl.DataFrame, rows: Ints, n: int, seed: int) -> Ints:
    return rows[decide(selector, table[rows], n, seed).order]


def _cells(masks: Sequence[NDArray[np.bool_]]) -> tuple[Ints, NDArray[np.bool_]]:
    """The cell of each row (rows that the same masks hold are one), and (c, m) which masks hold each cell."""
    packed = np.packbits(np.stack(masks, axis=1), axis=1)
    _, first, cells = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    return cells.reshape(-1), np.stack([mask[first] for mask in masks], axis=1)


def _quotas(bounds: Sequence[Limit], patterns: NDArray[np.bool_], sizes: Ints, had: Ints, n: int) -> Ints:
    found = _solved(bounds, patterns, sizes, had, n)
    if found is None:
        raise BudgetError(_clash(bounds, patterns, sizes, n))
    return found


def _solved(
    bounds: Sequence[Limit], patterns: NDArray[np.bool_], sizes: Ints, had: Ints, n: int
) -> Ints | None:
    """How many of each cell: near to `had`, inside the bounds, n in all; None where that is impossible."""
    kinds = np.unique(patterns, axis=1)
    if (kinds.sum(axis=1) > 1).any() or (kinds.sum(axis=0) > 1).any():
        return _program(bounds, patterns, sizes, had, n)
    # Groups are apart, and each is one cell.
    least, most = np.zeros_like(sizes), sizes.copy()
    for number, limit in enumerate(bounds):
        cell = patterns[:, number]
        if not cell.any() and limit.least:
            return None
        least[cell] = np.maximum(least[cell], limit.least)
        most[cell] = np.minimum(most[cell], limit.most)
    if (least > most).any() or not least.sum() <= n <= most.sum():
        return None
    shares = nearest(had.astype(np.float64), least.astype(np.float64), most.astype(np.float64), n)
    return whole_shares(shares, least, most, n)


def _program(
    bounds: Sequence[Limit], patterns: NDArray[np.bool_], sizes: Ints, had: Ints, n: int
) -> Ints | None:
    """The same where bounds overlap: the whole-number program that moves as few picks as can be."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    c = len(sizes)
    # Variables: x (c) and how far each lies above and below `had` (2 c).
    inside = np.concatenate([np.ones((1, c)), patterns.T.astype(np.float64)])
    lower = [n, *(limit.least for limit in bounds)]
    upper = [n, *(limit.most for limit in bounds)]
    held = LinearConstraint(np.hstack([inside, np.zeros((len(inside), 2 * c))]), lower, upper)
    moved = LinearConstraint(np.hstack([np.eye(c), -np.eye(c), np.eye(c)]), had, had)
    far = np.concatenate([sizes, sizes, sizes]).astype(np.float64)
    cost = np.concatenate([np.zeros(c), np.ones(2 * c)])
    solved = milp(
        cost, constraints=[held, moved], bounds=Bounds(np.zeros(3 * c), far), integrality=np.ones(3 * c)
    )
    return None if solved.x is None else np.rint(solved.x[:c]).astype(np.int64)


def _clash(bounds: Sequence[Limit], patterns: NDArray[np.bool_], sizes: Ints, n: int) -> str:
    """A sentence on bounds that stand against each other: without any one of them the rest can be met."""
    for number, limit in enumerate(bounds):
        there = int(sizes[patterns[:, number]].sum())
        if limit.least > there:
            return (
                f"{limit.text} cannot be met: there are only {there:,} candidates of that kind; ask for less"
            )
    kept = list(range(len(bounds)))
    none = np.zeros_like(sizes)
    for number in range(len(bounds)):
        without = [other for other in kept if other != number]
        if _solved([bounds[i] for i in without], patterns[:, without], sizes, none, n) is None:
            kept = without
    named = ", ".join(bounds[number].text for number in kept)
    return (
        f"a selection of {n:,} out of {int(sizes.sum()):,} candidates cannot meet {named}; loosen one of them"
    )
