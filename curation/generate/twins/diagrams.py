"""Diagrams as of school books that differ in one label: blocks on strings, and boxes joined by arrows."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from curation.generate import words
from curation.generate.canvas import COLOURS, fit_font, font, ink_on, jitter
from curation.generate.figures import arrow
from curation.generate.twins.family import Family, different

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

INK = (30, 30, 36)


def diagrams(rng: random.Random, k: int) -> Family:
    """Return k diagrams that differ in one number or one word."""
    return rng.choice((_blocks, _steps))(rng, k)


def _blocks(rng: random.Random, k: int) -> Family:
    """Blocks of given masses on a table, a string between any two, pulled by a force."""
    first = [f"{rng.randint(1, 40)} kg" for _ in range(rng.randint(2, 4))] + [f"{rng.randint(5, 90)} N"]
    at = rng.randrange(len(first))
    if at < len(first) - 1:
        what, question = "mass", f"What is the mass of block {at + 1}, counted from the left?"
        answers = different(k, lambda: f"{rng.randint(1, 40)} kg")
    else:
        what, question = "force", "How strong is the force that pulls?"
        answers = different(k, lambda: f"{rng.randint(5, 90)} N")
    look = rng.getrandbits(32)
    images = tuple(
        _draw_blocks(random.Random(look), [*first[:at], answer, *first[at + 1 :]]) for answer in answers
    )
    shared = ("What does the diagram show?", "Blocks on a table that a force pulls to the right.")
    return Family(images, what, question, answers, shared)


def _draw_blocks(look: random.Random, labels: list[str]) -> Picture:
    width = look.randint(420, 760)
    height = round(width * look.uniform(0.4, 0.6))
    picture = Image.new("RGB", (width, height), jitter(look, (250, 250, 250), 5))
    pen = ImageDraw.Draw(picture)
    floor, slot = 0.78 * height, width / (len(labels) + 0.4)
    pen.rectangle((0, floor, width, floor + 6), (120, 100, 80))
    pen.line((slot, floor - 0.16 * height, slot * len(labels), floor - 0.16 * height), INK, 2)
    for i, label in enumerate(labels[:-1]):
        x, half = (i + 0.7) * slot, slot * look.uniform(0.26, 0.34)
        tall = look.uniform(0.28, 0.42) * height
        colour = jitter(look, COLOURS[look.choice(("blue", "orange", "green", "grey", "teal"))])
        pen.rectangle((x - half, floor - tall, x + half, floor), colour, INK, 2)
        pen.text((x, floor - tall / 2), label, ink_on(colour), font(17), "mm")
    x = (len(labels) - 0.35) * slot
    arrow(pen, x, floor - 0.16 * height, 0.3 * slot, INK)
    pen.text((x, floor - 0.16 * height - 0.3 * slot), labels[-1], INK, font(17), "mb")
    return picture


def _steps(rng: random.Random, k: int) -> Family:
    """A flow of boxes, each with something to do."""
    first = rng.sample(words.ERRANDS, rng.randint(3, 6))
    at = rng.randrange(len(first))
    answers = different(k, lambda: rng.choice(words.ERRANDS), first)
    look = rng.getrandbits(32)
    images = tuple(
        _draw_steps(random.Random(look), [*first[:at], answer, *first[at + 1 :]]) for answer in answers
    )
    question = f"What is step {at + 1}?"
    return Family(images, "step", question, answers, ("How many steps are there?", str(len(first))))


def _draw_steps(look: random.Random, steps: list[str]) -> Picture:
    wide, high, gap = look.randint(280, 340), look.randint(42, 56), look.randint(30, 44)
    margin = look.randint(16, 60)
    picture = Image.new(
        "RGB",
        (wide + 2 * margin, (high + gap) * len(steps) - gap + 2 * margin),
        jitter(look, (246, 248, 252), 6),
    )
    pen = ImageDraw.Draw(picture)
    fill = jitter(look, COLOURS[look.choice(("teal", "yellow", "pink", "blue"))])
    for i, step in enumerate(steps):
        y = margin + i * (high + gap)
        pen.rounded_rectangle((margin, y, margin + wide, y + high), 8, fill, INK, 2)
        text = f"{i + 1}. {step}"
        pen.text((margin + wide / 2, y + high / 2), text, ink_on(fill), fit_font(text, wide - 16, 18), "mm")
        if i:
            x = margin + wide / 2
            pen.line((x, y - gap, x, y - 8), INK, 2)
            pen.polygon(((x - 6, y - 9), (x + 6, y - 9), (x, y)), INK)
    return picture
