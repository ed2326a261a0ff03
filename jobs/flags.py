"""How a flag is made: one that sets a key of curate.toml, or one that changes how a command speaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from jobs.session import Session
from jobs.spelling import FLAGS

Command = TypeVar("Command", bound=Callable[..., Any])
Option = Callable[[Command], Command]


def setting(
    key: str, *names: str, help: str, parse: Callable[[Any], object] | None = None, **attributes: Any
) -> Option[Any]:
    """A flag that overrides `key` (section.name) of curate.toml where given; `parse` makes its value."""
    FLAGS[key] = names[0].partition("/")[0]

    def store(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is not None and value != ():
            context.ensure_object(Session).overrides[key] = parse(value) if parse else value

    return click.option(*names, help=help, default=None, expose_value=False, callback=store, **attributes)


def pairs(values: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` as a dict."""
    wrong = [value for value in values if "=" not in value]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r} is no KEY=VALUE")
    return dict(value.split("=", 1) for value in values)


def heads(values: Sequence[str]) -> dict[str, dict[str, str]]:
    """`NAME=FILE` and `NAME@text=FILE` as the tables of [score.heads]."""
    found = {}
    for name, path in pairs(values).items():
        name, _, on = name.partition("@")
        found[name] = {"path": path, "on": on or "image"}
    return found


def mode(name: str, *names: str, help: str) -> Option[Any]:
    """A flag that changes how a command speaks, not what it computes: field `name` of the session."""

    def store(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        setattr(context.ensure_object(Session), name, value)

    return click.option(*names, help=help, is_flag=True, expose_value=False, callback=store)


def options(*groups: Sequence[Option[Any]]) -> Callable[[Command], Command]:
    """A decorator that adds every option of `groups`, listed by `--help` in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return decorate
