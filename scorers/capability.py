"""Capabilities and styles as a model rates them (mmSSR's scorer and styler): prompts, and answers read.

What is rated is how much an instance helps to train a capability, not how good its answer is. The questions
are written anew: mmSSR's repository has its wording for one capability and no definitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa

from scorers.questions import Answer, Malformed, Question, Reply, beginning, digit, json_object, points, rows
from scorers.taxonomy import CAPABILITIES, CAPABILITY_COLUMNS, STYLE_COLUMNS, STYLES, WRITES, column

KEYS = {
    name.removeprefix("cap_"): name for name in CAPABILITY_COLUMNS
}  # as the JSON spells them: their column
SCALE = "from 0 (it does not help at all) to 5 (it could not help more)"
ONLY_JSON = (
    "\n\nAnswer with the JSON object alone: every key, whole numbers from 0 to 5, styles from the list, "
    "and nothing before or after it."
)
ONLY_A_DIGIT = "\n\nAnswer with one digit from 0 to 5 and nothing else."
ONLY_NAMES = "\n\nAnswer with names from the list, separated by commas, and nothing else."
JOINT = (
    f"Rate how helpful this instance is in training each of these capabilities of the model, {SCALE}:\n"
    + "\n".join(f"- {key}: {gloss}" for key, gloss in zip(KEYS, CAPABILITIES.values(), strict=True))
    + "\n\nThen name each of these styles that its answers have, one or several:\n"
    + "\n".join(f"- {name}: {gloss}" for name, gloss in STYLES.items())
    + '\n\nAnswer with a JSON object alone, such as {"scores": {"object_spatial_understanding": 0, …}, '
    '"styles": ["yes/no"]}, with every capability in "scores".'
)
STYLE = (
    "Which of these styles do the answers of this instance have, one or several?\n"
    + "\n".join(f"- {name}: {gloss}" for name, gloss in STYLES.items())
    + "\n\nAnswer with the names alone, separated by commas."
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "scores": {
            "type": "object",
            "properties": {key: {"type": "integer", "enum": [0, 1, 2, 3, 4, 5]} for key in KEYS},
            "required": list(KEYS),
            "additionalProperties": False,
        },
        "styles": {"type": "array", "items": {"type": "string", "enum": list(STYLES)}},
    },
    "required": ["scores", "styles"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Capability:
    """`capability`, from a model's answers. `mode` is how it is asked.

    joint: one question a sample, whose answer is a JSON object. each: a question a capability, answered with
    a digit and read as the expectation over the digits' probabilities where the server gives them, and one
    for the styles; the questions about a sample share all but their end, and servers keep what is shared.
    """

    mode: str = "joint"

    name: ClassVar[str] = "capability"
    version: ClassVar[int] = 1
    writes: ClassVar[pa.Schema] = WRITES

    def questions(self) -> tuple[Question, ...]:
        """See `scorers.questions.Asking`."""
        if self.mode == "joint":
            columns = (*CAPABILITY_COLUMNS, *STYLE_COLUMNS)
            return (Question("capability", JOINT, ONLY_JSON, columns, read_joint, 1024, 220, SCHEMA),)
        each = [
            Question(
                name,
                f"How helpful is this instance in training the {name} of the model ({gloss}), {SCALE}? "
                "Answer with one digit.",
                ONLY_A_DIGIT,
                (column("cap", name),),
                partial(read_digit, name),
                max_tokens=4,
                usual_tokens=2,
                logprobs=True,
            )
            for name, gloss in CAPABILITIES.items()
        ]
        return (*each, Question("styles", STYLE, ONLY_NAMES, STYLE_COLUMNS, read_names, 96, 8))

    def score(self, batch: Sequence[Sequence[Reply]]) -> pa.RecordBatch:
        """See `scorers.questions.Asking`."""
        return rows(self.writes, batch)


def read_joint(answer: Answer) -> dict[str, float]:
    """Points a capability and 0 or 1 a style, by column, of the JSON object in an answer.

    Raises:
        Malformed: there is no such object, a capability is missing, or a number is none from 0 to 5.
    """
    tree = json_object(answer)
    given = tree.get("scores", tree)
    if not isinstance(given, dict):
        raise Malformed(f"scores is no object: {beginning(str(given))}")
    found = {column("cap", str(name).strip().lower()): value for name, value in given.items()}
    missing = [key for key, name in KEYS.items() if name not in found]
    if missing:
        raise Malformed(f"{len(missing)} capabilities are missing, {missing[0]} first")
    scores = {name: points(found[name], key) for key, name in KEYS.items()}
    return {**scores, **styles(tree.get("styles"))}


def read_digit(name: str, answer: Answer) -> dict[str, float]:
    """Points of one capability, by column.

    Raises:
        Malformed: the answer is no number from 0 to 5.
    """
    return {column("cap", name): digit(answer, name)}


def read_names(answer: Answer) -> dict[str, float]:
    """0 or 1 a style, by column, of names separated by commas or lines.

    Raises:
        Malformed: none of them is a style.
    """
    return styles(answer.text.rpartition("</think>")[2])


def styles(given: object) -> dict[str, float]:
    """1 for each style that is named, else 0, by column. Names that are none of the nine say nothing.

    Raises:
        Malformed: `given` is neither names nor a list of them, or holds none of the nine.
    """
    if isinstance(given, str):
        given = given.replace("\n", ",").split(",")
    if not isinstance(given, Iterable):
        raise Malformed(f"styles is no list of names: {beginning(str(given))}")
    named = {column("style", str(name).strip(" .*\"'-").lower()) for name in given}
    known = named & set(STYLE_COLUMNS)
    if not known:
        raise Malformed(f"styles names none of the nine: {beginning(', '.join(sorted(named)))}")
    return {name: float(name in known) for name in STYLE_COLUMNS}
