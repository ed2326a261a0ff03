"""Where results go: plain lines, or on a terminal the same with its width kept, tables and labels marked.

A terminal is wide as it says, or as COLUMNS says, which also counts where stdout is none.
NO_COLOR is honoured.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from jobs.text import GAP, LABEL, MOST_OF_LINE, Grid, Line, Pasted, fitting, room
from schemas.visible import shown

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

COMMANDS = ("curate ", "apt-get ", "pip ", "export ")  # are pasted, and so not broken


def put(parts: Iterable[str]) -> None:
    """Print lines and tables to stdout. What is of no class of jobs/text.py is one line, made visible."""
    said = [part if isinstance(part, Line | Grid | Pasted) else shown(part, MOST_OF_LINE) for part in parts]
    if sys.stdout.isatty() or "COLUMNS" in os.environ or "FORCE_COLOR" in os.environ:
        _put_rich(said)
    else:
        click.echo(encodable("\n".join(said)))


def put_error(text: str) -> None:
    """Print a sentence to stderr, made visible."""
    click.echo(encodable(shown(text, MOST_OF_LINE), sys.stderr.encoding), err=True)


def encodable(text: str, encoding: str | None = None) -> str:
    """The text with escapes for what the stream cannot write."""
    name = encoding or sys.stdout.encoding or "utf-8"
    return text.encode(name, "backslashreplace").decode(name)


def _put_rich(parts: Iterable[str]) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    for part in parts:
        for block in _blocks(part, console):
            console.print(block, soft_wrap=_is_command(part))


def _is_command(part: str) -> bool:
    if isinstance(part, Pasted):
        return True
    return (part.said if isinstance(part, Line) else part.strip()).startswith(COMMANDS)


def _blocks(part: str, console: Console) -> Iterator[RenderableType]:
    from rich.text import Text

    if isinstance(part, Grid):
        yield from _tables(part, console.width)
        return
    indent = LABEL if isinstance(part, Line) else len(part) - len(part.lstrip(" "))
    text = Text(part)
    if isinstance(part, Line):
        text.stylize("bold", 0, len(part.label))
    if _is_command(part) or text.cell_len <= console.width:
        yield text
        return
    begin, rest = text[:indent], text[indent:]
    for number, piece in enumerate(rest.wrap(console, max(console.width - indent, 20))):
        piece.rstrip()
        yield (begin if not number else Text(" " * indent)) + piece


def _tables(grid: Grid, width: int) -> Iterator[RenderableType]:
    """The table, cut between columns of numbers into several where one is too narrow for them."""
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    widths = [max(cell_len(row[i]) for row in (grid.head, *grid.rows)) for i in range(len(grid.head))]
    kept, out = fitting(widths, grid.spare, width)
    for columns in _cut([(i, widths[i]) for i in kept], grid.right, width):
        table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for i in columns:
            right = i in grid.right
            table.add_column(
                Text(grid.head[i]),
                justify="right" if right else "left",
                no_wrap=right,
                overflow="fold",
            )
        for row in grid.rows:
            table.add_row(*(Text(row[i], style=STYLES.get(row[i], "")) for i in columns))
        yield table
    for line in room(grid.head, out):
        yield Text(line, style="dim")


STYLES = {"fresh": "green", "stale": "yellow", "partial": "yellow", "missing": "red", "ok": "green"}
STYLES |= {"done": "green", "to do": "yellow", "warning": "yellow", "broken": "red"}


def _cut(columns: list[tuple[int, int]], right: Sequence[int], width: int) -> Iterator[list[int]]:
    """Of (column, its width) those of each table.

    All in one where they fit or words can wrap, else the first and as many as fit beside it.
    """
    (first, label), *others = columns
    fits = sum(wide + GAP for _, wide in columns) - GAP <= width
    if fits or not all(i in right for i, _ in others):
        yield [i for i, _ in columns]
        return
    held, taken = [first], label
    for i, wide in others:
        if len(held) > 1 and taken + GAP + wide > width:
            yield held
            held, taken = [first], label
        held.append(i)
        taken += GAP + wide
    yield held
