"""Tables of names and numbers, drawn as grids or ruled lists."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from curation.generate import words
from curation.generate.canvas import COLOURS, Colour, contrasting, fit_font, ink_on, jitter, page
from curation.generate.sample import Sample, draw_turns, listed

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

HEADS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Name": (words.NAMES, ("Age", "Score", "Height", "Points", "Hours", "Laps", "Books")),
    "City": (words.CITIES, ("Parks", "Hotels", "Trains", "Schools", "Bridges", "Rain")),
    "Item": (words.GOODS, ("Price", "Stock", "Sold", "Orders", "Weight")),
    "Fruit": (words.FRUITS, ("Price", "Boxes", "Weight", "Crates")),
    "Team": (words.TEAMS, ("Wins", "Losses", "Draws", "Goals", "Points")),
    "Month": (words.MONTHS, ("Sales", "Costs", "Visits", "Calls", "Profit")),
}


def table(rng: random.Random) -> Sample:
    """Return a table of 2 to 7 rows with questions that look up, compare and add."""
    head = rng.choice(list(HEADS))
    pool, measures = HEADS[head]
    columns = rng.sample(measures, rng.randint(1, 3))
    keys = rng.sample(pool, rng.randint(2, 7))
    scale = rng.choice((10, 30, 100, 400))
    cells = [
        rng.sample(range(1, scale + len(keys)), len(keys)) for _ in columns
    ]  # one list a column, no ties
    rows = [[head, *columns]]
    rows += [[key, *(str(column[i]) for column in cells)] for i, key in enumerate(keys)]
    picture, pen, paper = page(rng, least=180)
    _draw(rng, picture, pen, paper, rows)
    caption = rng.choice(
        (
            f"a table of {listed([name.lower() for name in columns])} for {listed(keys)}",
            f"a table with the columns {listed(rows[0])} and {len(keys)} rows: {listed(keys)}",
            "a table. " + ". ".join(" ".join(row) for row in rows[1:]),
        )
    )
    return Sample("tables", picture, draw_turns(rng, _questions(rng, rows, cells)), caption)


def _draw(rng: random.Random, picture: Image, pen: ImageDraw, paper: Colour, rows: list[list[str]]) -> None:
    left, top = rng.randint(4, 20), rng.randint(4, 20)
    wide = (picture.width - left - rng.randint(4, 20)) / len(rows[0])
    high = min(34.0, (picture.height - top - 6) / len(rows))
    right, bottom = left + wide * len(rows[0]), top + high * len(rows)
    ink = ink_on(paper)
    band = jitter(rng, COLOURS[contrasting(rng, paper, 1)[0]])
    filled = rng.random() < 0.6
    if filled:
        pen.rectangle((left, top, right, top + high), band)
    size = int(min(16, high * 0.7))
    for i, row in enumerate(rows):
        colour = ink_on(band) if filled and i == 0 else ink
        for j, text in enumerate(row):
            spot = (left + (j + 0.5) * wide, top + (i + 0.5) * high)
            pen.text(spot, text, colour, fit_font(text, wide - 4, size, 8), "mm")
    rules = rng.choice(("grid", "rows", "head"))
    for i in range(len(rows) + 1):
        if rules != "head" or i == 1:
            pen.line((left, top + i * high, right, top + i * high), ink)
    if rules == "grid":
        for j in range(len(rows[0]) + 1):
            pen.line((left + j * wide, top, left + j * wide, bottom), ink)


def _questions(rng: random.Random, rows: list[list[str]], cells: list[list[int]]) -> list[tuple[str, str]]:
    head, *columns = rows[0]
    keys = [row[0] for row in rows[1:]]
    j = rng.randrange(len(columns))
    i, other = rng.sample(range(len(keys)), 2)
    column, name = cells[j], columns[j]
    best, worst = keys[column.index(max(column))], keys[column.index(min(column))]
    total = column[i] + column[other]
    both = f"{keys[i]} and {keys[other]}"
    return [
        (
            rng.choice((f"What is the {name.lower()} of {keys[i]}?", f"Look up {name} for {keys[i]}.")),
            str(column[i]),
        ),
        (
            rng.choice((f"Who or what has the highest {name.lower()}?", f"Which row is first by {name}?")),
            best,
        ),
        (
            rng.choice(
                (f"Which {head.lower()} has the lowest {name.lower()}?", f"Which row has the least {name}?")
            ),
            worst,
        ),
        (
            f"What is the {name.lower()} of {both} together?",
            rng.choice((str(total), f"{column[i]} + {column[other]} = {total}")),
        ),
        (
            rng.choice(("How many rows does the table have, without the head?", "Count the rows.")),
            str(len(keys)),
        ),
        (rng.choice(("What are the column names?", "List the columns.")), ", ".join(rows[0])),
        (
            rng.choice(("Write the table as text.", "Transcribe the table.")),
            "\n".join(" | ".join(row) for row in rows),
        ),
    ]
