"""Figures of a VLM on drawn questions it was not trained on: `python -m training.vlm_evaluation`."""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.generate.canvas import COLOURS
from curation.generate.figures import SHAPES, THINGS, plural
from curation.generate.props import INDOOR, OUTDOOR
from curation.generate.sample import NUMBERS
from training.questions import RICH, SIMPLE, Question, drawn, rich, text_item

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

GATED = ("colour", "shape", "count", "position")  # skills that the milestone asks for
PAIRS = {"colour and shape": GATED[:2], "count and position": GATED[2:]}  # as the milestone names them
REPORTED = ("reading", "chart", "comparison")
BATCH = 32  # questions of a forward pass
LONGEST = 24  # tokens of a generated answer


@dataclass(frozen=True)
class Asked:
    """A question with the picture it comes with; for skill "text" the picture has nothing to do with it."""

    image: Picture
    question: Question
    source: str  # of SIMPLE or KINDS; "text"

    @property
    def simple(self) -> bool:
        """Say whether the picture was drawn for the training of this model, not by a generator of KINDS."""
        return self.source in SIMPLE


def held_out_questions(skill: str, n: int, seed: int) -> list[Asked]:
    """Return n questions of a skill, one a picture, from pictures that no training draws.

    Half are on pictures of SIMPLE, half on samples of KINDS; of "text", on pictures of both. The seeds of
    training begin with a number, these do not; a picture of few parameters may still come out alike.
    """
    found: list[Asked] = []
    for i, simple in enumerate([True] * (n // 2) + [False] * (n - n // 2)):
        found.append(_text(f"{seed}/{i}", simple) if skill == "text" else _ask(skill, f"{seed}/{i}", simple))
    return found


def _text(seed: str, simple: bool) -> Asked:
    image = drawn(f"held out/text/{seed}", float(simple)).image
    if image is None:
        raise AssertionError("drawn() draws a picture")
    return Asked(image, text_item(random.Random(f"held out/question/{seed}")), "text")


def _ask(skill: str, seed: str, simple: bool) -> Asked:
    """Return the first question of the skill on the pictures of a seed, drawn until there is one."""
    attempt = 0
    while True:
        rng = random.Random(f"held out/{skill}/{simple}/{seed}/{attempt}")
        item = SIMPLE[rng.choice(list(SIMPLE))](rng) if simple else rich(rng.choice(RICH), rng)
        fitting = [question for question in item.questions if question.skill == skill]
        if fitting and item.image is not None:
            return Asked(item.image, rng.choice(fitting), item.source)
        attempt += 1


def pattern_of(asked: str) -> str:
    """Return the question with colours, shapes, things and numbers replaced: what may hint at the answer."""
    return _MENTIONED.sub("_", asked)


_ONE = (*COLOURS, *SHAPES, *THINGS, *INDOOR, *OUTDOOR)
_WORDS = {*_ONE, *(plural(word, 2) for word in _ONE), "crosses"}
_MENTIONED = re.compile(rf"\b({'|'.join(sorted(_WORDS, key=len, reverse=True))}|\d+)\b")


def chance(questions: Sequence[Question], others: Sequence[Question]) -> float:
    """Return the accuracy in [0, 1] of the answer that a question's pattern most often has among `others`.

    `others` are drawn like `questions`. A pattern that is not among them gets the most frequent answer.
    """
    seen: dict[str, Counter[str]] = {"": Counter()}
    for other in others:
        seen[""][normal(other.answer)] += 1
        seen.setdefault(pattern_of(other.asked), Counter())[normal(other.answer)] += 1
    usual = {pattern: answers.most_common(1)[0][0] for pattern, answers in seen.items()}
    return accuracy([usual.get(pattern_of(one.asked), usual[""]) for one in questions], questions)


def normal(answer: str) -> str:
    """Return an answer as it is compared: lower case, no final stop, numbers in digits."""
    plain = " ".join(answer.casefold().split()).rstrip(".")
    if plain in ("none", "zero"):
        return "0"
    return str(NUMBERS.index(plain)) if plain in NUMBERS[1:] else plain


def accuracy(answers: Sequence[str], questions: Sequence[Question]) -> float:
    """Return the fraction in [0, 1] of answers that are the right one."""
    pairs = zip(answers, questions, strict=True)
    return float(np.mean([normal(answer) == normal(question.answer) for answer, question in pairs]))


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Return the chance that a positive is above a negative, ties counting half."""
    ordered = np.sort(np.asarray(negative, dtype=np.float64))
    values = np.asarray(positive, dtype=np.float64)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return float(below.mean() / (2 * len(ordered)))


def _inputs(processor: Any, asked: Sequence[Asked], *, pictured: bool, answered: bool) -> dict[str, Any]:
    texts = []
    for one in asked:
        parts = [{"type": "image"}] if pictured else []
        said = [{"role": "user", "content": [*parts, {"type": "text", "text": one.question.asked}]}]
        if answered:
            said.append({"role": "assistant", "content": [{"type": "text", "text": one.question.answer}]})
        texts.append(processor.apply_chat_template(said, add_generation_prompt=not answered))
    shown = {"images": [one.image for one in asked]} if pictured else {}
    return dict(processor(text=texts, **shown, padding=True, return_tensors="pt", add_special_tokens=False))


def answers_of(model: Any, processor: Any, asked: Sequence[Asked], *, pictured: bool) -> list[str]:
    """Return the model's greedy answers, with the picture or with its tokens left out."""
    import torch

    found: list[str] = []
    for some in _batches(asked):
        inputs = _inputs(processor, some, pictured=pictured, answered=False)
        with torch.inference_mode():
            out = model.generate(**inputs, max_new_tokens=LONGEST, do_sample=False)
        said = out[:, inputs["input_ids"].shape[1] :]
        found += [text.strip() for text in processor.batch_decode(said, skip_special_tokens=True)]
    return found


def losses_of(model: Any, processor: Any, asked: Sequence[Asked], *, pictured: bool) -> NDArray[np.float64]:
    """Return the mean NLL (nats) of each right answer's tokens and the end mark, with or without picture."""
    import torch

    mark = processor.tokenizer.convert_tokens_to_ids("<assistant>")
    found: list[float] = []
    for some in _batches(asked):
        inputs = _inputs(processor, some, pictured=pictured, answered=True)
        with torch.inference_mode():
            chances = model(**inputs).logits[:, :-1].float().log_softmax(-1)
        ids = inputs["input_ids"]
        answer = ((ids == mark).cumsum(1)[:, :-1] > 0) & (inputs["attention_mask"][:, 1:] > 0)
        losses = -chances.gather(2, ids[:, 1:, None])[..., 0]
        found += ((losses * answer).sum(1) / answer.sum(1)).tolist()
    return np.asarray(found)


def _batches(asked: Sequence[Asked]) -> Iterator[Sequence[Asked]]:
    for start in range(0, len(asked), BATCH):
        yield asked[start : start + BATCH]


def measure(model: Any, processor: Any, *, n: int = 200, seed: int = 0) -> dict[str, dict[str, float]]:
    """Return the figures by skill and, under "grounding", how well perplexities tell the two kinds apart.

    A skill has n questions: accuracy with the picture (over all, SIMPLE and KINDS), without, and `chance`,
    what the best guess from the question alone gets; PAIRS have the means of two skills. Grounding is the
    perplexity of the right answer without the picture ÷ with it (higher: the picture helps): medians, and
    AUC of picture questions against text.
    """
    figures: dict[str, dict[str, float]] = {}
    grounding: dict[str, NDArray[np.float64]] = {}
    for skill in (*GATED, *REPORTED, "text"):
        asked = held_out_questions(skill, n, seed)
        questions = [one.question for one in asked]
        seen = answers_of(model, processor, asked, pictured=True)
        blind = answers_of(model, processor, asked, pictured=False)
        figures[skill] = {"n": n, "with": accuracy(seen, questions), "without": accuracy(blind, questions)}
        if skill != "text":
            others = [one.question for one in held_out_questions(skill, 4 * n, seed + 1)]
            figures[skill] |= {"chance": chance(questions, others), **_by_kind(asked, seen)}
        gain = losses_of(model, processor, asked, pictured=False) - losses_of(
            model, processor, asked, pictured=True
        )
        grounding[skill] = np.exp(gain)
    for name, pair in PAIRS.items():
        figures[name] = {
            key: (figures[pair[0]][key] + figures[pair[1]][key]) / 2 for key in ("with", "without", "chance")
        }
    needing = np.concatenate([grounding[skill] for skill in GATED])
    everything = np.concatenate([grounding[skill] for skill in (*GATED, *REPORTED)])
    figures["grounding"] = {
        "auc_gated": auc(needing.tolist(), grounding["text"].tolist()),
        "auc_all": auc(everything.tolist(), grounding["text"].tolist()),
        **{f"median_{skill}": float(np.median(values)) for skill, values in grounding.items()},
    }
    return {name: {key: round(value, 4) for key, value in values.items()} for name, values in figures.items()}


def _by_kind(asked: Sequence[Asked], answers: Sequence[str]) -> dict[str, float]:
    parts = {}
    for name, simple in (("simple", True), ("kinds", False)):
        rows = [i for i, one in enumerate(asked) if one.simple is simple]
        if rows:
            parts[name] = accuracy([answers[i] for i in rows], [asked[i].question for i in rows])
    return parts


def main() -> None:
    """Read the command line, measure, and write one JSON object to stdout."""
    from curation.models.vlm import load_vlm

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    model, processor = load_vlm(given.model, device="cpu", dtype="float32")
    sys.stdout.write(json.dumps(measure(model, processor, n=given.n, seed=given.seed), indent=1) + "\n")


if __name__ == "__main__":
    main()
