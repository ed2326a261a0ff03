"""Tables that differ in one number or in the name of one row."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from curation.generate.canvas import COLOURS, fit_font, ink_on, jitter
from curation.generate.tables import HEADS
from curation.generate.twins.family import MOST, Family, different

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Rows = list[list[str]]


def tables(rng: random.Random, k: int) -> Family:
    """Return k tables that differ in one cell."""
    head = rng.choice(list(HEADS))
    pool, measures = HEADS[head]
    columns = rng.sample(measures, rng.randint(2, min(5, len(measures))))
    keys = rng.sample(pool, rng.randint(4, min(9, len(pool) - MOST)))
    first = [[head, *columns], *([key, *(str(rng.randint(1, 999)) for _ in columns)] for key in keys)]
    i, j = rng.randint(1, len(keys)), rng.randint(1, len(columns))
    if rng.random() < 0.7:
        what, answers = "cell", different(k, lambda: str(rng.randint(1, 999)))
        question = f"What is the {columns[j - 1].lower()} of {keys[i - 1]}?"
        sheets = [_with(first, i, j, answer) for answer in answers]
    else:
        what, answers = "name", different(k, lambda: rng.choice(pool), keys)
        question = f"What stands first in row {i}, not counting the head?"
        sheets = [_with(first, i, 0, answer) for answer in answers]
    look = rng.getrandbits(32)
    images = tuple(_draw(random.Random(look), rows) for rows in sheets)
    shared = ("What are the names of the columns?", ", ".join(first[0]))
    return Family(images, what, question, answers, shared)


def _with(rows: Rows, i: int, j: int, text: str) -> Rows:
    """The table with another text in one cell."""
    copy = [list(row) for row in rows]
    copy[i][j] = text
    return copy


def _draw(look: random.Random, rows: Rows) -> Picture:
    wide, high, margin = look.randint(100, 128), look.randint(28, 44), look.randint(6, 36)
    right, bottom = margin + wide * len(rows[0]), margin + high * len(rows)
    paper = jitter(look, (248, 248, 248), 7)
    picture = Image.new("RGB", (right + margin, bottom + margin), paper)
    pen = ImageDraw.Draw(picture)
    band = jitter(look, COLOURS[look.choice(("blue", "teal", "grey", "green", "brown"))])
    pen.rectangle((margin, margin, right, margin + high), band)
    size = look.randint(14, 19)
    for i, row in enumerate(rows):
        for j, text in enumerate(row):
            spot = (margin + (j + 0.5) * wide, margin + (i + 0.5) * high)
            ink = ink_on(band) if i == 0 else ink_on(paper)
            pen.text(spot, text, ink, fit_font(text, wide - 8, size), "mm")
    ruled = look.random() < 0.6
    for i in range(len(rows) + 1):
        pen.line((margin, margin + i * high, right, margin + i * high), (120, 120, 124))
    for j in range(len(rows[0]) + 1 if ruled else 0):
        pen.line((margin + j * wide, margin, margin + j * wide, bottom), (120, 120, 124))
    return picture
