"""What a text says, apart from how it is written. Strings in, strings out; no model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

# Letters and digits, also with a mark between them (3.5, 12:30, don't), and signs that change a number.
_PARTS = re.compile(r"([^\W_]+(?:[.,:/'\u2019-][^\W_]+)*|[-+*/=<>%$€£°^])")
_SENTENCE = re.compile(r"[.!?:;\n]\s*$")
# Answers of so few words are a choice: each word counts.
SHORT = 4
# Letters of a token that is worth remembering; what is longer is no word, and may be a file in base64.
_WORD = 40
# Words that make another statement: what denies, counts, dates, and tells sides and colours.
TELLING = frozenset(
    re.findall(
        r"\w+",
        """
        no not never none nor neither without nothing nobody nowhere cannot yes true false
        zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
        seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand
        million first second third half quarter double
        january february march april may june july august september october november december
        monday tuesday wednesday thursday friday saturday sunday
        left right up down above below top bottom north south east west more less before after
        black white red green blue yellow orange purple brown grey gray pink golden silver
        """,
    )
)


def words(text: str) -> list[str]:
    """The words, numbers and signs of a text; case, space and punctuation aside.

    >>> words("The total is 3.50, isn't it?") == words("the  total is 3.50 isn't it")
    True
    >>> words("3.5") == words("35")
    False
    """
    return _folded(_split(text))


def telling(turns: Sequence[tuple[str, str]]) -> list[str]:
    """The words that two samples must share, in order, to be one: numbers, names, negations and choices.

    Numbers and dates in digits or words; names, which are words with a capital that begin no sentence; what
    denies; letters of options; sides and colours; of short answers every word; and words of scripts without
    capitals, whose names nothing tells. English lists: of other languages only digits, names, letters and
    short answers count.

    Args:
        turns: role and text of each; `assistant` and `gpt` answer.
    """
    return wording(turns)[1]


def wording(turns: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """Role and `words` of each turn, and `telling` of all; each text is split once."""
    split = [(role, _split(text)) for role, text in turns]
    told = [word for role, parts in split for word in (role, *_telling(role, parts))]
    return [(role, _folded(parts)) for role, parts in split], told


def _split(text: str) -> list[str]:
    """What stands between two tokens, and a token, in turn."""
    return _PARTS.split(unicodedata.normalize("NFKC", text))


def _folded(parts: Sequence[str]) -> list[str]:
    return [token.casefold() for token in parts[1::2]]


def _telling(role: str, parts: Sequence[str]) -> Iterator[str]:
    tokens = parts[1::2]
    if role in ("assistant", "gpt") and len(tokens) <= SHORT:
        yield from _folded(parts)
        return
    for at, token in enumerate(tokens):
        says = _remembered(token) if len(token) <= _WORD else _says(token)
        if says is not None:
            plain, only_inside = says
            if not only_inside or (at and not _SENTENCE.search(parts[2 * at])):
                yield plain


def _says(token: str) -> tuple[str, bool] | None:
    """What a token tells, and whether only where it begins no sentence; None where it tells nothing."""
    plain = token.casefold()
    if any(letter.isdigit() for letter in token) or plain in TELLING or plain.endswith(("n't", "n\u2019t")):
        return plain, False
    if len(token) == 1:
        return None if plain in ("a", "i") else (plain, False)
    if token.upper() == token.lower() or any(letter.isupper() for letter in token[1:]):
        return plain, False
    return (plain, True) if token[0].isupper() else None


_remembered = lru_cache(maxsize=1 << 16)(_says)
