"""Simple scenes, outdoors and indoors: things with colours, standing left and right of each other."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from curation.generate.canvas import COLOURS, Colour, gradient, jitter, size
from curation.generate.figures import circle, polygon
from curation.generate.props import DARK, GLASS, INDOOR, OUTDOOR, Prop
from curation.generate.sample import Sample, article, draw_turns, listed

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageDraw import ImageDraw as Pen

SKIES: dict[str, tuple[Colour, Colour]] = {  # upper and lower colour
    "a clear day": ((96, 170, 236), (206, 232, 250)),
    "a cloudy day": ((150, 160, 172), (206, 210, 216)),
    "sunset": ((110, 70, 140), (250, 160, 90)),
    "night": ((10, 14, 40), (40, 50, 90)),
}
GROUNDS: dict[str, Colour] = {
    "grass": (96, 160, 72),
    "sand": (226, 204, 150),
    "snow": (238, 242, 248),
    "a road": (104, 106, 112),
    "water": (50, 110, 170),
}
WALLS: tuple[Colour, ...] = (
    (238, 228, 208),
    (206, 222, 232),
    (220, 206, 226),
    (210, 226, 206),
    (236, 214, 206),
    (150, 160, 176),
)
FLOORS: tuple[Colour, ...] = ((150, 108, 70), (186, 150, 110), (120, 120, 128), (96, 70, 60), (200, 190, 176))


def scene(rng: random.Random) -> Sample:
    """Return 2 to 5 coloured things in a landscape or a room, in known order from left to right."""
    indoors = rng.random() < 0.4
    extent = size(rng)
    picture, setting, extra = room(rng, extent) if indoors else landscape(rng, extent)
    pen = ImageDraw.Draw(picture)
    props = INDOOR if indoors else OUTDOOR
    most = 5 if extent[0] >= extent[1] else 3
    names = rng.sample(list(props), rng.randint(2, most))
    colours = rng.sample([name for name in COLOURS if name != "grey"], len(names))
    slot = picture.width / len(names)
    for i, (name, colour) in enumerate(zip(names, colours, strict=True)):
        draw, share = props[name]
        _place(rng, pen, (i, slot, picture.height), (draw, share), jitter(rng, COLOURS[colour]))
    things = [f"{colour} {name}" for name, colour in zip(names, colours, strict=True)]
    turns = draw_turns(rng, _questions(rng, names, colours, setting))
    seen = f"{listed([article(thing) for thing in things])} {setting}"
    caption = rng.choice(
        (
            seen,
            f"{seen}{extra}",
            f"{setting}: from left to right {listed([article(thing) for thing in things])}",
            f"a drawing of {listed([article(thing) for thing in things])}",
        )
    )
    return Sample("scenes", picture, turns, caption)


def _place(
    rng: random.Random, pen: Pen, where: tuple[int, float, int], prop: tuple[Prop, float], colour: Colour
) -> None:
    i, slot, height = where
    draw, share = prop
    tall = min(share * height * rng.uniform(0.75, 1.15), slot * (0.95 if share > 0.2 else 0.48))
    x = (i + 0.5) * slot + rng.uniform(-0.12, 0.12) * slot
    draw(pen, x, height * rng.uniform(0.74, 0.95), tall, colour)


def landscape(rng: random.Random, extent: tuple[int, int]) -> tuple[Picture, str, str]:
    """Return a picture, where things in it are ("on grass at night"), and a clause on what else it shows."""
    time, ground = rng.choice(list(SKIES)), rng.choice(list(GROUNDS))
    upper, lower = (jitter(rng, colour, 18) for colour in SKIES[time])
    w, h = extent
    picture = Image.new("RGB", extent)
    horizon = int(h * rng.uniform(0.45, 0.7))
    sky = Image.linear_gradient("L").resize((w, horizon))
    picture.paste(
        Image.composite(Image.new("RGB", sky.size, lower), Image.new("RGB", sky.size, upper), sky), (0, 0)
    )
    pen = ImageDraw.Draw(picture)
    earth = jitter(rng, GROUNDS[ground], 18)
    extra = _sky_things(rng, pen, time, (w, horizon))
    if rng.random() < 0.4:
        _mountains(rng, pen, w, horizon)
        extra += " and mountains behind"
    pen.rectangle((0, horizon, w, h), earth)
    for _ in range(rng.randint(0, 14)):
        x, y = rng.uniform(0, w), rng.uniform(horizon, h)
        pen.line((x, y, x + rng.uniform(3, 16), y), jitter(rng, earth, 24))
    where = {"a road": "by a road", "water": "on the water"}.get(ground, f"on {ground}")
    when = {"night": "at night", "sunset": "at sunset"}.get(time, f"on {time}")
    return picture, f"{where} {when}", extra


def _sky_things(rng: random.Random, pen: Pen, time: str, extent: tuple[int, int]) -> str:
    w, horizon = extent
    x, y, r = rng.uniform(0.1, 0.9) * w, rng.uniform(0.15, 0.5) * horizon, rng.uniform(0.04, 0.09) * w
    extra = ""
    if time == "night":
        star = polygon(5, inner=0.4)
        for _ in range(rng.randint(4, 20)):
            star(pen, rng.uniform(0, w), rng.uniform(0, horizon * 0.8), rng.uniform(1, 4), (250, 246, 210))
        circle(pen, x, y, r, (240, 238, 216))
        extra = ", under the moon"
    elif time != "a cloudy day":
        circle(pen, x, y, r, (255, 224, 90) if time == "a clear day" else (255, 120, 60))
        extra = ", under the sun"
    for _ in range(rng.choice((0, 0, 1, 2, 3)) + 2 * (time == "a cloudy day")):
        cx, cy, cr = rng.uniform(0, w), rng.uniform(0.1, 0.5) * horizon, rng.uniform(0.03, 0.07) * w
        for dx in (-1.1, 0, 1.1):
            circle(pen, cx + dx * cr, cy + abs(dx) * 0.3 * cr, cr, (236, 238, 242))
    return extra


def _mountains(rng: random.Random, pen: Pen, w: int, horizon: int) -> None:
    colour = jitter(rng, rng.choice(((96, 110, 130), (120, 100, 90), (80, 110, 90))), 16)
    for _ in range(rng.randint(2, 5)):
        x, half, high = rng.uniform(0, w), rng.uniform(0.12, 0.35) * w, rng.uniform(0.2, 0.6) * horizon
        pen.polygon(((x - half, horizon), (x + half, horizon), (x, horizon - high)), jitter(rng, colour, 10))


def room(rng: random.Random, extent: tuple[int, int]) -> tuple[Picture, str, str]:
    """Return a picture, where things in it are ("in a room"), and a clause on what else it shows."""
    w, h = extent
    wall = jitter(rng, rng.choice(WALLS), 16)
    picture = gradient(rng, extent, wall, jitter(rng, wall, 22))
    pen = ImageDraw.Draw(picture)
    edge = int(h * rng.uniform(0.62, 0.78))
    pen.rectangle((0, edge, w, h), jitter(rng, rng.choice(FLOORS), 16))
    pen.line((0, edge, w, edge), DARK, rng.randint(1, 3))
    extra = ""
    x, y, a, b = (
        rng.uniform(0.05, 0.6) * w,
        rng.uniform(0.06, 0.16) * h,
        rng.uniform(0.15, 0.32) * w,
        0.28 * h,
    )
    if rng.random() < 0.5:
        pen.rectangle((x, y, x + a, y + b), GLASS, DARK, 2)
        pen.line((x + a / 2, y, x + a / 2, y + b), DARK)
        extra = ", with a window"
    elif rng.random() < 0.6:
        pen.rectangle(
            (x, y, x + a, y + b), jitter(rng, COLOURS[rng.choice(list(COLOURS))], 30), (120, 84, 40), 3
        )
        extra = ", with a picture on the wall"
    return picture, "in a room", extra


def _questions(
    rng: random.Random, names: list[str], colours: list[str], setting: str
) -> list[tuple[str, str]]:
    i = rng.randrange(len(names))
    a, b = rng.sample(range(len(names)), 2)
    name, colour = names[i], colours[i]
    absent = rng.choice([prop for prop in {**OUTDOOR, **INDOOR} if prop not in names])
    things = [f"{article(c)} {n}" for n, c in zip(names, colours, strict=True)]
    return [
        (rng.choice((f"What colour is the {name}?", f"Which colour does the {name} have?")), colour),
        (rng.choice((f"What is {colour}?", f"Which thing is {colour}?")), f"the {name}"),
        (f"Is the {names[a]} to the left or to the right of the {names[b]}?", "left" if a < b else "right"),
        (rng.choice(("What is on the far left?", "What stands furthest left?")), f"the {names[0]}"),
        (rng.choice(("What is on the far right?", "What stands furthest right?")), f"the {names[-1]}"),
        (rng.choice((f"Is there {article(absent)}?", f"Do you see {article(absent)}?")), "no"),
        (rng.choice((f"Is there {article(name)}?", f"Do you see {article(name)}?")), "yes"),
        (rng.choice(("Where are the things?", "What is the setting?")), setting),
        (
            rng.choice(("Describe the scene.", "What does the picture show?")),
            f"{listed(things)} {setting}.".capitalize(),
        ),
    ]
