"""Things that stand in a scene: house, tree, car, person, lamp, sofa ..."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from curation.generate.canvas import Colour
from curation.generate.figures import circle, heart

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Prop = Callable[["ImageDraw", float, float, float, Colour], None]  # pen, centre x, foot y, height px, colour

WOOD: Colour = (112, 76, 44)
DARK: Colour = (40, 40, 46)
GLASS: Colour = (176, 214, 236)


def shade(colour: Colour, by: float = 0.7) -> Colour:
    """Return the colour times `by`, for sides and roofs."""
    return int(colour[0] * by), int(colour[1] * by), int(colour[2] * by)


def house(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a house with roof, door and window."""
    pen.rectangle((x - 0.5 * h, y - 0.6 * h, x + 0.5 * h, y), colour)
    pen.polygon(((x - 0.6 * h, y - 0.6 * h), (x + 0.6 * h, y - 0.6 * h), (x, y - h)), shade(colour, 0.55))
    pen.rectangle((x - 0.1 * h, y - 0.32 * h, x + 0.1 * h, y), WOOD)
    pen.rectangle((x + 0.2 * h, y - 0.45 * h, x + 0.4 * h, y - 0.25 * h), GLASS, DARK)


def tower(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a tall block with rows of windows."""
    pen.rectangle((x - 0.22 * h, y - h, x + 0.22 * h, y), colour)
    for row in range(5):
        for column in range(3):
            left, top = x - 0.17 * h + column * 0.125 * h, y - 0.94 * h + row * 0.18 * h
            pen.rectangle((left, top, left + 0.07 * h, top + 0.1 * h), GLASS)


def tree(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a tree with a round crown of the given colour."""
    pen.rectangle((x - 0.06 * h, y - 0.45 * h, x + 0.06 * h, y), WOOD)
    circle(pen, x, y - 0.68 * h, 0.32 * h, colour)


def fir(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a fir of three tiers."""
    pen.rectangle((x - 0.05 * h, y - 0.2 * h, x + 0.05 * h, y), WOOD)
    for low, high, wide in ((0.12, 0.55, 0.3), (0.35, 0.78, 0.23), (0.58, 1.0, 0.16)):
        pen.polygon(((x - wide * h, y - low * h), (x + wide * h, y - low * h), (x, y - high * h)), colour)


def car(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a car from the side."""
    pen.polygon(
        ((x - 0.55 * h, y - 0.5 * h), (x - 0.3 * h, y - h), (x + 0.4 * h, y - h), (x + 0.6 * h, y - 0.5 * h)),
        colour,
    )
    pen.rectangle((x - 0.25 * h, y - 0.9 * h, x + 0.35 * h, y - 0.55 * h), GLASS)
    pen.rectangle((x - h, y - 0.55 * h, x + h, y - 0.15 * h), colour)
    for dx in (-0.55, 0.55):
        circle(pen, x + dx * h, y - 0.17 * h, 0.2 * h, DARK)


def person(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a person in a shirt of the given colour."""
    for dx in (-0.09, 0.09):
        pen.line((x, y - 0.42 * h, x + dx * h, y), (50, 60, 90), max(2, round(0.09 * h)))
    pen.line(
        (x - 0.2 * h, y - 0.55 * h, x, y - 0.72 * h, x + 0.2 * h, y - 0.55 * h),
        colour,
        max(1, round(0.07 * h)),
    )
    pen.rectangle((x - 0.11 * h, y - 0.76 * h, x + 0.11 * h, y - 0.38 * h), colour)
    circle(pen, x, y - 0.87 * h, 0.12 * h, (224, 178, 140))


def dog(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a dog that looks to the right."""
    for dx in (-0.55, -0.35, 0.3, 0.5):
        pen.rectangle((x + dx * h, y - 0.4 * h, x + (dx + 0.12) * h, y), shade(colour))
    pen.ellipse((x - 0.75 * h, y - 0.75 * h, x + 0.65 * h, y - 0.25 * h), colour)
    circle(pen, x + 0.65 * h, y - 0.75 * h, 0.26 * h, colour)
    pen.line((x - 0.7 * h, y - 0.55 * h, x - 0.95 * h, y - 0.9 * h), colour, max(2, round(0.1 * h)))


def boat(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a sailing boat with a hull of the given colour."""
    pen.polygon(
        ((x - 0.6 * h, y - 0.28 * h), (x + 0.6 * h, y - 0.28 * h), (x + 0.4 * h, y), (x - 0.4 * h, y)), colour
    )
    pen.line((x, y - 0.28 * h, x, y - h), WOOD, 2)
    pen.polygon(
        ((x + 0.05 * h, y - 0.95 * h), (x + 0.05 * h, y - 0.35 * h), (x + 0.5 * h, y - 0.35 * h)),
        (250, 250, 250),
    )


def ball(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a ball."""
    circle(pen, x, y - 0.5 * h, 0.5 * h, colour)


def fence(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a piece of fence."""
    for i in range(-3, 4):
        pen.rectangle((x + i * 0.4 * h - 0.08 * h, y - h, x + i * 0.4 * h + 0.08 * h, y), colour)
    pen.rectangle((x - 1.4 * h, y - 0.7 * h, x + 1.4 * h, y - 0.55 * h), colour)


def table(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a table."""
    pen.rectangle((x - h, y - h, x + h, y - 0.82 * h), colour)
    for dx in (-0.85, 0.73):
        pen.rectangle((x + dx * h, y - 0.82 * h, x + (dx + 0.12) * h, y), shade(colour))


def chair(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a chair from the side."""
    pen.rectangle((x - 0.3 * h, y - h, x - 0.2 * h, y), colour)
    pen.rectangle((x - 0.3 * h, y - 0.5 * h, x + 0.3 * h, y - 0.4 * h), colour)
    pen.rectangle((x + 0.2 * h, y - 0.45 * h, x + 0.3 * h, y), colour)


def sofa(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a sofa with two arms."""
    pen.rounded_rectangle((x - 0.95 * h, y - h, x + 0.95 * h, y - 0.1 * h), 0.15 * h, shade(colour, 0.8))
    pen.rectangle((x - 0.8 * h, y - 0.5 * h, x + 0.8 * h, y - 0.1 * h), colour)
    for dx in (-1.1, 0.85):
        pen.rounded_rectangle((x + dx * h, y - 0.65 * h, x + (dx + 0.25) * h, y), 0.1 * h, colour)


def lamp(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a standard lamp with a shade of the given colour."""
    pen.line((x, y, x, y - 0.8 * h), DARK, 2)
    pen.polygon(
        (
            (x - 0.25 * h, y - 0.65 * h),
            (x + 0.25 * h, y - 0.65 * h),
            (x + 0.14 * h, y - h),
            (x - 0.14 * h, y - h),
        ),
        colour,
    )
    pen.rectangle((x - 0.15 * h, y - 0.04 * h, x + 0.15 * h, y), DARK)


def plant(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a green plant in a pot of the given colour."""
    for dx in (-0.28, -0.12, 0.12, 0.28):
        pen.line((x, y - 0.35 * h, x + dx * h, y - h), (50, 140, 60), max(2, round(0.08 * h)))
    pen.polygon(
        ((x - 0.25 * h, y - 0.4 * h), (x + 0.25 * h, y - 0.4 * h), (x + 0.17 * h, y), (x - 0.17 * h, y)),
        colour,
    )


def box(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a closed box."""
    pen.rectangle((x - 0.55 * h, y - 0.8 * h, x + 0.55 * h, y), colour)
    pen.polygon(
        (
            (x - 0.55 * h, y - 0.8 * h),
            (x - 0.35 * h, y - h),
            (x + 0.75 * h, y - h),
            (x + 0.55 * h, y - 0.8 * h),
        ),
        shade(colour),
    )


def balloon(pen: ImageDraw, x: float, y: float, h: float, colour: Colour) -> None:
    """Draw a heart-shaped balloon on a string."""
    pen.line((x, y, x, y - 0.5 * h), DARK)
    heart(pen, x, y - 0.7 * h, 0.3 * h, colour)


OUTDOOR: dict[str, tuple[Prop, float]] = {  # with the height as a fraction of the picture's
    "house": (house, 0.45),
    "tower": (tower, 0.62),
    "tree": (tree, 0.42),
    "fir": (fir, 0.45),
    "car": (car, 0.16),
    "person": (person, 0.32),
    "dog": (dog, 0.15),
    "boat": (boat, 0.3),
    "ball": (ball, 0.12),
    "fence": (fence, 0.15),
    "balloon": (balloon, 0.4),
}
INDOOR: dict[str, tuple[Prop, float]] = {
    "table": (table, 0.26),
    "chair": (chair, 0.36),
    "sofa": (sofa, 0.28),
    "lamp": (lamp, 0.52),
    "plant": (plant, 0.34),
    "person": (person, 0.44),
    "dog": (dog, 0.17),
    "ball": (ball, 0.12),
    "box": (box, 0.22),
    "balloon": (balloon, 0.42),
}
