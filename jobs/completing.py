"""What a shell is told that a flag may say. Asked for in a process of its own, at each press of the key."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click


def strategies() -> Iterable[str]:
    """Names of strategies; behind `top:` and its like the columns."""
    from curation.catalog import FIXED
    from curation.selectors import SELECTORS

    by_column = ("top", "top-per-cluster", "weighted")
    yield from SELECTORS
    yield from (f"{name}:{column}" for name in by_column for column in sorted(FIXED))


def columns() -> Iterable[str]:
    """Columns of scores."""
    from curation.catalog import FIXED

    return sorted(FIXED)


def models() -> Iterable[str]:
    """What --model takes without a path."""
    from curation.models.spec import CLIPS
    from curation.models.tags import places

    return [*CLIPS, *(f"{arch}/{tag}" for arch, tags in places().items() for tag in tags)]


def writers() -> Iterable[str]:
    """Formats that are written."""
    from curation.writers import WRITERS

    return WRITERS


def readers() -> Iterable[str]:
    """Formats that are read."""
    from curation.readers import READERS

    return ["auto", *READERS]


def tables() -> Iterable[str]:
    """Tables of a workspace."""
    from curation.catalog import TABLES

    return TABLES


def mixtures() -> Iterable[str]:
    """Powers of a mixture."""
    from curation.selectors.mixed import POWERS

    return POWERS


# By the parameter's name, or the command's before it where others mean something else by it.
VALUES: dict[str, Callable[[], Iterable[str]]] = {
    "strategy": strategies,
    "mix": mixtures,
    "model": models,
    "vlm": lambda: ["builtin"],
    "init format_": readers,
    "validate format_": readers,
    "convert from_": readers,
    "convert format_": writers,
    "export format_": writers,
    "table name": tables,
    "compare names": strategies,
    "proof strategies": strategies,
    "scores columns": columns,
}


def completed(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The values of a parameter that begin so."""
    name = parameter.name or ""
    values = VALUES.get(name) or VALUES.get(f"{context.command.name} {name}")
    return [value for value in (values() if values else ()) if value.startswith(incomplete)]
