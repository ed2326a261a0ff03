"""Coloured shapes at named places: colour, form, size and position."""

from __future__ import annotations

import random
from dataclasses import dataclass

from curation.generate.canvas import COLOURS, contrasting, jitter, page
from curation.generate.figures import SHAPES
from curation.generate.sample import Sample, article, draw_turns, listed

ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")


@dataclass(frozen=True)
class Placed:
    """One shape in a cell of the 3 x 3 grid."""

    colour: str
    shape: str
    size: str  # "small" or "large"
    row: int  # 0 to 2, from the top
    column: int  # 0 to 2, from the left

    @property
    def name(self) -> str:
        """Colour and shape, e.g. "red circle"."""
        return f"{self.colour} {self.shape}"

    @property
    def place(self) -> str:
        """The cell in words, e.g. "top left"; "centre" alone for the middle cell."""
        if self.row == 1 and self.column == 1:
            return "centre"
        return f"{ROWS[self.row]} {COLUMNS[self.column]}"


def placed_shapes(rng: random.Random) -> Sample:
    """Return 1 to 5 shapes of different kinds and colours with questions on them."""
    picture, pen, paper = page(rng)
    n = rng.choices((1, 2, 3, 4, 5), (2, 3, 4, 3, 2))[0]
    colours, forms = contrasting(rng, paper, n), rng.sample(list(SHAPES), n)
    cells = rng.sample([(row, column) for row in range(3) for column in range(3)], n)
    placed = []
    for colour, form, (row, column) in zip(colours, forms, cells, strict=True):
        item = Placed(colour, form, rng.choice(("small", "large")), row, column)
        w, h = picture.width / 3, picture.height / 3
        r = min(w, h) / 2 * (rng.uniform(0.75, 0.95) if item.size == "large" else rng.uniform(0.38, 0.52))
        x = (column + 0.5) * w + rng.uniform(-1, 1) * max(0.0, w / 2 - r)
        y = (row + 0.5) * h + rng.uniform(-1, 1) * max(0.0, h / 2 - r)
        SHAPES[form](pen, x, y, r, jitter(rng, COLOURS[colour]))
        placed.append(item)
    return Sample("shapes", picture, draw_turns(rng, _questions(rng, placed)), _caption(rng, placed))


def _questions(rng: random.Random, placed: list[Placed]) -> list[tuple[str, str]]:
    one = rng.choice(placed)
    others = [name for name in COLOURS if name not in {item.colour for item in placed}]
    asked, answer = rng.choice(((one.name, "yes"), (f"{rng.choice(others)} {one.shape}", "no")))
    seen = [f"{article(item.size)} {item.name} at the {item.place}" for item in placed]
    turns = [
        (rng.choice((f"What colour is the {one.shape}?", f"Which colour has the {one.shape}?")), one.colour),
        (rng.choice((f"Which shape is {one.colour}?", f"What is the {one.colour} shape?")), one.shape),
        (rng.choice((f"Where is the {one.name}?", f"In which part is the {one.shape}?")), one.place),
        (rng.choice((f"What is at the {one.place}?", f"Which shape is at the {one.place}?")), one.name),
        (rng.choice((f"Is there a {asked}?", f"Does the picture show a {asked}?")), answer),
        (f"Is the {one.shape} small or large?", one.size),
        (rng.choice(("How many shapes are there?", "Count the shapes.")), str(len(placed))),
        (rng.choice(("Describe the picture.", "What do you see?")), f"{listed(seen)}.".capitalize()),
    ]
    if len(placed) > 1:
        a, b = rng.sample(placed, 2)
        if a.column != b.column:
            side = "left" if a.column < b.column else "right"
            turns.append((f"Is the {a.shape} to the left or to the right of the {b.shape}?", side))
        if a.row != b.row:
            turns.append((f"Is the {a.shape} above the {b.shape}?", "yes" if a.row < b.row else "no"))
    return turns


def _caption(rng: random.Random, placed: list[Placed]) -> str:
    return rng.choice(
        (
            listed([article(item.name) for item in placed]),
            listed([f"{article(item.name)} at the {item.place}" for item in placed]),
            f"shapes: {listed([f'{article(item.size)} {item.name}' for item in placed])}",
        )
    )
