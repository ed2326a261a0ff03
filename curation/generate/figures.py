"""Flat figures (circle, star, heart, fish ...) drawn in a square box."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from curation.generate.canvas import Colour

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Figure = Callable[
    ["ImageDraw", float, float, float, "Colour"], None
]  # pen, centre x, centre y, radius px, colour


def polygon(sides: int, turn: float = -90.0, inner: float = 1.0) -> Figure:
    """Return a regular polygon, or a star where `inner` < 1 is the radius of every second corner."""
    corners = sides if inner == 1.0 else 2 * sides
    steps = [
        (math.cos(math.radians(turn + 360 * i / corners)), math.sin(math.radians(turn + 360 * i / corners)))
        for i in range(corners)
    ]

    def draw(pen: ImageDraw, x: float, y: float, r: float, colour: Colour) -> None:
        points = []
        for i, (dx, dy) in enumerate(steps):
            reach = r * inner if i % 2 and inner != 1.0 else r
            points.append((x + reach * dx, y + reach * dy))
        pen.polygon(points, colour)

    return draw


def circle(pen: ImageDraw, x: float, y: float, r: float, colour: Colour) -> None:
    """Draw a filled circle."""
    pen.ellipse((x - r, y - r, x + r, y + r), colour)


def ring(pen: ImageDraw, x: float, y: float, r: float, colour: Colour) -> None:
    """Draw a circle with a hole."""
    pen.ellipse((x - r, y - r, x + r, y + r), None, colour, max(2, round(r * 0.35)))


def square(pen: ImageDraw, x: float, y: float, r: float, colour: Colour) -> None:
    """Draw an upright square."""
    pen.rectangle((x - 0.85 * r, y - 0.85 * r, x + 0.85 * r, y + 0.85 * r), colour)


def oval(pen: ImageDraw, x: float, y: float, r: float, colour: Colour) -> None:
    """Draw a lying oval."""
    pen.ellipse((x - r, y - 0.55 * r, x + r, y + 0.55 * r), colour)


def cross(pen: ImageDraw, x: float, y: float, r: float, colour: Colour) -> None:
    """Draw an upright cross."""
    pen.rectangle((x - r, y - 0.3 * r, x + r, y + 0.3 * r), colour)
    pen.rectangle((x - 0.3 * r, y - r, x + 0.3 * r, y + r), colour)


def heart(pen: ImageDraw, x: float, y: float, r: float, colour: Colour) -> None:
    """Draw a heart."""
    pen.ellipse((x - r, y - 0.8 * r, x + 0.06 * r, y + 0.26 * r), colour)
    pen.ellipse((x - 0.06 * r, y - 0.8 * r, x + r, y + 0.26 * r), colour)
    pen.polygon(((x - 0.95 * r, y - 0.05 * r), (x + 0.95 * r, y - 0.05 * r), (x, y + r)), colour)


def arrow(pen: ImageDraw, x: float, y: float, r: float, colour: Colour) -> None:
    """Draw an arrow to the right."""
    pen.rectangle((x - r, y - 0.25 * r, x + 0.2 * r, y + 0.25 * r), colour)
    pen.polygon(((x + 0.1 * r, y - 0.75 * r), (x + 0.1 * r, y + 0.75 * r), (x + r, y)), colour)


def crescent(pen: ImageDraw, x: float, y: float, r: float, colour: Colour) -> None:
    """Draw a moon as a half disc."""
    pen.pieslice((x - r, y - r, x + r, y + r), 90, 270, colour)


def fish(pen: ImageDraw, x: float, y: float, r: float, colour: Colour) -> None:
    """Draw a fish that swims to the right."""
    pen.polygon(((x - r, y - 0.6 * r), (x - r, y + 0.6 * r), (x - 0.2 * r, y)), colour)
    pen.ellipse((x - 0.6 * r, y - 0.5 * r, x + r, y + 0.5 * r), colour)
    pen.ellipse((x + 0.5 * r, y - 0.22 * r, x + 0.7 * r, y - 0.02 * r), (255, 255, 255))


def apple(pen: ImageDraw, x: float, y: float, r: float, colour: Colour) -> None:
    """Draw an apple with stalk and leaf."""
    pen.ellipse((x - 0.85 * r, y - 0.6 * r, x + 0.85 * r, y + r), colour)
    pen.line((x, y - 0.5 * r, x + 0.1 * r, y - r), (90, 60, 30), max(1, round(r * 0.15)))
    pen.ellipse((x + 0.1 * r, y - r, x + 0.6 * r, y - 0.7 * r), (60, 150, 60))


def flower(pen: ImageDraw, x: float, y: float, r: float, colour: Colour) -> None:
    """Draw a flower of five petals."""
    for i in range(5):
        angle = math.radians(72 * i)
        circle(pen, x + 0.55 * r * math.cos(angle), y + 0.55 * r * math.sin(angle), 0.42 * r, colour)
    circle(pen, x, y, 0.3 * r, (250, 220, 90))


def balloon(pen: ImageDraw, x: float, y: float, r: float, colour: Colour) -> None:
    """Draw a balloon on a string."""
    pen.line((x, y + 0.4 * r, x, y + r), (120, 120, 120))
    pen.ellipse((x - 0.65 * r, y - r, x + 0.65 * r, y + 0.5 * r), colour)


def cup(pen: ImageDraw, x: float, y: float, r: float, colour: Colour) -> None:
    """Draw a cup with a handle."""
    pen.ellipse((x + 0.2 * r, y - 0.45 * r, x + r, y + 0.4 * r), None, colour, max(2, round(r * 0.2)))
    pen.rectangle((x - 0.8 * r, y - 0.7 * r, x + 0.5 * r, y + 0.8 * r), colour)


SHAPES: dict[str, Figure] = {
    "circle": circle,
    "ring": ring,
    "square": square,
    "oval": oval,
    "triangle": polygon(3),
    "diamond": polygon(4),
    "pentagon": polygon(5),
    "hexagon": polygon(6, 0.0),
    "star": polygon(5, inner=0.42),
    "cross": cross,
    "heart": heart,
    "arrow": arrow,
}
THINGS: dict[str, Figure] = {
    "star": polygon(5, inner=0.42),
    "heart": heart,
    "fish": fish,
    "apple": apple,
    "flower": flower,
    "balloon": balloon,
    "cup": cup,
    "ball": circle,
    "moon": crescent,
    "ring": ring,
}
PLURALS = {"fish": "fish"}


def plural(noun: str, n: int) -> str:
    """Return the noun as it stands after the number n."""
    if n == 1:
        return noun
    return PLURALS.get(noun, f"{noun}s")
