"""Where the records of a JSON text begin and end, without parsing them. Bytes and offsets: no files by name.

The text is read once, in chunks. In each chunk numpy finds the few bytes that can matter (quotes, brackets,
commas, backslashes) and drops what stands inside strings; only the commas between records reach Python.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import IO, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

CHUNK_BYTES = 4 << 20
MAX_RECORD_BYTES = 64 << 20  # longer than any record; more means a bracket or a quote that never closes
RESTART_BYTES = 4096  # a match of a restart pattern, with what it looks ahead to, is shorter

_QUOTE, _BACKSLASH, _COMMA, _OPEN, _CLOSE_OBJECT, _CLOSE_ARRAY = range(1, 7)
_CLASS = {
    '"': _QUOTE,
    "\\": _BACKSLASH,
    ",": _COMMA,
    "[": _OPEN,
    "{": _OPEN,
    "}": _CLOSE_OBJECT,
    "]": _CLOSE_ARRAY,
}
_TABLE = bytes(_CLASS.get(chr(byte), 0) for byte in range(256))
_DEPTH = (0, 0, 0, 0, 1, -1, -1)  # what a byte of each class adds to the depth
_CONTENT = re.compile(rb"[^ \t\r\n]")
_NEWLINE = b"\n"


class Piece(NamedTuple):
    """The bytes [begin, end) of one record, with white space at the end at most.

    A piece that is not `whole` is what is left where the brackets of the text do not add up.
    """

    begin: int
    end: int
    line: int  # of the byte at `begin`, 1-based
    whole: bool


class Separators(Protocol):
    """Where one record ends, chunk after chunk."""

    ended: int | None  # position in the chunk last fed of the byte that ends the text
    ended_well: bool  # that byte is the one that should

    def feed(self, chunk: bytes) -> list[int]:
        """Positions in `chunk` of the separators. Not to be called after the end."""
        ...

    def missing_end(self) -> bool:
        """At the end of the file: should something have followed?"""
        ...

    def inside(self) -> bool:
        """Does the text stop inside a string, object or list?"""
        ...

    def again(self) -> Separators:
        """The same separators, before the first byte of a record."""
        ...


class Newlines:
    """The separators of JSONL."""

    ended: int | None = None
    ended_well = True

    def feed(self, chunk: bytes) -> list[int]:
        return np.flatnonzero(np.frombuffer(chunk, np.uint8) == _NEWLINE[0]).tolist()

    def missing_end(self) -> bool:
        return False

    def inside(self) -> bool:
        return False

    def again(self) -> Newlines:
        return Newlines()


class Commas:
    """The separators of an array whose opening bracket has been read: commas outside of every record."""

    def __init__(self) -> None:
        self.ended: int | None = None
        self.ended_well = False
        self._depth = 1
        self._in_string = 0
        self._escaped = False  # the last chunk ended in a backslash that escapes the first byte of the next

    def feed(self, chunk: bytes) -> list[int]:
        classes = np.frombuffer(bytearray(chunk.translate(_TABLE)), np.uint8)
        self._drop_escapes(chunk, classes)
        at = np.flatnonzero(classes != 0)
        found = classes[at]
        quotes = found == _QUOTE
        inside = (np.cumsum(quotes) + self._in_string) & 1
        live = (inside == 0) & ~quotes
        if len(inside):
            self._in_string = int(inside[-1])
        at, found = at[live], found[live]
        depth = self._depth + np.cumsum(np.array(_DEPTH)[found])
        if len(depth):
            self._depth = int(depth[-1])
        commas = at[(found == _COMMA) & (depth == 1)]
        closed = np.flatnonzero(depth == 0)
        if len(closed):
            self.ended = int(at[closed[0]])
            self.ended_well = bool(found[closed[0]] == _CLOSE_ARRAY)
            commas = commas[commas < self.ended]
        positions: list[int] = commas.tolist()
        return positions

    def missing_end(self) -> bool:
        return self.ended is None

    def inside(self) -> bool:
        return self._depth != 1 or bool(self._in_string)

    def again(self) -> Commas:
        return Commas()

    def _drop_escapes(self, chunk: bytes, classes: NDArray[np.uint8]) -> None:
        """Clear the class of every backslash and of every byte that one escapes."""
        if self._escaped:
            classes[0] = 0
            self._escaped = False
        if b"\\" not in chunk:
            return
        slashes = np.flatnonzero(classes == _BACKSLASH)
        if not len(slashes):
            return
        classes[slashes] = 0
        # The last backslash of a run of odd length escapes what follows; in a run of even length they
        # escape each other.
        lasts = np.append(np.flatnonzero(np.diff(slashes) != 1), len(slashes) - 1)
        lengths = np.diff(lasts, prepend=-1)
        victims = slashes[lasts[lengths % 2 == 1]] + 1
        if len(victims) and victims[-1] == len(classes):
            self._escaped = True
            victims = victims[:-1]
        classes[victims] = 0


def pieces(
    handle: IO[bytes], separators: Separators, line: int, *, restart: re.Pattern[bytes], chunk_bytes: int
) -> Iterator[Piece]:
    """The records from where `handle` stands, in order; blank ones are left out.

    Where the text does not add up (a bracket or a quote too many or too few, bytes after the end, a record
    longer than MAX_RECORD_BYTES), one piece that is not whole reaches from there to the next match of
    `restart`, behind which a record begins, or to the end of the file. A text that stops between two records
    without its closing bracket ends with an empty piece that is not whole.
    """
    while True:
        broken = yield from whole_pieces(handle, separators, line, chunk_bytes=chunk_bytes)
        if broken is None:
            return
        begin, line = broken
        end, resume = _resume(handle, begin, restart)
        if resume is None and separators.missing_end() and not separators.inside():
            if end > begin:
                yield Piece(begin, end, line, True)
            yield Piece(end, end, line + _count_newlines(handle, begin, end), False)
            return
        yield Piece(begin, end, line, False)
        if resume is None:
            return
        line += _count_newlines(handle, begin, resume)
        handle.seek(resume)
        separators = separators.again()


def whole_pieces(
    handle: IO[bytes], separators: Separators, line: int, *, chunk_bytes: int = CHUNK_BYTES
) -> Generator[Piece, None, tuple[int, int] | None]:
    """The whole pieces from where `handle` stands; returns offset and line where the text breaks, or None."""
    lines = _Lines(line)
    base = handle.tell()
    start: tuple[int, int] | None = None  # offset and line of the record that is open
    while chunk := handle.read(chunk_bytes):
        cursor = 0
        for separator in separators.feed(chunk):
            start = start or lines.first(chunk, base, cursor, separator)
            if start:
                yield Piece(start[0], base + separator, start[1], True)
            start, cursor = None, separator + 1
        stop = separators.ended
        start = start or lines.first(chunk, base, cursor, len(chunk) if stop is None else stop)
        if stop is not None:
            if not separators.ended_well:
                return start or (base + stop, lines.at(chunk, stop))
            if start:
                yield Piece(start[0], base + stop, start[1], True)
            return _after_end(handle, chunk, base, stop + 1, lines)
        lines.at(chunk, len(chunk))
        lines.counted = 0
        base += len(chunk)
        if start and base - start[0] > MAX_RECORD_BYTES:
            return start
    if separators.missing_end():
        return start or (base, lines.line)
    if start:
        yield Piece(start[0], base, start[1], True)
    return None


class _Lines:
    """Counts lines along one chunk after the other; positions must not go back."""

    def __init__(self, line: int) -> None:
        self.line = line
        self.counted = 0

    def at(self, chunk: bytes, position: int) -> int:
        self.line += chunk.count(_NEWLINE, self.counted, position)
        self.counted = position
        return self.line

    def first(self, chunk: bytes, base: int, begin: int, end: int) -> tuple[int, int] | None:
        """Offset and line of the first byte of chunk[begin:end] that is no white space, if there is one."""
        content = _CONTENT.search(chunk, begin, end)
        return (base + content.start(), self.at(chunk, content.start())) if content else None


def _after_end(
    handle: IO[bytes], chunk: bytes, base: int, cursor: int, lines: _Lines
) -> tuple[int, int] | None:
    """Offset and line of what follows the end of the text; None if that is white space only."""
    while chunk:
        if found := lines.first(chunk, base, cursor, len(chunk)):
            return found
        lines.at(chunk, len(chunk))
        lines.counted = cursor = 0
        base += len(chunk)
        chunk = handle.read(CHUNK_BYTES)
    return None


def _resume(handle: IO[bytes], begin: int, restart: re.Pattern[bytes]) -> tuple[int, int | None]:
    """Where the broken piece at `begin` ends, and where the next record may begin (None: nowhere)."""
    handle.seek(begin)
    base, skip = begin, 1
    window = handle.read(CHUNK_BYTES)
    while True:
        following = handle.read(CHUNK_BYTES)
        found = restart.search(window + following[:RESTART_BYTES], skip)
        if found and found.start() < len(window):
            return base + found.start(), base + found.end()
        base += len(window)
        if not following:
            return base, None
        window, skip = following, 0


def _count_newlines(handle: IO[bytes], begin: int, end: int) -> int:
    handle.seek(begin)
    count = 0
    while begin < end and (chunk := handle.read(min(CHUNK_BYTES, end - begin))):
        count += chunk.count(_NEWLINE)
        begin += len(chunk)
    return count
