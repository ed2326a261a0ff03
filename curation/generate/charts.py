"""Bar, line and pie charts with titles, labels and values."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curation.generate import words
from curation.generate.canvas import COLOURS, Colour, contrasting, fit_font, font, ink_on, jitter, page
from curation.generate.sample import Sample, article, draw_turns, listed

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

FAMILIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "month": (words.MONTHS, ("Rainfall", "Sales", "Visitors", "Sunny hours", "Bookings", "Energy use")),
    "day": (words.DAYS, ("Steps", "Calls", "Visitors", "Orders", "Emails", "Tickets sold")),
    "city": (words.CITIES, ("Hotels", "Parks", "Rainy days", "Offices", "Museums", "New homes")),
    "fruit": (words.FRUITS, ("Boxes sold", "Price", "Stock", "Votes", "Exports")),
    "product": (words.GOODS, ("Units sold", "Stock", "Orders", "Returns", "Revenue")),
    "animal": (words.ANIMALS, ("Animals counted", "Sightings", "Votes", "Rescues")),
    "sport": (words.SPORTS, ("Members", "Medals", "Fans", "Lessons")),
    "team": (words.TEAMS, ("Goals", "Points", "Wins", "Fans")),
    "pupil": (words.NAMES, ("Books read", "Score", "Hours of practice", "Laps")),
}


@dataclass(frozen=True)
class Series:
    """What a chart shows: one value a label."""

    title: str
    measure: str
    family: str
    labels: tuple[str, ...]
    values: tuple[int, ...]  # all different, so that the largest is one label


def chart(rng: random.Random) -> Sample:
    """Return a bar, line or pie chart with questions on values, extremes and differences."""
    form = rng.choice(("bar", "bar", "horizontal bar", "line", "pie"))
    series = _series(rng, most=5 if form == "pie" else 7)
    picture, pen, paper = page(rng, least=200)
    ink = ink_on(paper)
    top = 6
    if rng.random() < 0.9:
        pen.text(
            (picture.width / 2, 5), series.title, ink, fit_font(series.title, picture.width - 12, 16), "ma"
        )
        top = 28
    FORMS[form](rng, picture, pen, (paper, ink, top), series)
    return Sample(
        "charts", picture, draw_turns(rng, _questions(rng, form, series)), _caption(rng, form, series)
    )


def _series(rng: random.Random, most: int) -> Series:
    family = rng.choice(list(FAMILIES))
    pool, measures = FAMILIES[family]
    n = rng.randint(3, most)
    if family in ("month", "day"):
        start = rng.randrange(len(pool) - n + 1)
        labels = pool[start : start + n]
    else:
        labels = tuple(rng.sample(pool, n))
    measure = rng.choice(measures)
    scale = rng.choice((10, 20, 50, 100, 500))
    values = tuple(rng.sample(range(max(1, scale // 10), scale + n), n))
    title = rng.choice(
        (f"{measure} by {family}", f"{measure} per {family}", f"{measure} in {rng.randint(1995, 2029)}")
    )
    return Series(title, measure, family, labels, values)


def _bars(
    rng: random.Random, picture: Image, pen: ImageDraw, look: tuple[Colour, Colour, int], series: Series
) -> None:
    paper, ink, top = look
    left, bottom = 10, picture.height - 20
    step = (picture.width - left - 8) / len(series.values)
    one = rng.random() < 0.5
    names = contrasting(rng, paper, 7)
    small = font(10 if step > 24 else 8)
    for i, (label, value) in enumerate(zip(series.labels, series.values, strict=True)):
        x0 = left + i * step + step * 0.15
        x1 = x0 + step * 0.7
        y0 = bottom - (bottom - top - 14) * value / max(series.values)
        pen.rectangle((x0, y0, x1, bottom), jitter(rng, COLOURS[names[0 if one else i]]))
        pen.text(((x0 + x1) / 2, y0 - 1), str(value), ink, small, "mb")
        pen.text(((x0 + x1) / 2, bottom + 4), label[: max(3, int(step / 5))], ink, small, "ma")
    pen.line((left - 2, bottom, picture.width - 6, bottom), ink)


def _lying_bars(
    rng: random.Random, picture: Image, pen: ImageDraw, look: tuple[Colour, Colour, int], series: Series
) -> None:
    paper, ink, top = look
    small = font(10)
    left = 8 + max(small.getlength(label) for label in series.labels)
    step = (picture.height - top - 8) / len(series.values)
    names = contrasting(rng, paper, 7)
    for i, (label, value) in enumerate(zip(series.labels, series.values, strict=True)):
        y0 = top + i * step + step * 0.15
        x1 = left + (picture.width - left - 30) * value / max(series.values)
        pen.rectangle((left, y0, x1, y0 + step * 0.7), jitter(rng, COLOURS[names[i]]))
        pen.text((left - 3, y0 + step * 0.35), label, ink, small, "rm")
        pen.text((x1 + 3, y0 + step * 0.35), str(value), ink, small, "lm")
    pen.line((left, top, left, picture.height - 6), ink)


def _line(
    rng: random.Random, picture: Image, pen: ImageDraw, look: tuple[Colour, Colour, int], series: Series
) -> None:
    paper, ink, top = look
    left, bottom = 14, picture.height - 20
    step = (picture.width - left - 16) / (len(series.values) - 1)
    colour = COLOURS[contrasting(rng, paper, 1)[0]]
    points = []
    for i, value in enumerate(series.values):
        points.append((left + i * step, bottom - (bottom - top - 16) * value / max(series.values)))
    pen.line((left, top, left, bottom, picture.width - 6, bottom), ink)
    pen.line(points, colour, rng.randint(1, 3))
    for (x, y), label, value in zip(points, series.labels, series.values, strict=True):
        pen.ellipse((x - 3, y - 3, x + 3, y + 3), colour)
        pen.text((x, y - 5), str(value), ink, font(10), "mb")
        pen.text((x, bottom + 4), label[: max(3, int(step / 6))], ink, font(10), "ma")


def _pie(
    rng: random.Random, picture: Image, pen: ImageDraw, look: tuple[Colour, Colour, int], series: Series
) -> None:
    paper, ink, top = look
    names = contrasting(rng, paper, 7)
    radius = min(picture.width * 0.3, (picture.height - top - 8) / 2)
    x, y = radius + 8, top + radius
    start = rng.uniform(0, 360)
    row = min(18.0, (picture.height - top - 6) / len(series.values))
    for i, (label, value) in enumerate(zip(series.labels, series.values, strict=True)):
        end = start + 360 * value / sum(series.values)
        colour = jitter(rng, COLOURS[names[i]])
        pen.pieslice((x - radius, y - radius, x + radius, y + radius), start, end, colour, paper)
        middle = math.radians((start + end) / 2)
        spot = (x + 0.65 * radius * math.cos(middle), y + 0.65 * radius * math.sin(middle))
        pen.text(spot, str(value), ink_on(colour), font(10), "mm")
        at = top + 4 + i * row
        pen.rectangle((x + radius + 8, at, x + radius + 16, at + 8), colour)
        pen.text((x + radius + 20, at - 2), label, ink, font(10))
        start = end


FORMS = {"bar": _bars, "horizontal bar": _lying_bars, "line": _line, "pie": _pie}


def _questions(rng: random.Random, form: str, series: Series) -> list[tuple[str, str]]:
    a, b = rng.sample(range(len(series.values)), 2)
    by_value = sorted(zip(series.values, series.labels, strict=True))
    more = a if series.values[a] > series.values[b] else b
    label, value = series.labels[a], str(series.values[a])
    gap = abs(series.values[a] - series.values[b])
    pair = f"{series.labels[a]} and {series.labels[b]}"
    return [
        (
            rng.choice(
                (f"What is the value for {label}?", f"How much does {label} have?", f"Read off {label}.")
            ),
            value,
        ),
        (
            rng.choice((f"Which {series.family} has the highest value?", "What is the largest entry?")),
            by_value[-1][1],
        ),
        (
            rng.choice((f"Which {series.family} has the lowest value?", "What is the smallest entry?")),
            by_value[0][1],
        ),
        (rng.choice((f"What is the difference between {pair}?", f"How far apart are {pair}?")), str(gap)),
        (f"Which is larger, {series.labels[a]} or {series.labels[b]}?", series.labels[more]),
        (rng.choice(("What kind of chart is this?", "Name the type of the chart.")), f"{form} chart"),
        (
            rng.choice(("How many values does the chart show?", "How many entries are there?")),
            str(len(series.values)),
        ),
        ("What is the sum of all values?", str(sum(series.values))),
        (
            rng.choice(("Describe the chart.", "Summarise what the chart shows.")),
            f"{article(form).capitalize()} chart of {series.measure.lower()} per {series.family}. "
            f"{by_value[-1][1]} is highest with {by_value[-1][0]}, "
            f"{by_value[0][1]} lowest with {by_value[0][0]}.",
        ),
    ]


def _caption(rng: random.Random, form: str, series: Series) -> str:
    pairs = [f"{label} {value}" for label, value in zip(series.labels, series.values, strict=True)]
    named = listed(series.labels)
    return rng.choice(
        (
            f"{article(form)} chart titled {series.title}: {listed(pairs)}",
            f"{article(form)} chart of {series.measure.lower()} for {named}",
            f"chart ({form}) with the values {listed(pairs)}",
            f"{series.title}, shown as {article(form)} chart for {named}",
        )
    )
