"""What a text says, apart from how it is written. Strings in, strings out; no model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

# Letters and digits, also with a mark between them (3.5, 12:30, don't), and signs that change a number.
_TOKEN = re.compile(r"[^\W_]+(?:[.,:/'\u2019-][^\W_]+)*|[-+*/=<>%$€£°^]")
_PARTS = re.compile(f"({_TOKEN.pattern})")
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
    return [token.casefold() for token in _TOKEN.findall(unicodedata.normalize("NFKC", text))]


def telling(turns: Sequence[tuple[str, str]]) -> list[str]:
    """The words that two samples must share, in order, to be one: numbers, names, negations and choices.

    Numbers and dates in digits or words; names, which are words with a capital that begin no sentence; what
    denies; letters of options; sides and colours; of short answers every word; and words of scripts without
    capitals, whose names nothing tells. English lists: of other languages only digits, names, letters and
    short answers count.

    Args:
        turns: role and text of each; `assistant` and `gpt` answer.
    """
    found: list[str] = []
    for role, text in turns:
        # What is between two tokens, and a token, in turn.
        parts = _PARTS.split(unicodedata.normalize("NFKC", text))
        tokens = parts[1::2]
        found.append(role)
        if role in ("assistant", "gpt") and len(tokens) <= SHORT:
            found += [token.casefold() for token in tokens]
        else:
            found += _telling(parts, tokens)
    return found


def _telling(parts: Sequence[str], tokens: Sequence[str]) -> Iterator[str]:
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
