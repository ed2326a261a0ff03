"""Bar charts and plots of lines that differ in a value, a label, a year or a name in the legend."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from curation.generate import words
from curation.generate.canvas import COLOURS, contrasting, fit_font, font, jitter
from curation.generate.charts import FAMILIES
from curation.generate.twins.family import MOST, Family, different

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageDraw import ImageDraw as Pen

INK, GREY = (40, 40, 44), (214, 214, 218)
STEP = 20  # between the lines of the grid, in units of the values
Frame = tuple[float, float, float, float]  # left, top, right, bottom of the area of a chart, px


@dataclass(frozen=True)
class Chart:
    """One or more series over the same labels."""

    measure: str
    year: int
    labels: tuple[str, ...]
    names: tuple[str, ...]  # of the series, as the legend has them
    values: tuple[tuple[int, ...], ...]  # (series, labels), 5 to 100

    def with_value(self, series: int, at: int, value: int) -> Chart:
        """The same but for one value."""
        values = [list(row) for row in self.values]
        values[series][at] = value
        return replace(self, values=tuple(map(tuple, values)))


def bars(rng: random.Random, k: int) -> Family:
    """Return k bar charts that differ in a value, a label or the year of the title."""
    family = rng.choice(("city", "fruit", "product", "animal", "sport", "team", "pupil"))
    pool, measures = FAMILIES[family]
    labels = tuple(rng.sample(pool, rng.randint(4, min(8, len(pool) - MOST))))
    values = different(len(labels), lambda: rng.randint(8, 100))
    first = Chart(rng.choice(measures), rng.randint(1995, 2024), labels, ("",), (values,))
    at = rng.randrange(len(labels))
    what = rng.choice(("value", "value", "label", "year"))
    if what == "value":
        # Near to each other in half of the families; no other bar has the value.
        least, most = rng.choice(((8, 100), (max(8, values[at] - 16), values[at])))
        numbers = different(k, lambda: rng.randint(least, max(most, 24)), values[:at] + values[at + 1 :])
        question, answers = f"What is the value for {labels[at]}?", tuple(map(str, numbers))
        charts = [first.with_value(0, at, number) for number in numbers]
    elif what == "label":
        answers = different(k, lambda: rng.choice(pool), labels)
        question = f"Which {family} has the value {values[at]}?"
        charts = [replace(first, labels=(*labels[:at], name, *labels[at + 1 :])) for name in answers]
    else:
        years = different(k, lambda: rng.randint(1995, 2024))
        question, answers = "Which year does the chart show?", tuple(map(str, years))
        charts = [replace(first, year=year) for year in years]
    look = rng.getrandbits(32)
    images = tuple(_draw_bars(random.Random(look), chart) for chart in charts)
    shared = ("What does the chart show?", f"{first.measure} by {family}")
    return Family(images, what, question, answers, shared)


def lines(rng: random.Random, k: int) -> Family:
    """Return k plots of one to three lines that differ in one point or in a name in the legend."""
    start, n = rng.randrange(4), rng.randint(5, 8)
    names = tuple(rng.sample(words.CITIES, rng.randint(1, 3)))
    values = tuple(tuple(rng.randrange(5, 101, 5) for _ in range(n)) for _ in names)
    measure = rng.choice(FAMILIES["month"][1])
    first = Chart(measure, rng.randint(1995, 2024), words.MONTHS[start : start + n], names, values)
    series, at = rng.randrange(len(names)), rng.randrange(n)
    what = rng.choice(("point", "point", "name"))
    if what == "point":
        points = different(k, lambda: rng.randrange(5, 101, 5))
        question = f"What is the value of {names[series]} in {first.labels[at]}?"
        answers = tuple(map(str, points))
        charts = [first.with_value(series, at, point) for point in points]
    else:
        answers = different(k, lambda: rng.choice(words.CITIES), names)
        question = f"Which city stands in the legend at place {series + 1}?"
        charts = [replace(first, names=(*names[:series], name, *names[series + 1 :])) for name in answers]
    look = rng.getrandbits(32)
    images = tuple(_draw_lines(random.Random(look), chart) for chart in charts)
    shared = ("What does the plot show?", f"{measure} by month in {first.year}")
    return Family(images, what, question, answers, shared)


def _draw_bars(look: random.Random, chart: Chart) -> Picture:
    picture, pen, frame = _page(look, chart)
    left, top, right, bottom = frame
    slot = (right - left) / len(chart.labels)
    paper = picture.getpixel((0, 0))
    assert isinstance(paper, tuple)
    names = contrasting(look, (paper[0], paper[1], paper[2]), 8)
    one = look.random() < 0.6
    for i, (label, value) in enumerate(zip(chart.labels, chart.values[0], strict=True)):
        x, y = left + (i + 0.5) * slot, bottom - (bottom - top) * value / 100
        colour = jitter(look, COLOURS[names[0 if one else i]])
        pen.rectangle((x - 0.32 * slot, y, x + 0.32 * slot, bottom), colour)
        pen.text((x, y - 2), str(value), INK, font(13), "mb")
        pen.text((x, bottom + 6), label, INK, fit_font(label, slot - 3, 13), "ma")
    return picture


def _draw_lines(look: random.Random, chart: Chart) -> Picture:
    picture, pen, frame = _page(look, chart)
    left, top, right, bottom = frame
    slot = (right - left) / len(chart.labels)
    places = [left + (i + 0.5) * slot for i in range(len(chart.labels))]
    colours = [COLOURS[name] for name in look.sample(("red", "blue", "green", "purple", "orange"), 3)]
    thick = look.randint(2, 3)
    for x, label in zip(places, chart.labels, strict=True):
        pen.text((x, bottom + 6), label, INK, font(13), "ma")
    for i, (name, row) in enumerate(zip(chart.names, chart.values, strict=True)):
        points = [(x, bottom - (bottom - top) * value / 100) for x, value in zip(places, row, strict=True)]
        _line(pen, points, colours[i], thick)
        spot = left + 8 + i * (right - left) / len(chart.names)
        pen.rectangle((spot, bottom + 32, spot + 12, bottom + 40), colours[i])
        pen.text((spot + 18, bottom + 28), name, INK, font(14))
    return picture


def _line(pen: Pen, points: Sequence[tuple[float, float]], colour: tuple[int, int, int], thick: int) -> None:
    pen.line(points, colour, thick)
    for x, y in points:
        pen.ellipse((x - 4, y - 4, x + 4, y + 4), colour)


def _page(look: random.Random, chart: Chart) -> tuple[Picture, Pen, Frame]:
    """Draw paper, title and grid; the area of the chart runs from 0 at the bottom to 100 at the top."""
    width = look.randint(420, 780)
    height = round(width * look.uniform(0.6, 0.85))
    picture = Image.new(
        "RGB", (width, height), look.choice(((255, 255, 255), (250, 248, 240), (242, 246, 250)))
    )
    pen = ImageDraw.Draw(picture)
    title = f"{chart.measure}, {chart.year}"
    pen.text((width / 2, 12), title, INK, font(look.randint(18, 24)), "ma")
    left, top, right, bottom = 46.0, 64.0, width - 16.0, height - 56.0
    for value in range(0, 101, STEP):
        y = bottom - (bottom - top) * value / 100
        pen.line((left, y, right, y), GREY)
        pen.text((left - 6, y), str(value), INK, font(12), "rm")
    pen.line((left, top, left, bottom, right, bottom), INK)
    return picture, pen, (left, top, right, bottom)
