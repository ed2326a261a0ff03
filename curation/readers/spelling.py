"""Other spellings of a path, as systems and tools change them, for where nothing lies at the path itself."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

_MOST_NAMES = 500_000  # remembered of all folders, about 200 bytes each; a folder with more is not looked at
_listed: dict[str, dict[str, str]] = {}


def spellings(path: str) -> Iterator[str]:
    """Other spellings of a path, the likeliest first.

    Composed and decomposed letters (NFC, NFD), percents decoded, slashes for backslashes, these together, and
    the suffix in the other case.
    """
    seen = {path}
    plain = _plain(path)
    for each in plain:
        for form in (each, unicodedata.normalize("NFC", each), unicodedata.normalize("NFD", each)):
            if form not in seen:
                seen.add(form)
                yield form
    stem, suffix = os.path.splitext(path)
    yield from {stem + suffix.lower(), stem + suffix.upper()} - seen


def recased(folder: str, path: str) -> Iterator[str]:
    """How `path` is spelled below `folder` where letters are small or large in other places.

    A part that exists stays as it is; of several names that fit another part none counts. Each folder on the
    way is listed once and remembered.
    """
    for each in dict.fromkeys(_plain(path)):
        found = _recased(folder, each)
        if found is not None and found != each:
            yield found


def _plain(path: str) -> list[str]:
    unquoted = unquote(path, errors="surrogateescape")
    return [path, unquoted, path.replace("\\", "/"), unquoted.replace("\\", "/")]


def _recased(folder: str, path: str) -> str | None:
    parts: list[str] = []
    for part in os.path.normpath(path).split("/"):
        at = os.path.join(folder, *parts)
        if part == ".." or "\0" in part:
            return None
        name = part if os.path.lexists(os.path.join(at, part)) else _names(at).get(_key(part))
        if not name:
            return None
        parts.append(name)
    return "/".join(parts)


def _names(folder: str) -> dict[str, str]:
    """The names in a folder by how they read; "" where several read alike."""
    if folder not in _listed:
        found = _list(folder)
        if sum(map(len, list(_listed.values()))) + len(found) > _MOST_NAMES:
            _listed.clear()
        _listed[folder] = found
    return _listed[folder]


def _list(folder: str) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                key = _key(entry.name)
                found[key] = "" if key in found else entry.name
                if len(found) > _MOST_NAMES:
                    return {}
    except OSError:
        return {}
    return found


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
