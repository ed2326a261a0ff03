"""Pictures to count in: one to three kinds of things, scattered or in rows."""

from __future__ import annotations

import random

from curation.generate.canvas import COLOURS, contrasting, jitter, page
from curation.generate.figures import THINGS, plural
from curation.generate.sample import NUMBERS, Sample, draw_turns, listed


def crowd(rng: random.Random) -> Sample:
    """Return 1 to 12 things of up to three kinds, none overlapping, with questions on their numbers."""
    picture, pen, paper = page(rng)
    kinds = rng.sample(list(THINGS), rng.choice((1, 1, 2, 2, 3)))
    colours = contrasting(rng, paper, len(kinds))
    counts = [rng.randint(1, 12 // len(kinds)) for _ in kinds]
    across = rng.randint(4, 5)
    down = rng.randint(3, 4)
    cells = [(i % across, i // across) for i in range(across * down)]
    if rng.random() < 0.75:
        rng.shuffle(cells)
    w, h = picture.width / across, picture.height / down
    r = min(w, h) / 2 * rng.uniform(0.6, 0.9)
    for kind, colour, count in zip(kinds, colours, counts, strict=True):
        for _ in range(count):
            column, row = cells.pop()
            x = (column + 0.5) * w + rng.uniform(-1, 1) * (w / 2 - r)
            y = (row + 0.5) * h + rng.uniform(-1, 1) * (h / 2 - r)
            THINGS[kind](pen, x, y, r, jitter(rng, COLOURS[colour], 8))
    return Sample(
        "counting",
        picture,
        draw_turns(rng, _questions(rng, kinds, colours, counts)),
        _caption(rng, kinds, colours, counts),
    )


def _questions(
    rng: random.Random, kinds: list[str], colours: list[str], counts: list[int]
) -> list[tuple[str, str]]:
    i = rng.randrange(len(kinds))
    many = plural(kinds[i], 2)
    absent = rng.choice([kind for kind in THINGS if kind not in kinds])
    answer = rng.choice((str(counts[i]), NUMBERS[counts[i]]))
    parts = [
        f"{count} {colour} {plural(kind, count)}"
        for kind, colour, count in zip(kinds, colours, counts, strict=True)
    ]
    turns = [
        (rng.choice((f"How many {many} are there?", f"Count the {many}.", f"Number of {many}?")), answer),
        (rng.choice((f"How many {colours[i]} things are there?", f"How many are {colours[i]}?")), answer),
        (rng.choice((f"What colour are the {many}?", f"Which colour have the {many}?")), colours[i]),
        (f"How many {plural(absent, 2)} are there?", rng.choice(("0", "none"))),
        (rng.choice(("How many things are there altogether?", "Count everything.")), str(sum(counts))),
        (rng.choice(("What do you see?", "Describe the picture.")), f"There are {listed(parts)}."),
    ]
    if len(kinds) > 1 and counts[0] != counts[1]:
        more = kinds[0] if counts[0] > counts[1] else kinds[1]
        both = f"{plural(kinds[0], 2)} or {plural(kinds[1], 2)}"
        turns.append((f"Are there more {both}?", plural(more, 2)))
    return turns


def _caption(rng: random.Random, kinds: list[str], colours: list[str], counts: list[int]) -> str:
    words = rng.random() < 0.6
    parts = []
    for kind, colour, count in zip(kinds, colours, counts, strict=True):
        parts.append(f"{NUMBERS[count] if words else count} {colour} {plural(kind, count)}")
    return rng.choice((listed(parts), f"a picture of {listed(parts)}", f"{listed(parts)} on a plain ground"))
