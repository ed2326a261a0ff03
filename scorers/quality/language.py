"""The language of a text, by py3langid, and whether question and answer differ. Strings in, codes out."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np

# Under this many letters a language is a guess ("Subarachnoid" is none), and so it is under this confidence.
LETTERS, CONFIDENCE = 20, 0.6
# More is not read: the first characters say it.
CHARACTERS = 400
# What an answer must have before a difference to the question counts: enough letters, and sentences rather
# than the capitals and numbers of an address.
COMPARED_LETTERS, CAPITALS, DIGITS = 40, 0.5, 0.1
# Questions that ask for another language, or for what is written in the picture.
_ASKS = re.compile(
    r"\b(?:translat\w*|transcri\w*|ocr|read|written|writing|text|copy|extract\w*|languages?|prompt"
    r"|(?:in|into|to) (?:english|chinese|mandarin|cantonese|japanese|korean|french|german|spanish|italian"
    r"|portuguese|dutch|russian|arabic|hindi|turkish|polish|vietnamese|thai|indonesian|malay|greek|hebrew"
    r"|latin|ukrainian))\b"
    r"|翻译|翻譯|訳し|번역|traduc|traduz|traduir|übersetz|перев",
    re.IGNORECASE,
)
# Dialects, creoles and small languages that short English and names are taken for.
_LEFT_OUT = frozenset(
    "ace an ary arz bcl ext fuv gcf gcr gom gug guw hbo kab kik lij ltg pcm sdh uzs vec wa wuu".split()
)
# Written so much alike that a sentence or two is taken for the neighbour.
_NEIGHBOURS = tuple(
    frozenset(group.split())
    for group in (
        "zh yue",
        "no nn da",
        "sr hr bs sl",
        "ms id jv",
        "es gl",
        "cs sk",
        "ru uk be bg mk",
        "hi ne sa",
        "af nl",
        "tr az crh",
    )
)
_LETTER = re.compile(r"[^\W\d_]")
_NOISE = re.compile(r"<image>|https?://\S+|[\w.]+@[\w.]+")
# Ideographs say more than letters: one counts for three.
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def language(text: str) -> str | None:
    """ISO 639-1 code of the language that `text` is in; None where it is too short to say, or no language."""
    head = _NOISE.sub(" ", text[:CHARACTERS])
    return _language(head) if letters(head) >= LETTERS else None


# Templates make most questions of a pool alike.
@lru_cache(maxsize=8192)
def _language(text: str) -> str | None:
    code, confidence = _identifier().classify(text)
    return str(code) if confidence >= CONFIDENCE and code != "zxx" else None


def letters(text: str) -> int:
    """Letters of `text`; an ideograph, a kana or a hangul counts three."""
    return len(_LETTER.findall(text)) + 2 * len(_IDEOGRAPH.findall(text))


def mismatch(question: str, answer: str, asked: str | None, said: str | None) -> bool:
    """Is the answer in another language than the question, which does not ask for that?

    Args:
        question: the texts by the user.
        answer: the texts by the assistant.
        asked: the language of the question, from `language`.
        said: that of the answer.
    """
    if not differ(asked, said):
        return False
    n = len(_LETTER.findall(answer))
    capitals, digits = (sum(map(rule, answer)) for rule in (str.isupper, str.isdigit))
    if letters(answer) < COMPARED_LETTERS or capitals > CAPITALS * n or digits > DIGITS * n:
        return False
    return not _ASKS.search(question)


def differ(one: str | None, two: str | None) -> bool:
    """Are both known, and neither the same nor neighbours, such as Malay and Indonesian?"""
    if one is None or two is None or one == two:
        return False
    return not any(one in group and two in group for group in _NEIGHBOURS)


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    class Fixed(LanguageIdentifier):  # type: ignore[misc]
        """Adds the scores up in a fixed order; a matrix product's last bits would depend on its threads."""

        __slots__ = ()

        def _sparse_score(self, visits: dict[int, int], table: Any) -> Any:
            counts = np.log1p(np.fromiter(visits.values(), np.float32, len(visits)))
            features = np.fromiter(visits.keys(), np.intp, len(visits))
            return np.einsum("i,ij->j", counts, table[features]) + self.nb_pc

    found = Fixed.from_model_file(MODEL_FILE, norm_probs=True)
    found.set_languages(sorted(set(found.labels) - _LEFT_OUT))
    found.nb_ptc = np.ascontiguousarray(found.nb_ptc)
    return found
