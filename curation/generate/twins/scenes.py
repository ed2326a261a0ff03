"""Scenes that differ in one thing: it is there or not, has another colour or place, or is another one."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import ImageDraw

from curation.generate.canvas import COLOURS, jitter, size
from curation.generate.props import INDOOR, OUTDOOR
from curation.generate.sample import article, listed
from curation.generate.scenes import landscape, room
from curation.generate.twins.family import Family, different

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SIDES = {"left": 0.2, "right": 0.8}  # where in the width the thing stands
SMALL = ("person", "dog", "ball", "balloon", "box", "chair", "car")  # what is added, moved, taken away


@dataclass(frozen=True)
class Thing:
    """What makes the difference, in front of the others."""

    name: str
    colour: str
    side: str

    @property
    def told(self) -> str:
        """Colour, name and place."""
        return f"{article(self.colour)} {self.name} on the {self.side}"


def scenes(rng: random.Random, k: int) -> Family:
    """Return k scenes, one of which lacks a thing that the others have in other colours, places or kinds."""
    props = INDOOR if rng.random() < 0.4 else OUTDOOR
    behind = rng.sample([name for name in props if name not in SMALL], rng.randint(2, 3))
    colours = rng.sample([name for name in COLOURS if name != "grey"], len(behind))
    rest = list(zip(behind, colours, strict=True))
    things: list[Thing | None] = [None, *_things(rng, [name for name in SMALL if name in props], k - 1)]
    rng.shuffle(things)
    look = rng.getrandbits(32)
    images = tuple(_draw(look, props is INDOOR, rest, thing) for thing in things)
    others = listed([f"the {colour} {name}" for name, colour in rest])
    return Family(
        images,
        "thing",
        f"What is there besides {others}?",
        tuple("nothing" if thing is None else thing.told for thing in things),
        ("What stands behind?", others),
    )


def _things(rng: random.Random, names: list[str], n: int) -> list[Thing]:
    """Return n things of which each but the first differs from the first in name, colour or side alone."""
    first = Thing(rng.choice(names), rng.choice(list(COLOURS)), rng.choice(list(SIDES)))
    other_side = next(side for side in SIDES if side != first.side)

    def another() -> Thing:
        change = rng.choice(("name", "colour", "side"))
        if change == "name":
            return Thing(rng.choice(names), first.colour, first.side)
        if change == "colour":
            return Thing(first.name, rng.choice(list(COLOURS)), first.side)
        return Thing(first.name, first.colour, other_side)

    return [first, *different(n - 1, another, (first,))]


def _draw(seed: int, indoors: bool, rest: list[tuple[str, str]], thing: Thing | None) -> Picture:
    look = random.Random(seed)
    extent = size(look, least=320, most=640)
    picture, _, _ = room(look, extent) if indoors else landscape(look, extent)
    pen, props = ImageDraw.Draw(picture), INDOOR if indoors else OUTDOOR
    slot = picture.width / len(rest)
    for i, (name, colour) in enumerate(rest):
        draw, share = props[name]
        tall = min(share * picture.height, 0.8 * slot) * look.uniform(0.8, 1.1)
        draw(
            pen,
            (i + 0.5) * slot,
            picture.height * look.uniform(0.74, 0.84),
            tall,
            jitter(look, COLOURS[colour]),
        )
    foot, scale, tint = look.uniform(0.9, 0.96), look.uniform(0.8, 1.1), look.getrandbits(32)
    if thing is not None:
        draw, share = props[thing.name]
        colour_of = jitter(random.Random(tint), COLOURS[thing.colour])
        tall = min(share * picture.height, 0.5 * slot) * scale
        draw(pen, SIDES[thing.side] * picture.width, picture.height * foot, tall, colour_of)
    return picture
