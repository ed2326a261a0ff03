"""Scores as a table, and what was added, as lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs.text import Tree, line, size, table

UID_DIGITS = 8  # enough to name a sample by
MOST_OF_TEXT = 24
# What is left out first where a screen is too narrow.
SPARE = ("source", "synthetic_quality", "uid", "kept")


def listed(tree: Tree) -> Iterator[str]:
    """A row a sample."""
    names = tree["columns"]
    rows = [[_cell(name, row[name]) for name in names] for row in tree["rows"]]
    if rows:
        right = [i for i, name in enumerate(names) if _is_number(tree["rows"], name)]
        yield from table(
            names, rows, right=right, spare=[names.index(name) for name in SPARE if name in names]
        )
        yield ""
    among = f" of {tree['n_samples']:,}" if tree["n_matching"] < tree["n_samples"] else ""
    shown = f", the first {len(rows):,} are shown" if len(rows) < tree["n_matching"] else ""
    yield line("samples", f"{tree['n_matching']:,}{among}{shown}")


def written(tree: Tree) -> Iterator[str]:
    """Where they are."""
    yield line("wrote", f"{tree['out']} ({size(tree['bytes'])})")
    yield line("samples", f"{tree['rows']:,}, {len(tree['columns']):,} columns")


def added(tree: Tree) -> Iterator[str]:
    """The columns, and what to do with them."""
    yield line("added", ", ".join(f"{name} ({kind})" for name, kind in tree["columns"].items()))
    yield line("samples", f"{tree['n_samples']:,} of {tree['n_pool']:,}; the others have no value")
    numbers = [name for name, kind in tree["columns"].items() if kind != "string"]
    if numbers:
        yield line("next", f"curate select --budget 30% --strategy top:{numbers[0]}")


def dropped(tree: Tree) -> Iterator[str]:
    """What is gone and what is left."""
    yield line("dropped", ", ".join(tree["dropped"]))
    if tree["columns"]:
        yield line("left", ", ".join(tree["columns"]))


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "uid":
        return str(value)[:UID_DIGITS]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= MOST_OF_TEXT else f"{text[: MOST_OF_TEXT - 1]}…"


def _is_number(rows: list[dict[str, Any]], name: str) -> bool:
    values = [row[name] for row in rows if row[name] is not None]
    return bool(values) and all(isinstance(value, int | float) for value in values)
