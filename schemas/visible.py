r"""Text from data as a terminal may show it: nothing in it moves the cursor, hides or turns what follows.

Every text of a record, file or message reaches the terminal through `visible` or `shown`.
"""

from __future__ import annotations

import re

# Controls (C0, C1, DEL), what changes the direction of text or has no width, tags, and halves of characters.
# Not the joiners U+200C and U+200D, which Persian and emoji are written with.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff\ud800-\udfff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    r"""The text with each character that a terminal would obey or hide as its escape.

    >>> print(visible("red \x1b[31m, a break\n, an override \u202e"))
    red \x1b[31m, a break\n, an override \u202e
    """
    return _HIDDEN.sub(_escape, text)


def shown(text: object, most: int = 200) -> str:
    """The same of the first `most` characters, and how many are left out.

    >>> shown("a" * 100_000, 3)
    'aaa… (99,997 more characters)'
    """
    whole = str(text)
    if len(whole) <= most:
        return visible(whole)
    return f"{visible(whole[:most])}… ({len(whole) - most:,} more characters)"


def in_json(line: str) -> str:
    r"""A line of JSON that says the same, with what `visible` escapes as \\u escapes of JSON."""
    return _HIDDEN.sub(_json_escape, line)


def _escape(match: re.Match[str]) -> str:
    return _SHORT.get(match[0]) or _numbered(ord(match[0]))


def _numbered(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
