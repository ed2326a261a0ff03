"""How specs of selectors are read: `NAME`, `NAME:COLUMN` or `NAME:-COLUMN`."""

from __future__ import annotations

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
