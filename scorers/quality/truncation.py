"""Answers that stop in the middle: of a word, of a sentence, of JSON. Strings in, spans out.

One in six clean answers ends without a full stop, so a missing one proves nothing. What the last word looks
like beside the words of the pool does.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import NamedTuple

from scorers.quality.found import Found

LEAST_WORDS = 3  # a shorter answer is a phrase, and ends where it likes
# A last word is a piece of one where the pool knows longer words that begin with it, this many, and the word
# itself is at most this share of both. One with a capital may be a name that comes once.
PIECE_SHARE, LONGER_WORDS = 0.08, 2
NAME_SHARE, LONGER_NAMES = 0.01, 10

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_LAST = re.compile(r"(?<![\w'’:/.@#-])[^\W\d_]+(?:['’-][^\W\d_]+)*\Z")
# Words that nothing ends with. "on" and "it" are none of them: "sign in", "what it is on".
_DANGLING = frozenset(
    "a an the of and or but nor with into onto than whose their its our your"
    " der und oder des dem et ou les des une el los las del y o e il gli della".split()
)
_ALPHABETIC = re.compile(r"[A-Za-z\u00c0-\u1eff]+(?:['’-][A-Za-z\u00c0-\u1eff]+)*\Z")
# A comma after a number or a name ends lines of tables, receipts and captions.
_OPEN = re.compile(r"(?<=[^\W\d_]{3}),\Z|[(\[{=–—]\Z|(?<=\w)-\Z")


class Ending(NamedTuple):
    """The last word of an answer that ends in a word, and its characters [start, end)."""

    word: str
    start: int
    end: int


def cut(answer: str) -> Found | None:
    """Where `answer` alone shows that it was cut: open JSON or fence, or a word that nothing ends with."""
    text = answer.rstrip()
    if len(text.split()) < LEAST_WORDS:
        return None
    if text.lstrip()[:1] in ("{", "["):
        return _unclosed(answer, text)
    if text.count("```") % 2:
        start = text.rindex("```")
        return Found("fence", start, start + 3)
    match = _OPEN.search(text)
    if match and _sentence_case(text[: match.start()]):
        return Found("open", match.start(), match.end())
    last = _LAST.search(text)
    if last and last[0] in _DANGLING and "," not in text[max(0, last.start() - 2) : last.start()]:
        return Found("dangling", last.start(), last.end())
    return None


def _sentence_case(text: str) -> bool:
    """Does the last word begin with a small letter, or with none?"""
    words = text.split()
    return bool(words) and not words[-1][:1].isupper()


def _unclosed(answer: str, text: str) -> Found | None:
    """A list or an object that does not end as it began."""
    if any(text.count(one) > text.count(two) for one, two in ("{}", "[]")):
        start = len(answer) - len(answer.lstrip())
        return Found("unclosed", start, start + 1)
    return None


def ending(answer: str) -> Ending | None:
    """The last word of `answer`, where it may be a piece of one; None where a mark or a number ends it.

    The last of several tags is whole, and languages without an alphabet show nothing.
    """
    text = answer.rstrip()
    last = _LAST.search(text)
    if not last or not _ALPHABETIC.match(last[0]) or len(text.split()) < LEAST_WORDS:
        return None
    line = text[text.rfind("\n") + 1 :]
    if line == last[0] or re.search(r",\s*\Z", text[: last.start()]) or text.lstrip()[:1] in ("{", "["):
        return None
    return Ending(last[0], last.start(), last.end())


def words(text: str) -> list[str]:
    """The words that a pool is known by, case folded, in order."""
    return _WORD.findall(text.casefold())


class Lexicon:
    """Words of a pool and how often each comes; knows which are the beginning of others.

    Args:
        counts: how often each word came. Made once for a pool, so a class and not a function.
    """

    def __init__(self, counts: Mapping[str, int] | Iterable[tuple[str, int]]) -> None:
        self._counts = dict(counts)
        self._words = sorted(self._counts)
        self._before = [0, *accumulate(self._counts[word] for word in self._words)]

    def longer(self, word: str) -> int:
        """How often words came that begin with `word`, case folded, and go on."""
        first = bisect_right(self._words, word)
        last = bisect_left(self._words, word + "\U0010ffff", lo=first)
        return self._before[last] - self._before[first]

    def is_piece(self, word: str) -> bool:
        """Is `word`, which came at least once, rather the beginning of another word?"""
        share, least = (PIECE_SHARE, LONGER_WORDS) if word.islower() else (NAME_SHARE, LONGER_NAMES)
        folded = word.casefold()
        own, longer = max(0, self._counts.get(folded, 0) - 1), self.longer(folded)
        return longer >= least and own <= share * (own + longer)
