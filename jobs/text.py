"""Lines, columns, sizes and times as they are printed. Each holds nothing that a terminal would obey."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from schemas.visible import shown, visible

Tree = dict[str, Any]

WIDTH, GAP = 80, 2  # columns of a screen where nobody says how many, and between those of a table
LABEL = 11  # columns of a label and what is between it and its text
MOST_OF_LINE, MOST_OF_CELL = 2000, 120  # characters


class Line(str):
    """A label and what it says, in columns: as text one line."""

    __slots__ = ("label", "said")

    label: str
    said: str

    def __new__(cls, label: str, text: str) -> Line:
        said = shown(text, MOST_OF_LINE)
        made = super().__new__(cls, f"{label:<{LABEL}}{said}".rstrip())
        made.label, made.said = label, said
        return made


class Pasted(str):
    """A line that somebody pastes into a shell: whole, whatever its length and the width of the terminal."""

    __slots__ = ()

    def __new__(cls, text: str) -> Pasted:
        return super().__new__(cls, visible(text))


class Grid(str):
    """Rows in columns: as text as wide as they must be, on a terminal as wide as that.

    Where that is too narrow, the columns numbered in `spare` are left out, the first of them first.
    """

    __slots__ = ("head", "right", "rows", "spare")

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[int]
    spare: Sequence[int]

    def __new__(
        cls, head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int], spare: Sequence[int]
    ) -> Grid:
        cells = [[shown(cell, MOST_OF_CELL) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
        columns, out = fitting(widths, spare, WIDTH)
        lines = [
            _aligned([row[i] for i in columns], [(widths[i], i in right) for i in columns])
            for row in (head, *cells)
        ]
        made = super().__new__(cls, "\n".join([*lines, *room(head, out)]))
        made.head, made.rows, made.right, made.spare = head, cells, right, spare
        return made


def fitting(widths: Sequence[int], spare: Sequence[int], width: int) -> tuple[list[int], list[int]]:
    """The columns that fit into `width`, and those of `spare` that must go for it."""
    columns, out = list(range(len(widths))), []
    for i in spare:
        if sum(widths[i] + GAP for i in columns) - GAP <= width:
            break
        columns.remove(i)
        out.append(i)
    return columns, sorted(out)


def room(head: Sequence[str], out: Sequence[int]) -> Iterator[str]:
    """A line on the columns that were left out."""
    if out:
        yield f"(wider, or with --json, also {', '.join(head[i] for i in out)})"


def line(label: str, text: str) -> str:
    """A label and what it says, in columns."""
    return Line(label, text)


def packed(label: str, items: Sequence[str]) -> Iterator[str]:
    """A label and items with commas between, as many a line as fit."""
    held = ""
    for item in items:
        longer = f"{held}, {item}" if held else item
        if held and LABEL + len(longer) >= WIDTH:
            yield line(label, f"{held},")
            label, longer = "", item
        held = longer
    if held:
        yield line(label, held)


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[int] = (),
    spare: Sequence[int] = (),
) -> Iterator[str]:
    """Columns two spaces apart; those numbered in `right` end at the same place, `spare` see `Grid`."""
    yield Grid(head, rows, right, spare)


def _aligned(cells: Sequence[str], widths: Sequence[tuple[int, bool]]) -> str:
    padded = (
        cell.rjust(w) if right else cell.ljust(w) for cell, (w, right) in zip(cells, widths, strict=True)
    )
    return (" " * GAP).join(padded).rstrip()


def place(record: Tree) -> str:
    """File, line and the record's number or name in the file, as many JSON files are one line."""
    at = "" if record["line"] is None else f":{record['line']}"
    return f"{shown(record['file'])}{at} #{shown(record['key'].rpartition('#')[2], 80)}"


def size(n_bytes: int) -> str:
    """`312 B`, `4.1 kB`, `3.2 GB`: powers of 1,000."""
    value = float(n_bytes)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} GB"
