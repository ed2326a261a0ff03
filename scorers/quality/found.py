"""Where a detector found something: a named pattern, and the characters that it is about."""

from __future__ import annotations

from typing import NamedTuple


class Found(NamedTuple):
    """A pattern and its span: characters [start, end) of the text that was given."""

    pattern: str
    start: int
    end: int


class Finding(NamedTuple):
    """A flag, and its evidence: the pattern, and characters [start, end) of turn `turn`, counted from 0.

    A finding about an image has no turn and no span; its pattern names the image.
    """

    flag: str
    pattern: str
    turn: int | None = None
    start: int | None = None
    end: int | None = None
