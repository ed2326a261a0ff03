"""Lines, columns, sizes and times as they are printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

Tree = dict[str, Any]


def line(label: str, text: str) -> str:
    """A label and what it says, in columns."""
    return f"{label:<11}{text}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> Iterator[str]:
    """Columns as wide as they must be, two spaces apart; those numbered in `right` end at the same place."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        cells = [
            cell.rjust(w) if i in right else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def size(n_bytes: int) -> str:
    """`312 B`, `4.1 kB`, `3.2 GB`: powers of 1,000."""
    value = float(n_bytes)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} GB"
