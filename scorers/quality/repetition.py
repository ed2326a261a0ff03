"""Answers that run into a loop: a unit of words, lines or characters over and over. Strings in, spans out."""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from scorers.quality.found import Found

# A loop of words: this often, and this many words in all.
REPEATS, LOOPED_WORDS = 5, 8
# Numbers and marks repeat in receipts, tables and series.
MARK_REPEATS = 10
# A loop of characters inside a run without spaces: at least this often, and this long in all.
CHARACTER_REPEATS, LOOPED_CHARACTERS = 6, 12
LONGEST_UNIT = 128  # words
GRAM = 3
# Under this, compression says more about the header than about the text.
COMPRESSED_BYTES = 100

_CHUNK = re.compile(r"\S+")
_CHARACTERS = re.compile(rf"(\S{{1,24}}?)\1{{{CHARACTER_REPEATS - 1},}}")
_SAYS = re.compile(r"[^\W\d_]")


class Loop(NamedTuple):
    """`repeats` times the same `unit` words, in the chunks [first, last) of a text."""

    first: int
    last: int
    unit: int

    @property
    def repeats(self) -> int:
        return (self.last - self.first) // self.unit


def loop(text: str) -> Found | None:
    """Where `text` loops, from the first unit to the last; None where it does not.

    A loop is at least five times the same words in a row and eight words, or six times the same characters
    and twelve characters; without a letter in it, ten times. Case and commas between units do not count.
    """
    chunks = list(_CHUNK.finditer(text))
    keys = [match[0].casefold().strip(",;") for match in chunks]
    found = _longest(keys)
    if found and found.repeats >= _needed(keys[found.first : found.first + found.unit]):
        return Found("words", chunks[found.first].start(), chunks[found.last - 1].end())
    for match in chunks:
        inner = _CHARACTERS.search(match[0]) if len(match[0]) >= LOOPED_CHARACTERS else None
        if inner and _loops(inner):
            return Found("characters", match.start() + inner.start(), match.start() + inner.end())
    return None


def _needed(unit: Sequence[str]) -> int:
    """How often a unit must repeat to count as a loop."""
    if not any(_SAYS.search(key) for key in unit):
        return MARK_REPEATS
    return max(REPEATS, -(-LOOPED_WORDS // len(unit)))


def _loops(match: re.Match[str]) -> bool:
    """Long enough, and not a ruler, dots to a page number, or zeros."""
    return len(match[0]) >= LOOPED_CHARACTERS and bool(_SAYS.search(match[1]))


def _longest(keys: Sequence[str]) -> Loop | None:
    """The longest run of chunks that equals itself some chunks later, at least REPEATS units long."""
    best: Loop | None = None
    for start, unit in _candidates(keys):
        first, last = start, start + unit
        while first and keys[first - 1] == keys[first - 1 + unit]:
            first -= 1
        while last < len(keys) and keys[last] == keys[last - unit]:
            last += 1
        found = Loop(first, first + (last - first) // unit * unit, unit)
        if found.repeats >= REPEATS and (best is None or found.last - found.first > best.last - best.first):
            best = found
    return best


def _candidates(keys: Sequence[str]) -> list[tuple[int, int]]:
    """(place, unit) where three words come three times at equal distances: what each loop has."""
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, gram in enumerate(zip(*(keys[shift:] for shift in range(GRAM)), strict=False)):
        places[gram].append(place)
    found: dict[int, int] = {}
    for at in places.values():
        for one, two, three in zip(at, at[1:], at[2:], strict=False):
            if two - one == three - two <= LONGEST_UNIT:
                found.setdefault(two - one, one)
    return [(place, unit) for unit, place in found.items()]


def repeated_share(words: Sequence[str]) -> float:
    """Share of the word 4-grams that came before in the text: in [0, 1], LOWER is better; 0 under 4 words."""
    grams = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def compression(text: str) -> float | None:
    """Bytes after deflate by bytes before, > 0; low is repetitive. None under a hundred bytes."""
    raw = text.encode("utf-8", "surrogatepass")
    return len(zlib.compress(raw, 6)) / len(raw) if len(raw) >= COMPRESSED_BYTES else None
