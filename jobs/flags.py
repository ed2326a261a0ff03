"""How a flag is made: from a setting of curate.toml, or as one that changes how a command speaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal, get_args, get_origin

import click

from jobs.completing import VALUES, completed
from jobs.session import Session
from schemas.flags import PARSED, declared, flag_of, keys_of

# Flags that change how a command speaks, not what it computes: fields of the session.
MODES = {
    "as_json": ("--json", "Print one JSON object on stdout; everything else goes to stderr."),
    "quiet": ("--quiet", "No progress on stderr."),
    "debug": ("--debug", "Log to stderr, and show the traceback of an error."),
    "dry_run": ("--dry-run", "Show what would be computed and how long it takes; compute nothing."),
}


class Command(click.Command):
    """A command with flags for settings. They are made where they are asked for: the help of all needs none.

    Args:
        settings: dotted keys of curate.toml (`prune.eps`), whole sections (`prune`), and names of MODES.
    """

    def __init__(self, *args: Any, settings: Sequence[str] = (), **attributes: Any) -> None:
        self.settings = settings
        super().__init__(*args, **attributes)

    @property
    def params(self) -> list[click.Parameter]:
        """Its own, then those of its settings, listed by `--help` in this order."""
        while self.settings:
            self.held += made(self.settings[0])
            self.settings = self.settings[1:]
        return self.held

    @params.setter
    def params(self, own: list[click.Parameter]) -> None:
        self.held = own


def command(*settings: str, name: str | None = None, **attributes: Any) -> Callable[[Any], Command]:
    """As `click.command`, with the flags of `settings`."""
    return click.command(name, cls=Command, settings=settings, **attributes)


@cache
def made(name: str) -> tuple[click.Option, ...]:
    """The flags of a setting, of a section, or of a mode."""
    if name in MODES:
        flag, text = MODES[name]
        return (_option(name, [flag], _speak, is_flag=True, help=text),)
    return tuple(_of_setting(key) for key in keys_of(name))


def _of_setting(key: str) -> click.Option:
    field = declared()[key]
    flag, metavar = flag_of(key)
    kinds = [kind for kind in _kinds(field.annotation) if kind is not type(None)]
    attributes: dict[str, Any] = {"help": field.description, "metavar": metavar}
    if kinds == [bool]:
        flag = f"{flag}/--no-{flag.removeprefix('--')}"
    elif all(isinstance(kind, str) for kind in kinds) and metavar is None:
        attributes["type"] = click.Choice(kinds)
    elif len({type(kind) if isinstance(kind, int) else kind for kind in kinds} & {int, float}) == len(kinds):
        attributes["type"] = float if float in kinds else int
    if flag.lstrip("-") in VALUES:
        attributes["shell_complete"] = completed
    attributes["multiple"] = get_origin(field.annotation) in (tuple, dict)
    return _option(key, [flag], _override, **attributes)


def _kinds(annotation: Any) -> list[Any]:
    """What a value may be: types, and the values of literals; of a list its elements."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if get_origin(annotation) is tuple:
        return _kinds(get_args(annotation)[0])
    parts = [part for part in get_args(annotation) if part is not Ellipsis]
    if get_origin(annotation) is dict or not parts:
        return [annotation]
    return [kind for part in parts if not hasattr(part, "metadata") for kind in _kinds(part)]


def _option(name: str, flags: list[str], store: Callable[..., Any], **attributes: Any) -> click.Option:
    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        store(context.ensure_object(Session), name, value)

    return click.Option(flags, default=None, expose_value=False, callback=callback, **attributes)


def _speak(session: Session, name: str, value: bool) -> None:
    setattr(session, name, bool(value))


def _override(session: Session, key: str, value: Any) -> None:
    if value is not None and value != ():
        session.overrides[key] = PARSED[key](value) if key in PARSED else value
