"""Pictures of one family: each shows what the others show, but for one thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")

MOST = 6  # twins that every kind can tell apart


@dataclass(frozen=True)
class Family:
    """k near-twins. What is said about them is true by construction."""

    images: tuple[Image, ...]  # (k,) mode RGB, of one size, longest side 300 to 800 px
    what: str  # the thing that differs, e.g. "price"
    question: str  # about that thing
    answers: tuple[str, ...]  # (k,) one a picture, no two equal
    shared: tuple[str, str]  # question and answer that hold for every picture


def different(k: int, draw: Callable[[], T], but: Sequence[T] = ()) -> tuple[T, ...]:
    """Return k different values that `draw` gives, in the order in which they first came, none of `but`."""
    found: dict[T, None] = {}
    while len(found) < k:
        value = draw()
        if value not in but:
            found[value] = None
    return tuple(found)
