"""What the builtin VLM is asked: simple pictures drawn for it, samples of KINDS, text alone."""

from __future__ import annotations

import random
import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curation.generate import KINDS, words
from curation.generate.canvas import COLOURS, contrasting, fit_font, font, ink_on, jitter, page
from curation.generate.figures import SHAPES, THINGS, plural
from curation.generate.shapes import COLUMNS, ROWS
from training.facts import text_question

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PIL.Image import Image as Picture


SKILLS = ("colour", "shape", "count", "position", "reading", "chart", "comparison", "other", "text")
RICH = tuple(kind for kind in KINDS if kind != "arithmetic")
CELLS = tuple((row, column) for row in range(3) for column in range(3))
SHORT = tuple(
    word for group in (words.NOTICES, words.NAMES, words.CITIES, words.GOODS, words.MONTHS)
    for word in group if len(word) < 7 and " " not in word
)  # fmt: skip


FACTS: dict[str, tuple[str, ...]] = {  # what can be known of a thing in a picture of SIMPLE
    "colour": tuple(COLOURS),
    "form": tuple(dict.fromkeys([*SHAPES, *THINGS])),
    "row": ROWS,
    "column": COLUMNS,
    "count": tuple(str(n) for n in range(1, 13)),  # of its kind in the picture
    "letter": tuple(string.ascii_letters + string.digits),
    "value": tuple(str(n) for n in range(1, 21)),  # of a bar
    "size": ("smaller", "larger"),
}


@dataclass(frozen=True)
class Question:
    """A question with its one right answer."""

    asked: str
    answer: str
    skill: str  # of SKILLS; "text" where no picture is needed


@dataclass(frozen=True)
class Seen:
    """A thing in a picture and what is known of it; the vision tower learns to tell it from its patches."""

    x: float  # of its centre, as a fraction of the picture's width
    y: float  # of its centre, as a fraction of the picture's height
    half_width: float  # fraction of the picture's width
    half_height: float  # fraction of the picture's height
    facts: Mapping[str, str]  # keys of FACTS, values among theirs


@dataclass(frozen=True)
class Item:
    """One picture (or none) and questions, each to be answered without the others."""

    image: Picture | None  # mode RGB
    questions: tuple[Question, ...]
    source: str  # a name of SIMPLE or KINDS, or a set of the mixture
    seen: tuple[Seen, ...] = ()  # all that the picture shows, or nothing where that is not known


@dataclass(frozen=True)
class _Mark:
    """One figure of a colour in a cell of the 3 x 3 grid."""

    colour: str
    shape: str
    row: int
    column: int

    @property
    def place(self) -> str:
        if self.row == self.column == 1:
            return "centre"
        return f"{ROWS[self.row]} {COLUMNS[self.column]}"


def _box(picture: Picture, x: float, y: float, r: float, facts: Mapping[str, str]) -> Seen:
    """Return what is seen in the square of half side r around (x, y), in px."""
    w, h = picture.size
    return Seen(x / w, y / h, r / w, r / h, facts)


def _marks(rng: random.Random, n: int) -> tuple[Picture, list[_Mark], tuple[Seen, ...]]:
    """Draw n shapes, no colour, form or cell twice."""
    picture, pen, paper = page(rng, least=100, most=200)
    colours, forms = contrasting(rng, paper, n), rng.sample(list(SHAPES), n)
    marks, seen = [], []
    for colour, form, (row, column) in zip(colours, forms, rng.sample(CELLS, n), strict=True):
        mark = _Mark(colour, form, row, column)
        w, h = picture.width / 3, picture.height / 3
        r = min(w, h) / 2 * rng.uniform(0.42, 1.0)
        x = (column + 0.5) * w + rng.uniform(-0.8, 0.8) * (w / 2 - r)
        y = (row + 0.5) * h + rng.uniform(-0.8, 0.8) * (h / 2 - r)
        SHAPES[form](pen, x, y, r, jitter(rng, COLOURS[colour]))
        marks.append(mark)
        facts = {"colour": colour, "form": form, "row": ROWS[row], "column": COLUMNS[column]}
        seen.append(_box(picture, x, y, r, facts))
    return picture, marks, tuple(seen)


def _one_shape(rng: random.Random) -> Item:
    picture, (mark,), shown = _marks(rng, 1)
    other = rng.choice([name for name in COLOURS if name != mark.colour])
    form = rng.choice([name for name in SHAPES if name != mark.shape])
    hue, sure = rng.choice(((mark.colour, "yes"), (other, "no")))
    figure, held = rng.choice(((mark.shape, "yes"), (form, "no")))
    ask_colour = rng.choice((f"What colour is the {mark.shape}?", "What colour is the shape?"))
    ask_shape = rng.choice((f"Which shape is {mark.colour}?", "What shape is this?", "Which shape is shown?"))
    ask_place = rng.choice(
        (f"Where is the {mark.shape}?", "Where is the shape?", f"Where is the {mark.colour} shape?")
    )
    return Item(picture, (
        Question(ask_colour, mark.colour, "colour"),
        Question(ask_shape, mark.shape, "shape"),
        Question(ask_place, mark.place, "position"),
        Question(f"Is the shape {hue}?", sure, "other"),
        Question(f"Is there a {figure}?", held, "other"),
    ), "one_shape", shown)  # fmt: skip


def _few_shapes(rng: random.Random) -> Item:
    picture, marks, shown = _marks(rng, rng.randint(2, 5))
    questions = [Question("How many shapes are there?", str(len(marks)), "count")]
    for mark in marks:
        what = rng.choice((f"Which shape is {mark.colour}?", f"What is the {mark.colour} shape?"))
        where = rng.choice((f"Where is the {mark.shape}?", f"Where is the {mark.colour} {mark.shape}?"))
        questions += [
            Question(f"What colour is the {mark.shape}?", mark.colour, "colour"),
            Question(what, mark.shape, "shape"),
            Question(where, mark.place, "position"),
        ]
    questions.append(
        Question(f"What is at the {marks[0].place}?", f"{marks[0].colour} {marks[0].shape}", "other")
    )
    a, b = marks[:2]
    if a.column != b.column:
        side = "left" if a.column < b.column else "right"
        asked = f"Is the {a.shape} to the left or to the right of the {b.shape}?"
        questions.append(Question(asked, side, "comparison"))
    if a.row != b.row:
        asked = f"Is the {a.shape} above the {b.shape}?"
        questions.append(Question(asked, "yes" if a.row < b.row else "no", "comparison"))
    return Item(picture, tuple(questions), "few_shapes", shown)


def _few_things(rng: random.Random) -> Item:
    """One kind of thing 1 to 6 times, or two kinds 1 to 4 times each."""
    kinds = rng.choice((1, 1, 2))
    return _things(rng, "few_things", [rng.randint(1, 6 if kinds == 1 else 4) for _ in range(kinds)], (4, 3))


def _many_things(rng: random.Random) -> Item:
    """As many things as the pictures of KINDS have: up to three kinds, twelve in all."""
    kinds = rng.choice((1, 1, 2, 2, 3))
    counts = [rng.randint(1, 12 // kinds) for _ in range(kinds)]
    return _things(rng, "many_things", counts, (5, 4) if rng.random() < 0.5 else (4, 4))


def _things(rng: random.Random, name: str, counts: list[int], grid: tuple[int, int]) -> Item:
    """Draw as many things of each kind, in cells of a grid of (along the longer side, along the other)."""
    picture, pen, paper = page(rng, least=120, most=260)
    kinds = rng.sample(list(THINGS), len(counts))
    colours = contrasting(rng, paper, len(kinds))
    across, down = grid if picture.width > picture.height else grid[::-1]
    cells = rng.sample([(i % across, i // across) for i in range(across * down)], sum(counts))
    w, h = picture.width / across, picture.height / down
    r = min(w, h) / 2 * rng.uniform(0.6, 0.95)
    questions, seen = [], []
    for kind, colour, count in zip(kinds, colours, counts, strict=True):
        for _ in range(count):
            column, row = cells.pop()
            x, y = (
                (column + 0.5) * w + rng.uniform(-1, 1) * (w / 2 - r),
                (row + 0.5) * h + rng.uniform(-1, 1) * (h / 2 - r),
            )
            THINGS[kind](pen, x, y, r, jitter(rng, COLOURS[colour], 8))
            facts = {"colour": colour, "form": kind, "count": str(count)}
            seen.append(_box(picture, x, y, r, facts))
        many = plural(kind, 2)
        ask = rng.choice(
            (f"How many {many} are there?", f"Count the {many}.", f"How many {colour} things are there?")
        )
        questions += [
            Question(ask, str(count), "count"),
            Question(f"What colour are the {many}?", colour, "colour"),
        ]
    questions.append(Question("How many things are there altogether?", str(sum(counts)), "count"))
    if len(kinds) > 1 and counts[0] != counts[1]:
        first, second = (plural(kind, 2) for kind in kinds[:2])
        answer = first if counts[0] > counts[1] else second
        questions.append(Question(f"Are there more {first} or {second}?", answer, "comparison"))
    return Item(picture, tuple(questions), name, tuple(seen))


def _word(rng: random.Random) -> Item:
    """A short word, number or jumble of letters, as large as the picture allows."""
    form = rng.random()
    if form < 0.5:
        text = rng.choice(SHORT)
    elif form < 0.75:
        text = str(rng.randint(0, 10 ** rng.randint(1, 4) - 1))
    else:
        text = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(1, 4)))
    picture, pen, paper = page(rng, least=100, most=160)
    name = contrasting(rng, paper, 1)[0]
    face = fit_font(text, picture.width * rng.uniform(0.75, 0.95), int(picture.height * 0.6))
    at = (picture.width / 2, picture.height * rng.uniform(0.4, 0.6))
    pen.text(at, text, jitter(rng, COLOURS[name]), face, "mm")
    left, seen = at[0] - face.getlength(text) / 2, []
    for i, letter in enumerate(text):
        x = left + face.getlength(text[:i]) + face.getlength(letter) / 2
        box = (x / picture.width, at[1] / picture.height, face.getlength(letter) / 2 / picture.width)
        seen.append(Seen(*box, face.size / 2 / picture.height, {"colour": name, "letter": letter}))
    read = rng.choice(("What does it say?", "What is written here?", "Read the text."))
    first = rng.choice(("What is the first character?", "Which character comes first?"))
    last = rng.choice(("What is the last character?", "Which character comes last?"))
    return Item(picture, (
        Question(read, text, "reading"),
        Question(first, text[0], "reading"),
        Question(last, text[-1], "reading"),
        Question("How many characters are there?", str(len(text)), "reading"),
        Question("What colour is the text?", name, "colour"),
    ), "word", tuple(seen))  # fmt: skip


def _bars(rng: random.Random) -> Item:
    """A bar chart of 2 to 4 bars with values printed on top and single letters below."""
    picture, pen, paper = page(rng, least=120, most=180)
    n = rng.randint(2, 4)
    labels, values = rng.sample("ABCDEFGH", n), rng.sample(range(1, 21), n)
    names, ink = contrasting(rng, paper, n), ink_on(paper)
    high = max(11, int(picture.height * 0.13))
    step, bottom = picture.width / n, picture.height - high - 3
    seen = []
    for i, (label, value, name) in enumerate(zip(labels, values, names, strict=True)):
        x0, y0 = i * step + step * 0.15, bottom - (bottom - high - 4) * value / max(values)
        pen.rectangle((x0, y0, x0 + step * 0.7, bottom), jitter(rng, COLOURS[name]))
        pen.text((x0 + step * 0.35, y0 - 1), str(value), ink, font(high), "mb")
        pen.text((x0 + step * 0.35, bottom + 1), label, ink, font(high), "ma")
        middle, half = (y0 - high + picture.height) / 2, (picture.height - y0 + high) / 2
        box = ((i + 0.5) / n, middle / picture.height, 0.4 / n, half / picture.height)
        seen.append(Seen(*box, {"colour": name, "letter": label, "value": str(value)}))
    i, j = rng.sample(range(n), 2)
    top, low = values.index(max(values)), values.index(min(values))
    more = i if values[i] > values[j] else j
    return Item(picture, (
        Question(f"What is the value of {labels[i]}?", str(values[i]), "chart"),
        Question(f"What is the value of {labels[j]}?", str(values[j]), "chart"),
        Question("Which bar is the highest?", labels[top], "chart"),
        Question("Which bar is the lowest?", labels[low], "chart"),
        Question("How many bars are there?", str(n), "count"),
        Question(f"Which is larger, {labels[i]} or {labels[j]}?", labels[more], "comparison"),
        Question("What colour is the highest bar?", names[top], "colour"),
        Question(f"What colour is the bar of {labels[i]}?", names[i], "colour"),
    ), "bars", tuple(seen))  # fmt: skip


def _pair(rng: random.Random) -> Item:
    """Two figures of one form, different in colour and size."""
    picture, pen, paper = page(rng, least=100, most=180)
    names, form = contrasting(rng, paper, 2), rng.choice(list(SHAPES))
    lying = rng.random() < 0.5
    large = rng.randrange(2)  # position in reading order
    w, h = (picture.width / 2, picture.height) if lying else (picture.width, picture.height / 2)
    seen = []
    for i, name in enumerate(names):
        r = min(w, h) / 2 * (rng.uniform(0.8, 0.95) if i == large else rng.uniform(0.35, 0.6))
        x, y = (w * (i + 0.5), h / 2) if lying else (w / 2, h * (i + 0.5))
        x, y = x + rng.uniform(-0.8, 0.8) * (w / 2 - r), y + rng.uniform(-0.8, 0.8) * (h / 2 - r)
        SHAPES[form](pen, x, y, r, jitter(rng, COLOURS[name]))
        facts = {"colour": name, "form": form, "size": "larger" if i == large else "smaller"}
        seen.append(_box(picture, x, y, r, facts))
    first, second = rng.sample(names, 2)
    sides = ("further left", "further right") if lying else ("higher up", "lower down")
    nearer = rng.randrange(2)
    many = plural(form, 2) if form != "cross" else "crosses"
    which = f"Which {form} is {{}}, the {first} or the {second} one?"
    return Item(picture, (
        Question(which.format("larger"), names[large], "comparison"),
        Question(f"What colour is the smaller {form}?", names[1 - large], "colour"),
        Question(f"What colour is the larger {form}?", names[large], "colour"),
        Question(which.format(sides[nearer]), names[nearer], "comparison"),
        Question("Which shape is shown twice?", form, "shape"),
        Question(f"How many {many} are there?", "2", "other"),
    ), "pair", tuple(seen))  # fmt: skip


SIMPLE: dict[str, Callable[[random.Random], Item]] = {
    "one_shape": _one_shape,
    "few_shapes": _few_shapes,
    "few_things": _few_things,
    "word": _word,
    "bars": _bars,
    "pair": _pair,
}

TRAINED: dict[str, Callable[[random.Random], Item]] = {**SIMPLE, "many_things": _many_things}

RULES: tuple[tuple[str, str, str], ...] = (  # of KINDS, pattern of the question, skill; the first that fits
    ("arithmetic", r"", "text"),
    ("charts|tables", r"^Which is larger", "comparison"),
    ("charts|tables", r"^(Describe|Summarise|Transcribe|Write)", "other"),
    ("charts|tables", r"", "chart"),
    ("rendered", r"colour", "colour"),
    ("rendered", r"", "reading"),
    ("shapes|counting|scenes", r"^(What|Which) colour ", "colour"),
    ("shapes", r"^Which shape is [a-z]+\?$|^What is the [a-z]+ shape\?$", "shape"),
    ("shapes", r"^(Where is|In which part)", "position"),
    ("shapes|counting|scenes", r"to the left or|above the|^Are there more|small or large", "comparison"),
    ("shapes|counting", r"^(How many|Count|Number of)", "count"),
    ("shapes|counting|scenes", r"", "other"),
)


def skill_of(kind: str, asked: str) -> str:
    """Return what a question on a sample of KINDS tests."""
    return next(
        skill for kinds, pattern, skill in RULES if re.fullmatch(kinds, kind) and re.search(pattern, asked)
    )


class Talkative(random.Random):
    """Takes the end of any range: samples of KINDS, which draw their number of turns so, have the most."""

    def choices(self, population: Any, *given: Any, **named: Any) -> list[Any]:
        if isinstance(population, range):
            return [population[-1]]
        return super().choices(population, *given, **named)


def rich(kind: str, rng: random.Random) -> Item:
    """Return a sample of KINDS as an item."""
    sample = KINDS[kind](rng)
    asked = tuple(Question(ask, answer, skill_of(kind, ask)) for ask, answer in sample.turns)
    return Item(sample.image, asked, kind)


def drawn(seed: str, simple: float) -> Item:
    """Return the item of a seed: of SIMPLE with the given chance, else of KINDS with a picture.

    Counting and shapes, for whose questions 96 px suffice, come five times as often as the other KINDS;
    several shapes or things come two or three times as often as the other simple pictures.
    """
    rng = Talkative(seed)
    if rng.random() < simple:
        return TRAINED[rng.choice((*TRAINED, "few_things", "few_shapes", "few_shapes", "many_things"))](rng)
    return rich(rng.choice((*RICH, *("shapes", "counting") * 4)), rng)


def text_item(rng: random.Random) -> Question:
    """Return a question that text alone answers; one in eight is an exercise of KINDS."""
    if rng.random() < 0.125:
        asked, answer = rng.choice(KINDS["arithmetic"](rng).turns)
        return Question(asked, answer, "text")
    asked, answer = text_question(rng)
    return Question(asked, answer, "text")
