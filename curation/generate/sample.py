"""What a generator of samples returns: a picture or none, a conversation, a caption."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Sample:
    """One synthetic sample; what it says about its picture is true by construction."""

    kind: str
    image: Image | None  # mode RGB, longest side 160 to 320 px; None for samples of text alone
    turns: tuple[tuple[str, str], ...]  # (question, answer), at least one
    caption: str  # one or two sentences that describe the picture (for text alone: the exercise)


def draw_turns(
    rng: random.Random, candidates: Sequence[tuple[str, str]], *, most: int = 3
) -> tuple[tuple[str, str], ...]:
    """Return 1 to `most` of the (question, answer) candidates in random order, most often one."""
    weights = [6, 3, 2, 1][:most]
    n = rng.choices(range(1, len(weights) + 1), weights)[0]
    return tuple(rng.sample(list(candidates), min(n, len(candidates))))


def article(noun: str) -> str:
    """Return the noun with "a" or "an" before it."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def listed(words: Sequence[str]) -> str:
    """Return the words as English lists them: "a", "a and b", "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


NUMBERS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
