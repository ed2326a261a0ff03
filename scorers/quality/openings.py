"""Boilerplate: what many answers of a pool begin with, such as "The image shows". Strings in, counts out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from scorers.quality.words import spans

# Three words say "the image shows" and "in this picture"; four also hold what is shown.
OPENING_WORDS = 3
# A shorter answer has no opening: "a red car" is all of it.
LEAST_WORDS = 8
# An opening is one where at least this share of the answers, and this many, begin so.
LEAST_SHARE, LEAST_COUNT = 0.005, 10
HEAD = 400  # characters that hold them

_NUMBER = re.compile(r"\d+")


def opening(answer: str) -> tuple[str, int, int] | None:
    """The first three words, case folded and numbers as 0, and their characters [start, end).

    None where the answer has under eight words, or three numbers come first.

    >>> opening("The 3 images show a red car and a house.")
    ('the 0 images', 0, 12)
    """
    head = spans(answer[:HEAD])[:LEAST_WORDS]
    first = head[:OPENING_WORDS]
    if len(head) < LEAST_WORDS or all(word.isdigit() for word, _, _ in first):
        return None
    text = " ".join(_NUMBER.sub("0", word) for word, _, _ in first)
    return text, first[0][1], first[-1][2]


def mine(openings: Iterable[str]) -> list[tuple[str, int, float]]:
    """(opening, count, share of all) of the common ones, the most frequent first, then by the alphabet."""
    counts = Counter(openings)
    total = counts.total()
    common = [
        (text, count, count / total)
        for text, count in counts.items()
        if count >= max(LEAST_COUNT, LEAST_SHARE * total)
    ]
    return sorted(common, key=lambda item: (-item[1], item[0]))
