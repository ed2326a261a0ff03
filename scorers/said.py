"""What a text says that can stand in a picture, and how much each of it tells. Strings in, weights out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from scorers.numerals import dates, numbers
from scorers.quality.words import ALONE
from scorers.stop_words import STOP_WORDS

PLACEHOLDER = "<image>"
# Weights. One digit stands in every chart, a name or a long number in few.
DATE = 3.0
DIGITS = (0.25, 1.0, 2.0, 3.0)  # a number with one, two, three digits, and with more
NAME = 1.5  # a word with a capital
LONG = 1.0  # another word of LONG_WORD letters and more
WORD = 0.5
LONG_WORD = 7
SHORTEST = 3  # letters; shorter words are not looked for

_WORDS = re.compile(rf"[{ALONE}]+|(?:(?![{ALONE}])[^\W\d_])+(?:['\u2019](?:(?![{ALONE}])[^\W\d_])+)*")
_ALONE = re.compile(rf"[{ALONE}]")
# Four numbers in brackets say where something is, not what.
_BOX = re.compile(r"\[\s*\d[\d.]*(?:\s*,\s*\d[\d.]*){3}\s*\]")


def said(text: str) -> dict[str, float]:
    """Each fact of a text once, in one way of writing, with its weight: dates, numbers, names, other words.

    Left out are stop words (English), words of one or two letters, and boxes such as [0.1, 0.2, 0.5, 0.6].

    >>> said("Paid RM 1,234.50 at SWEET FOREST on 30/05/2017")
    {'2017-05-30': 3.0, '1234.5': 3.0, 'paid': 1.5, 'sweet': 1.5, 'forest': 1.5}
    """
    days, rest = dates(_BOX.sub(" ", normal(text.replace(PLACEHOLDER, " "))))
    found = dict.fromkeys((day.isoformat() for day in days), DATE)
    for number in numbers(rest):
        found[number] = DIGITS[min(len(number.replace(".", "")), len(DIGITS)) - 1]
    for word in words(rest):
        plain = word.casefold()
        if plain not in STOP_WORDS and (len(plain) >= SHORTEST or _ALONE.match(plain)):
            found[plain] = max(found.get(plain, 0.0), _weight(word))
    return found


def words(text: str) -> Iterator[str]:
    """The words of a text, case kept; where a script has no spaces, each two neighbouring characters."""
    for word in _WORDS.findall(text):
        if _ALONE.match(word):
            yield from (word[at : at + 2] for at in range(max(1, len(word) - 1)))
        else:
            yield word


def normal(text: str) -> str:
    """Characters that look alike made one: full-width digits, ligatures (NFKC)."""
    return unicodedata.normalize("NFKC", text)


def _weight(word: str) -> float:
    if word != word.lower():
        return NAME
    return LONG if len(word) >= LONG_WORD else WORD
