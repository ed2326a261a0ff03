"""Drawn samples whose skills are known by construction: those of curation/generate, and composed ones."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curation.generate import KINDS
from curation.generate.canvas import COLOURS, contrasting, jitter, page
from training import weak_labels as weak
from training.weak_labels import (
    BOX,
    COMPARISON,
    FORM,
    LONG,
    MULTI,
    PHRASE,
    SHORT,
    STEPS,
    VERDICT,
    YES_NO,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL.Image import Image as Picture

    from curation.generate.sample import Sample

PICTURED = ("charts", "tables", "rendered", "shapes", "counting", "scenes")
ALIKE = ("shapes", "counting", "scenes", "charts")  # kinds of which two pictures are compared
BRIEFLY = (
    "Answer with a word or two.", "One word is enough.", "Keep the answer very short.",
    "Only the answer, please.",
)  # fmt: skip
HOW = (
    "Explain your reasoning step by step.", "Show the working.", "Solve this step by step.",
    "Think about it first, then answer.", "Explain how you get there.",
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """A conversation about drawn pictures, with its labels."""

    kind: str
    images: tuple[Picture, ...]
    turns: tuple[tuple[str, str], ...]  # question, answer; the first question holds a mark for each image
    styles: frozenset[str]
    points: dict[str, float]


def drawn(number: int, seed: int) -> Drawn:
    """The sample of a number: makers in turn, all by (`seed`, `number`) alone."""
    maker = list(MAKERS)[number % len(MAKERS)]
    return MAKERS[maker](random.Random(f"skills/{seed}/{number}"))


def _made(
    kind: str,
    images: Sequence[Picture],
    turns: Sequence[tuple[str, str]],
    styles: set[str],
    marked: bool = False,
) -> Drawn:
    """Put the images' marks before the first question, unless it has them, and add the points of the kind."""
    given = weak.ruled(weak.KINDS[kind], turns)
    first, *others = turns
    if not marked:
        first = ("<image>\n" * len(images) + first[0], first[1])
    return Drawn(kind, tuple(images), (first, *others), frozenset(styles), given)


def _plain(kind: str) -> Callable[[random.Random], Drawn]:
    """A sample of curation/generate; one in three asks for a brief answer."""

    def make(rng: random.Random) -> Drawn:
        sample = KINDS[kind](rng)
        turns = list(sample.turns)
        if rng.random() < 0.3 and len(turns[0][1]) < 30:
            turns[0] = (f"{turns[0][0]}\n{rng.choice(BRIEFLY)}", turns[0][1])
        return _made(kind, _pictures(sample), turns, {_style(asked, answer) for asked, answer in turns})

    return make


def _style(asked: str, answer: str) -> str:
    """What a question of curation/generate is answered with."""
    if VERDICT.fullmatch(answer):
        return YES_NO
    if re.match(r"Write the table|Transcribe|List the|Read (all|every|it)", asked):
        return FORM
    if re.search(r"\bso\b.* = |\bso it is\b", answer):
        return STEPS
    if answer.endswith(".") and " " in answer:
        return LONG if len(answer) > 150 else SHORT
    return PHRASE


def _options(rng: random.Random) -> Drawn:
    """A question with options, answered by a letter or by the option, at times after some reasoning."""
    kind = rng.choice(PICTURED)
    first, *others = (KINDS[kind](rng) for _ in range(6))
    asked, answer = first.turns[0]
    wrong = list(dict.fromkeys(said for other in others for _, said in other.turns if said != answer))
    choices = [*wrong[: rng.randint(1, 3)], answer]
    rng.shuffle(choices)
    form = rng.choice(("{}. {}", "({}) {}", "{}) {}"))
    lines = "\n".join(form.format(letter, text) for letter, text in zip("ABCD", choices, strict=False))
    letter = "ABCD"[choices.index(answer)]
    ending, said, styles = rng.choice((
        ("Answer with the letter.", letter, {MULTI}),
        ("Which one is right?", f"{letter}. {answer}", {MULTI}),
        ("Give the letter of the right answer only.", letter, {MULTI}),
        ("", answer, {MULTI}),
        ("Pick one.", f"({letter})", {MULTI}),
        (rng.choice(HOW), f"First look at what is asked: {asked} Then compare it with what can be seen. "
         f"It is {answer}, so the others are wrong.\nThe answer is {letter}.", {MULTI, STEPS}),
        (rng.choice(HOW), f"Since the picture shows {first.caption}, it must be {answer}.\nAnswer: {answer}",
         {MULTI, STEPS}),
    ))  # fmt: skip
    return _made(kind, _pictures(first), [(f"{asked}\n{lines}\n{ending}".strip(), said)], styles)


def _pictures(sample: Sample) -> list[Picture]:
    return [] if sample.image is None else [sample.image]


def _steps(rng: random.Random) -> Drawn:
    """A sum, with the way to it written out."""
    kind = rng.choice(("charts", "tables", "arithmetic", "counting"))
    sample = KINDS[kind](rng)
    a, b, c = rng.randint(2, 90), rng.randint(2, 90), rng.randint(2, 20)
    thing = rng.choice(("the two together", "the first and the second", "these"))
    asked = rng.choice((
        f"How much do {a} and {b} make, less {c}?", f"Add {a} and {b}, then take away {c}.",
        f"What is left of {a} and {b} after {c} are gone?",
    ))  # fmt: skip
    how = rng.choice((*HOW, ""))
    said = rng.choice((
        f"First, add {thing}:\n{a} + {b} = {a + b}\n\nThen subtract {c}:\n{a + b} - {c} = {a + b - c}\n\n"
        f"The answer is {a + b - c}.",
        f"{a} + {b} = {a + b}. Since {c} go away, {a + b} - {c} = {a + b - c} are left. So the answer is "
        f"{a + b - c}.",
        f"Step 1: {a} + {b} = {a + b}.\nStep 2: {a + b} - {c} = {a + b - c}.\nAnswer: {a + b - c}",
        f"Start with {a} and count {b} more, which gives {a + b}. Now take {c} from it. That makes "
        f"{a + b - c}, therefore the result is {a + b - c}.",
    ))  # fmt: skip
    return _made(kind, _pictures(sample), [(f"{asked} {how}".strip(), said)], {STEPS})


def _forms(rng: random.Random) -> Drawn:
    """What the picture shows, in the form that the question asks for."""
    kind = rng.choice(PICTURED)
    sample = KINDS[kind](rng)
    words = sample.caption.rstrip(".").replace(" and ", ", ").split(", ")
    tags = re.findall(r"[a-z]{4,}", sample.caption.lower())[:6]
    ask, said = rng.choice((
        ("Give your answer as JSON with the key content.", json.dumps({"content": words})),
        ("Answer in JSON format.", json.dumps({f"item{i}": word for i, word in enumerate(words)})),
        ("List what there is, one thing a line.", "\n".join(f"- {word}" for word in words)),
        ("Name the contents as a comma-separated list in upper case.", ", ".join(words).upper()),
        ("Write a list of tags for this picture.", ", ".join(tags)),
        ("Write two lines of a poem on it.", f"Look here, behold {words[0]},\na sight of {words[-1]}."),
    ))  # fmt: skip
    return _made(kind, _pictures(sample), [(ask, said)], {FORM})


def _long(rng: random.Random) -> Drawn:
    """A description of several sentences, or a short one, as the question asks."""
    kind = rng.choice(("scenes", "scenes", "shapes", "charts", "tables"))
    sample = KINDS[kind](rng)
    if rng.random() < 0.5:
        asked = rng.choice(
            ("Describe the picture in one sentence.", "Sum up the picture.", "Write a caption.")
        )
        return _made(kind, _pictures(sample), [(asked, f"{sample.caption}."[:140])], {SHORT})
    details = [
        f"Asked {question[0].lower()}{question[1:].rstrip('?.')}, one would say: {answer}."
        for question, answer in sample.turns
    ]
    told = (
        f"The picture shows {sample.caption}. It is drawn in plain colours, with clear outlines and no "
        f"shadows. {' '.join(details)} Nothing else can be made out, and the ground is even all over."
    )
    asked = rng.choice((
        "Describe the picture in detail.", "Give a full and thorough description of everything you see.",
        "What does the picture show? Be as detailed as possible.", "Tell me everything about this image.",
    ))  # fmt: skip
    return _made(kind, _pictures(sample), [(asked, told)], {LONG})


def _comparisons(rng: random.Random) -> Drawn:
    """Two to four pictures of one kind, set against each other."""
    kind = rng.choice(ALIKE)
    n = rng.choice((2, 2, 2, 3, 4))
    samples = [KINDS[kind](rng) for _ in range(n)]
    order, number = ("first", "second", "third", "fourth"), rng.randrange(n)
    noun = rng.choice(("picture", "image"))
    told = [sample.caption for sample in samples]
    asked, said, styles = rng.choice((
        (f"How do these {noun}s differ?", f"The first {noun} has {told[0]}, the second {told[1]}.",
         {COMPARISON}),
        (f"Contrast the two {noun}s.", f"One shows {told[0]}; the other one {told[1]}.", {COMPARISON}),
        (f"What changes from one {noun} to the next?", " ".join(
            f"The {order[i]} {noun} shows {text}." for i, text in enumerate(told)), {COMPARISON}),
        (f"Say what each {noun} shows.", " ".join(
            f"{noun.capitalize()} {i + 1}: {text}." for i, text in enumerate(told)), {COMPARISON}),
        (f"Which {noun} shows this: {told[number]}?", f"the {order[number]}", {COMPARISON, PHRASE}),
        (f"In which {noun} do you see {told[number]}?", f"{noun.capitalize()} {number + 1}",
         {COMPARISON, PHRASE}),
        (f"Do the {noun}s show the same?", "no", {COMPARISON, YES_NO}),
        (f"Does each {noun} show {told[number].split(',')[0]}?", rng.choice((", ", ". ", "; ")).join(
            f"{rng.choice((order[i], f'{noun} {i + 1}'))}: {'yes' if i == number else 'no'}" for i in range(n)
        ).capitalize(), {COMPARISON, YES_NO}),
    ))  # fmt: skip
    images = [sample.image for sample in samples if sample.image is not None]
    if rng.random() < 0.4:
        asked = "".join(f"{noun.capitalize()} {i + 1}: <image>\n" for i in range(n)) + asked
        return _made("comparisons", images, [(asked, said)], styles, marked=True)
    return _made("comparisons", images, [(asked, said)], styles)


def _examples(rng: random.Random) -> Drawn:
    """One to three pictures with their names, and one that is to be named alike."""
    kind = rng.choice(("shapes", "counting", "scenes", "rendered"))
    samples = [KINDS[kind](rng) for _ in range(rng.randint(2, 4))]
    form, end = rng.choice((
        ("<image> = {}\n", "<image> ="), ("<image>: {}\n", "<image>:"),
        ("Input: <image>\nOutput: {}\n", "Input: <image>\nOutput:"),
        ("<image> => {}\n", "<image> =>"), ("<image> shows {}. ", "<image> shows"),
    ))  # fmt: skip
    named = [sample.caption.split(",")[0][:40] for sample in samples]
    asked = "".join(form.format(name) for name in named[:-1]) + end
    images = [sample.image for sample in samples if sample.image is not None]
    return _made("examples", images, [(asked, named[-1])], {FORM, PHRASE}, marked=True)


def _boxes(rng: random.Random) -> Drawn:
    """Rectangles of different colours, and where one of them is."""
    picture, pen, paper = page(rng)
    found = {}
    for name in contrasting(rng, paper, rng.randint(1, 3)):
        x, y = rng.uniform(0, 0.7), rng.uniform(0, 0.7)
        box = (x, y, x + rng.uniform(0.1, 0.3), y + rng.uniform(0.1, 0.3))
        w, h = picture.size
        pen.rectangle((box[0] * w, box[1] * h, box[2] * w, box[3] * h), jitter(rng, COLOURS[name]))
        found[name] = box
    name, box = rng.choice(list(found.items()))
    asked, form = rng.choice((
        (f"Where is the {name} rectangle? Answer with its box [left, top, right, bottom].",
         "[{:.2f}, {:.2f}, {:.2f}, {:.2f}]"),
        (f"Give the coordinates of the {name} field as (x0, y0, x1, y1).",
         "({:.3f}, {:.3f}, {:.3f}, {:.3f})"),
        (f"Find the {name} one and return its bounding box.", "[{:.1f},{:.1f},{:.1f},{:.1f}]"),
    ))  # fmt: skip
    return _made("boxes", [picture], [(asked, form.format(*box))], {BOX})


MAKERS: dict[str, Callable[[random.Random], Drawn]] = {
    **{kind: _plain(kind) for kind in KINDS},
    "options": _options,
    "steps": _steps,
    "forms": _forms,
    "descriptions": _long,
    "comparisons": _comparisons,
    "examples": _examples,
    "boxes": _boxes,
}
