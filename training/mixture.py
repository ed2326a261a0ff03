"""What one step of the builtin VLM's training shows: pictures with questions, text alone, blank pictures."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from training.pairs import on_white, real_records, turns_of
from training.questions import drawn, text_item
from training.rows import PATCHES, SIDE, Encoder, Row, Rows, pack, pixels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from training.questions import Question
    from training.rows import Turns

REAL, TEXT, BLANK = 0.06, 0.12, 0.05  # shares of the rows of a step; the rest are drawn pictures
ANSWER = 400  # characters; longer answers of real records are cut (the picture's 96 px say no more)


@dataclass(frozen=True)
class Mixture:
    """Draws the rows of any step; equal seeds and progress give equal rows."""

    seed: int
    rows: int
    width: int
    real: tuple[tuple[NDArray[np.uint8], tuple[Turns, ...]], ...]  # pixels and conversations on them

    @staticmethod
    def of(data: Path | None, seed: int, rows: int, width: int) -> Mixture:
        """Return a mixture with the real records of `data` decoded, if it is given."""
        real = real_conversations(data, aside=False) if data else ()
        return Mixture(seed, rows, width, tuple((pixels(image), turns) for image, turns in real))

    def batch(self, encoder: Encoder, step: int, done: float) -> Rows:
        """Return the rows of a step; `done` in [0, 1] moves from simple pictures to all kinds."""
        rng = random.Random(f"{self.seed}/{step}")
        real = round(REAL * self.rows) if self.real else 0
        text, blank = round(TEXT * self.rows), round(BLANK * self.rows)
        simple = 0.8 - 0.35 * done
        rows: list[Row] = []
        for i in range(self.rows):
            if i < real:
                rows.append(self._real(rng))
                continue
            item = drawn(f"{self.seed}/{step}/{i}", simple)
            branches = _branches(rng, list(item.questions))
            if item.image is None:
                raise AssertionError(f"{item.source} draws no picture")
            if i < real + text:
                more = drawn(f"{self.seed}/{step}/{i}/more", simple)
                branches = branches[:3] + _branches(rng, list(more.questions))[:2]
                rows.append(Row(None, _shuffled(rng, branches)))
            elif i < real + text + blank:
                rows.append(Row(_nothing(rng), branches))
            else:
                rows.append(Row(pixels(item.image), branches, item.seen))
        filled = [replace(row, branches=[*row.branches, *_text(rng)]) for row in rows]
        return pack(encoder, self.width, filled)

    def pictures(self, encoder: Encoder, step: int) -> Rows:
        """Return half as many rows again, of simple pictures whose patches are known; nothing is asked."""
        items = [drawn(f"{self.seed}/look/{step}/{i}", 1.0) for i in range(3 * self.rows // 2)]
        rows = [Row(pixels(item.image), (), item.seen) for item in items if item.image is not None]
        return pack(encoder, PATCHES + 2, rows)

    def _real(self, rng: random.Random) -> Row:
        picture, conversations = rng.choice(self.real)
        return Row(None if rng.random() < 0.1 else picture, _shuffled(rng, list(conversations)))


def _branches(rng: random.Random, questions: list[Question]) -> list[Turns]:
    """Return the questions in random order, one in ten as the next turn of the one before it."""
    rng.shuffle(questions)
    branches: list[Turns] = []
    for question in questions:
        turn = (question.asked, question.answer)
        if branches and rng.random() < 0.1:
            branches[-1] = (*branches[-1], turn)
        else:
            branches.append((turn,))
    return branches


def _shuffled(rng: random.Random, branches: list[Turns]) -> list[Turns]:
    return rng.sample(branches, len(branches))


def _text(rng: random.Random) -> list[Turns]:
    """Return enough text questions to fill any row; only those that fit are packed."""
    found = [text_item(rng) for _ in range(8)]
    return [((question.asked, question.answer),) for question in found]


def _nothing(rng: random.Random) -> NDArray[np.uint8]:
    """Return a picture that shows nothing: one grey, one colour, or noise."""
    form = rng.random()
    if form < 0.6:
        shade = rng.choice((0, 127, 128, 255, rng.randrange(256)))
        return np.full((3, SIDE, SIDE), shade, dtype=np.uint8)
    noise = np.random.default_rng(rng.getrandbits(32))
    if form < 0.8:
        return np.broadcast_to(noise.integers(0, 256, (3, 1, 1), dtype=np.uint8), (3, SIDE, SIDE)).copy()
    return noise.normal(127.5, rng.choice((32, 64, 127.5)), (3, SIDE, SIDE)).clip(0, 255).astype(np.uint8)


def real_conversations(data: Path, *, aside: bool) -> Iterator[tuple[Picture, tuple[Turns, ...]]]:
    """Yield the tier A pictures held out (`aside`), or the others, with all conversations on them."""
    for _, path, records in real_records(data, aside=aside):
        with Image.open(path) as image:
            yield on_white(image), tuple(_cut(turns_of(record)) for record in records)


def _cut(turns: list[tuple[str, str]]) -> Turns:
    return tuple((asked, answer[:ANSWER]) for asked, answer in turns)


def texts_for_tokenizer(data: Path | None, seed: int) -> Iterator[str]:
    """Yield the texts that the tokenizer learns its words from."""
    rng = random.Random(f"tokenizer/{seed}")
    for i in range(6_000):
        for question in (*drawn(f"tokenizer/{seed}/{i}", 0.5).questions, text_item(rng)):
            yield question.asked
            yield question.answer
    if data:
        for _, conversations in real_conversations(data, aside=False):
            for turns in conversations:
                for asked, answer in turns:
                    yield asked
                    yield answer
