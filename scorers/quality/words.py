"""Words of a text with their places, and of scripts without spaces each character."""

from __future__ import annotations

import re

# Kana, Han: written without spaces, so each character counts as a word.
ALONE = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{ALONE}]|(?:(?![{ALONE}])\w)+(?:['’](?:(?![{ALONE}])\w)+)*")


def spans(text: str) -> list[tuple[str, int, int]]:
    """Each word, case folded, and its characters [start, end); marks and symbols are no words."""
    return [(match[0].casefold(), match.start(), match.end()) for match in _WORD.finditer(text)]


def words(text: str) -> list[str]:
    """The words of `text`, case folded, in order."""
    return _WORD.findall(text.casefold())
