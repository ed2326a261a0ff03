"""Files that cannot be entered in their middle: what stopped reading is kept, and the next goes on."""

from __future__ import annotations

import threading
from typing import Any, Generic, Protocol, TypeVar


class Resumable(Protocol):
    """Something that has read a file up to a position, and goes forward only."""

    key: tuple[Any, ...]  # of what is read; equal ones can stand for each other

    @property
    def position(self) -> int: ...

    def close(self) -> None: ...


Kind = TypeVar("Kind", bound=Resumable)


class Kept(Generic[Kind]):
    """The last few that were put here, at most `most`. Thread-safe; who takes one has it alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: list[Kind] = []  # the last used at the end
        self._lock = threading.Lock()

    def take(self, key: tuple[Any, ...], position: int | None) -> Kind | None:
        """The one that is the least way before `position`, or the furthest; None where all are beyond it."""
        with self._lock:
            before = [
                each
                for each in self._held
                if each.key == key and (position is None or each.position <= position)
            ]
            if not before:
                return None
            nearest = max(before, key=lambda each: each.position)
            self._held.remove(nearest)
            return nearest

    def put(self, each: Kind) -> None:
        """Keep one for the next; the one that was used longest ago is closed."""
        with self._lock:
            self._held.append(each)
            old = self._held[: -self._most]
            del self._held[: -self._most]
        for other in old:
            other.close()
