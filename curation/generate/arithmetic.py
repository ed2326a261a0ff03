"""Exercises of text alone: sums, fractions of a number, short word problems."""

from __future__ import annotations

import random

from curation.generate import words
from curation.generate.sample import Sample


def exercises(rng: random.Random) -> Sample:
    """Return one to three exercises with their answers; no picture."""
    n = rng.choices((1, 2, 3), (6, 3, 1))[0]
    turns = tuple(rng.choice((_sum, _sum, _share, _story, _trip))(rng) for _ in range(n))
    return Sample("arithmetic", None, turns, " ".join(question for question, _ in turns))


def _sum(rng: random.Random) -> tuple[str, str]:
    sign = rng.choice("+-x")
    most = 12 if sign == "x" else rng.choice((20, 100, 1000))
    a, b = rng.randint(2, most), rng.randint(2, most)
    if sign == "-" and b > a:
        a, b = b, a
    value = {"+": a + b, "-": a - b, "x": a * b}[sign]
    written = {"+": "plus", "-": "minus", "x": "times"}[sign]
    question = rng.choice((f"What is {a} {sign} {b}?", f"{a} {sign} {b} =", f"Work out {a} {written} {b}."))
    return question, rng.choice((str(value), f"{a} {sign} {b} = {value}"))


def _share(rng: random.Random) -> tuple[str, str]:
    percent = rng.choice((5, 10, 20, 25, 50, 75))
    whole = rng.randint(1, 40) * 20
    part = whole * percent // 100
    question = rng.choice((f"What is {percent}% of {whole}?", f"How much is {percent} percent of {whole}?"))
    return question, rng.choice((str(part), f"{percent}% of {whole} is {part}."))


def _story(rng: random.Random) -> tuple[str, str]:
    name, other = rng.sample(words.NAMES, 2)
    thing = rng.choice(words.FRUITS)
    a, b = rng.randint(5, 60), rng.randint(2, 30)
    if a > b and rng.random() < 0.5:
        text, value, sign = f"{name} has {a} {thing} and gives {b} to {other}.", a - b, "-"
    else:
        text, value, sign = f"{name} has {a} {thing} and gets {b} more from {other}.", a + b, "+"
    answer = f"{name} had {a}, so the count is {a} {sign} {b} = {value}. The answer is {value}."
    return f"{text} How many {thing} does {name} have now?", rng.choice((str(value), answer))


def _trip(rng: random.Random) -> tuple[str, str]:
    start, end = rng.sample(words.CITIES, 2)
    hours, speed = rng.randint(2, 9), rng.randint(4, 26) * 5
    question = f"A train goes from {start} to {end} at {speed} km/h and needs {hours} hours. How far is it?"
    far = speed * hours
    return question, rng.choice((f"{far} km", f"{speed} x {hours} = {far}, so it is {far} km."))
