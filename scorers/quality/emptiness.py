"""Answers that say nothing: empty ones, and placeholders. `B`, `yes`, `2` and `<` are answers."""

from __future__ import annotations

import re

from scorers.quality.found import Found

# White space, and what has no width: soft hyphens, joiners, marks of direction, byte order marks, controls.
_NOTHING = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\u00ad\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]*"
)
# A single hyphen may be a minus sign and `<`, `=`, `+`, `%` are answers too.
_PUNCTUATION = re.compile(r"[\s.,;:…·•_?!¿¡'\"*~|()\[\]{}/\\。、，？！]+|[\s\-–—_]{2,}")
_PLACEHOLDER = re.compile(
    r"""[\s\[({<"'*]*(?:
        n/?a | null | nan | undefined | tb[ad] | todo | fixme | (?:lorem[ ]ipsum\b.*) | x{3,}
        | (?:(?:your|the|my|insert|enter|write|type|add|put|an?)[ ]+)+
          (?:answer|response|text|caption|description)(?:[ ]+(?:goes[ ])?here)?
        | (?:answer|response|text|caption|description)[ ]+(?:(?:goes[ ])?here|not[ ]available)
        | no[ ](?:answer|response|caption|description)(?:[ ](?:given|provided|available|found))?
        | placeholder
    )[\s\])}>"'*.!…]*""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
LONGEST_PLACEHOLDER = 400  # characters: what is longer is no placeholder


def empty(text: str) -> Found | None:
    """The whole of `text` if it holds nothing that shows."""
    return Found("nothing", 0, len(text)) if _NOTHING.fullmatch(text) else None


def trivial(text: str) -> Found | None:
    """The whole of `text` if it is punctuation alone, or stands in for an answer: `N/A`, `[answer]`."""
    if len(text) > LONGEST_PLACEHOLDER:
        return None
    if _PUNCTUATION.fullmatch(text):
        return Found("punctuation", 0, len(text))
    if _PLACEHOLDER.fullmatch(text):
        return Found("placeholder", 0, len(text))
    return None
