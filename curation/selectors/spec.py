"""How specs of selectors are read: `NAME`, `NAME:COLUMN` or `NAME:-COLUMN`."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Self

from schemas.errors import ConfigError


class Plain:
    """A selector whose name is its spec."""

    name: ClassVar[str]

    @classmethod
    def parse(cls, argument: str | None) -> Self:
        """The selector of the spec `NAME`.

        Raises:
            ConfigError: there is an argument.
        """
        if argument is not None:
            raise ConfigError(f"{cls.name} takes no argument, not {argument!r}; write --strategy {cls.name}")
        return cls()


def knob(text: str | None, default: float, allowed: Callable[[float], bool], wanted: str) -> float:
    """The number that a spec gives, or `default` where it gives none.

    Raises:
        ConfigError: `wanted`, where it is no number, or none that is `allowed`.
    """
    try:
        value = default if text is None else float(text)
    except ValueError:
        value = float("nan")
    if not allowed(value):
        raise ConfigError(wanted)
    return value


def positive(value: float) -> bool:
    """Above 0, and finite."""
    return 0 < value < float("inf")


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
