"""Text that is no text: letters at random, scripts in a jumble, symbols, and characters decoded wrongly."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

from scorers.quality.found import Found

# Bits a letter costs after another one, times 3/4, rounded and at most 9: rows and columns are the end of a
# word, then a to z. Counted on the tier A texts of the test mixture (English); other languages in Latin
# letters cost 3.6 to 5.1 bits a letter, random letters 5.6 to 7.4 (20 languages, 40 letters and more).
_ALPHABET = " abcdefghijklmnopqrstuvwxyz"
_BITS = (
    "923344444366444336432553658 284347637485242849332556557 325762885359285289345389949"
    " 329572982393388299362499959 147952958278575369448467959 137434557698343656234656469"
    " 139893489299399299283489969 238861853399364479246499959 229861999298687299474698959"
    " 445344538896432357423649795 419992999299469279759297999 146962646396474469736495959"
    " 227642687397367279845368939 214792798399746339646499969 149423627485576389832567958"
    " 365445356465332449243353568 327782982389267249253496969 367856888888788888762088888"
    " 225442647295645369444458949 159472793395557446642494959 237692891399578379344495949"
    " 433343649497332739223999688 439871998299899389758799969 237762992299693299536997999"
    " 139483996299799527692499749 146553759598345349635797898 327771875368586288485388834"
).split()
_SCALE = 0.75
GIBBERISH_BITS, LETTERS = 5.6, 40
# Accents show a language that the table does not know: Polish and Czech names cost up to 5.9 bits.
ACCENTED_SHARE, ACCENTED_BITS = 0.04, 6.4

JUMBLED_SCRIPTS, JUMBLED_CHUNKS, ALTERNATION = 3, 6, 0.5
SYMBOLS, SYMBOL_SHARE, DISTINCT_SYMBOLS = 16, 0.6, 6
BROKEN_SHARE = 0.1
CODE_SWITCHES, CODE_SHARE, CODES = 3, 0.6, 3

_CHUNK = re.compile(r"\S+")
_PIECE = re.compile(r"[^\s,;:，、；：]+|[\n,;:，、；：]")
_RUNS = re.compile(r"[a-z]+")
_SYMBOL = re.compile(r"[!-/:-@\[-`{-~]")
_BROKEN = re.compile(r"[\ufffd\x80-\x9f\ue000-\uf8ff]")
_SCRIPTS = {
    "latin": r"A-Za-z\u00c0-\u024f\u1e00-\u1eff",
    "greek": r"\u0370-\u03ff\u1f00-\u1fff",
    "cyrillic": r"\u0400-\u052f",
    "armenian": r"\u0530-\u058f",
    "hebrew": r"\u0590-\u05ff",
    "arabic": r"\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefe",
    "indic": r"\u0900-\u0dff",
    "thai": r"\u0e00-\u0eff",
    "hangul": r"\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
    "kana and han": r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff",
}
_SCRIPT = re.compile("|".join(f"([{letters}])" for letters in _SCRIPTS.values()))
_SWITCH = re.compile(r"(?<=[a-z])[A-Z0-9]|(?<=[0-9])[A-Za-z]|(?<=[A-Z])[0-9]")
_ADDRESS = re.compile(r"://|www\.|\.[a-z]{2,4}\b|[\\/_]")


def garbage(text: str) -> Found | None:
    """The whole of `text` where it is random: in `scripts`, `letters`, `symbols`, `codes`, or `broken`."""
    for name, rule in _RULES.items():
        if rule(text):
            return Found(name, 0, len(text))
    return None


def mojibake(text: str) -> Found | None:
    """The first characters of `text` that were decoded with the wrong encoding, such as `Ã©`."""
    if text.isascii():
        return None
    from ftfy.badness import BADNESS_RE  # ftfy's own count of what never stands side by side in real text

    match = BADNESS_RE.search(text)
    if match:
        return Found("encoding", match.start(), match.end())
    match = _BROKEN.search(text)
    return Found("replacement", match.start(), match.end()) if match else None


def letter_bits(text: str) -> tuple[float, int]:
    """Mean bits a letter of `text` costs under English letter pairs, and over how many letters and word ends.

    Each different word counts once. Accents are taken off; scripts other than Latin count nothing. Ordinary
    text in Latin letters costs 3 to 5 bits, random letters 5.6 to 7.4.
    """
    runs = set(_RUNS.findall(_plain(text)))
    pairs = sum(len(run) + 1 for run in runs)
    if not pairs:
        return 0.0, 0
    table = _table()
    bits = sum(table[one, two] for run in runs for one, two in zip(f" {run}", f"{run} ", strict=True))
    return bits / _SCALE / pairs, pairs


@lru_cache(maxsize=1)
def _table() -> dict[tuple[str, str], int]:
    rows = zip(_ALPHABET, _BITS, strict=True)
    return {(one, two): int(bits) for one, row in rows for two, bits in zip(_ALPHABET, row, strict=True)}


def _plain(text: str) -> str:
    folded = text.casefold()
    if folded.isascii():
        return folded
    return "".join(
        letter for letter in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(letter)
    )


def _letters(text: str) -> bool:
    if len(text) < LETTERS:
        return False
    bits, letters = letter_bits(text)
    if letters < LETTERS or bits < GIBBERISH_BITS:
        return False
    accented = sum("\u00c0" <= letter <= "\u1eff" for letter in text)
    return bits >= (ACCENTED_BITS if accented > ACCENTED_SHARE * letters else GIBBERISH_BITS)


def _scripts(text: str) -> bool:
    """Three scripts or more besides Latin, and every other word in another one than the word before.

    Runs of symbols count as a script: they stand between the others in a jumble.
    """
    if (
        text.isascii()
        or len({match.lastindex for match in _SCRIPT.finditer(text)} - {1}) < JUMBLED_SCRIPTS - 1
    ):
        return False
    scripts = [_script(chunk) for chunk in _PIECE.findall(text)]
    known = [script for script in scripts if script is not None]
    if len(known) < JUMBLED_CHUNKS or len(set(known) - {1}) < JUMBLED_SCRIPTS:
        return False
    # A comma or a line's end between two scripts is how a list of languages looks.
    changes = sum(None not in (one, two) and one != two for one, two in pairwise(scripts))
    return changes >= ALTERNATION * (len(known) - 1)


def _script(chunk: str) -> int | None:
    """The number of the script of the first letter, 0 for symbols; None for digits and single marks."""
    match = _SCRIPT.search(chunk)
    if match:
        return match.lastindex
    return 0 if len(_SYMBOL.findall(chunk)) > 1 else None


def _symbols(text: str) -> bool:
    """Mostly marks of many kinds; a table or a ruler has few kinds."""
    found = _SYMBOL.findall(text)
    shown = len(text) - sum(map(str.isspace, text)) if len(found) >= SYMBOLS else 0
    return bool(shown) and len(found) >= SYMBOL_SHARE * shown and len(set(found)) >= DISTINCT_SYMBOLS


def _codes(text: str) -> bool:
    """Mostly words such as `x8Kd92LmQp0Z`, that are no address."""
    if _ADDRESS.search(text):
        return False
    chunks = _CHUNK.findall(text)
    codes = [chunk for chunk in chunks if len(_SWITCH.findall(chunk)) >= CODE_SWITCHES]
    return len(codes) >= CODES and sum(map(len, codes)) >= CODE_SHARE * sum(map(len, chunks))


def _broken(text: str) -> bool:
    return len(_BROKEN.findall(text)) > BROKEN_SHARE * max(len(text), LETTERS)


_RULES = {"scripts": _scripts, "letters": _letters, "symbols": _symbols, "codes": _codes, "broken": _broken}
