"""Rows of tokens for the builtin VLM: one picture, then questions that see the picture but not each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from training.questions import FACTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image as Picture
    from tokenizers import Tokenizer

    from training.questions import Seen

SIDE, PATCH = 96, 16  # px, of the picture and of a patch
PATCHES = (SIDE // PATCH) ** 2  # image tokens of a picture
PAD, START, END, IMAGE, USER, ASSISTANT = range(6)  # token ids
SPECIAL = ("<pad>", "<s>", "</s>", "<image>", "<user>", "<assistant>")  # in the order of their ids

UNKNOWN = -1  # no class

Turns = tuple[tuple[str, str], ...]  # (question, answer) of one conversation


@dataclass(frozen=True)
class Row:
    """What one row shows and asks."""

    pixels: NDArray[np.uint8] | None  # (3, SIDE, SIDE)
    branches: Sequence[Turns]
    seen: Sequence[Seen] = ()


@dataclass(frozen=True)
class Rows:
    """A batch of rows of w tokens, each of the row's opening (0), a branch (1, 2 ...) or padding (-1)."""

    pixels: NDArray[np.uint8]  # (p, 3, SIDE, SIDE), p <= n
    facts: NDArray[np.int64]  # (p, PATCHES, 1 + facts), what each patch shows, as `facts_of`
    ids: NDArray[np.int64]  # (n, w)
    places: NDArray[np.int64]  # (n, w), position of the token as if its branch were alone with the opening
    branches: NDArray[np.int64]  # (n, w)
    weights: NDArray[np.float32]  # (n, w), 0 but for answer tokens; an answer of k tokens weighs sqrt(k)

    def mask(self) -> NDArray[np.bool_]:
        """Return (n, 1, w, w), true where a token may look: its own branch so far, and the opening."""
        own = self.branches[:, :, None] == self.branches[:, None, :]
        opening = (self.branches == 0)[:, None, :] & (self.branches >= 0)[:, :, None]
        allowed: NDArray[np.bool_] = (own | opening) & np.tri(self.ids.shape[1], dtype=bool)
        return allowed[:, None]


def pixels(image: Picture) -> NDArray[np.uint8]:
    """Return the picture squashed to (3, SIDE, SIDE) as the builtin VLM's processor does."""
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(small, dtype=np.uint8).transpose(2, 0, 1)


class Encoder:
    """Turns texts into ids and remembers the texts that come again."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.ids = lru_cache(maxsize=50_000)(lambda text: tuple(tokenizer.encode(text).ids))

    def branch(self, turns: Turns) -> tuple[list[int], list[float]]:
        """Return the ids of a conversation after its opening, and the weight of each as a target."""
        ids: list[int] = []
        weights: list[float] = []
        for i, (asked, answer) in enumerate(turns):
            said = [*self.ids(answer), END]
            ahead = [*([USER] if i else []), *self.ids(asked), ASSISTANT]
            ids += [*ahead, *said]
            weights += [0.0] * len(ahead) + [len(said) ** -0.5] * len(said)
        return ids, weights


def facts_of(seen: Sequence[Seen]) -> NDArray[np.int64]:
    """Return (PATCHES, 1 + facts) classes: whether a patch shows a thing (0, 1), then the thing's FACTS.

    UNKNOWN where there is no thing or it has no such fact; everywhere, if nothing is known of the picture.
    """
    facts = np.full((PATCHES, 1 + len(FACTS)), UNKNOWN, dtype=np.int64)
    if seen:
        facts[:, 0] = 0
    middle = (np.arange(SIDE // PATCH) + 0.5) * PATCH / SIDE
    least = PATCH / SIDE / 2  # so that the smallest thing lies in a patch
    for thing in seen:
        across = np.abs(middle - thing.x) <= max(thing.half_width, least)
        down = np.abs(middle - thing.y) <= max(thing.half_height, least)
        known = [
            values.index(thing.facts[name]) if name in thing.facts else UNKNOWN
            for name, values in FACTS.items()
        ]
        facts[(down[:, None] & across[None]).ravel()] = [1, *known]
    return facts


def pack(encoder: Encoder, width: int, rows: Sequence[Row]) -> Rows:
    """Return one row of `width` tokens for each row; branches that do not fit are left out.

    A first branch that is too long is cut, so that no row is without an answer.
    """
    n = len(rows)
    ids, places = np.full((n, width), PAD, dtype=np.int64), np.zeros((n, width), dtype=np.int64)
    branches, weights = np.full((n, width), -1, dtype=np.int64), np.zeros((n, width), dtype=np.float32)
    for i, row in enumerate(rows):
        opening = [START, USER, *([] if row.pixels is None else [IMAGE] * PATCHES)]
        start = at = len(opening)
        ids[i, :at], places[i, :at], branches[i, :at] = opening, np.arange(at), 0
        for k, turns in enumerate(row.branches, 1):
            tokens, weight = encoder.branch(turns)
            if at + len(tokens) > width and k > 1:
                continue
            end = min(width, at + len(tokens))
            ids[i, at:end], weights[i, at:end] = tokens[: end - at], weight[: end - at]
            places[i, at:end], branches[i, at:end] = start + np.arange(end - at), k
            at = end
    shown = [row.pixels for row in rows if row.pixels is not None]
    told = [facts_of(row.seen) for row in rows if row.pixels is not None]
    stacked = np.stack(shown) if shown else np.zeros((0, 3, SIDE, SIDE), dtype=np.uint8)
    facts = np.stack(told) if told else np.zeros((0, PATCHES, 1 + len(FACTS)), dtype=np.int64)
    return Rows(stacked, facts, ids, places, branches, weights)
