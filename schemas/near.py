"""What somebody may have meant by a name that there is not."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LISTED = 10


def near(name: str, known: Iterable[str]) -> str:
    """A clause on the names that there are, the one most like `name` first.

    >>> near("chart", ["photos", "charts"])
    "did you mean 'charts'? There are charts, photos"
    >>> near("maps", ["photos", "charts"])
    'there are charts, photos'
    """
    names = sorted(known)
    lowered = {each.lower(): each for each in names}
    alike = get_close_matches(name.lower(), lowered, 1, 0.6)
    some = ", ".join(names[:LISTED]) + (", …" if len(names) > LISTED else "") or "none"
    return f"did you mean {lowered[alike[0]]!r}? There are {some}" if alike else f"there are {some}"
