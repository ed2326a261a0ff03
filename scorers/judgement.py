"""The four judgements of mmE5's self-evaluation, as a model gives them: the prompt, and the answer read.

mmE5 has its generator revise what it finds wanting and publishes no scale; here a model rates, from 0 to 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from schemas.columns import figure
from scorers.questions import Answer, Malformed, Question, Reply, json_object, points, rows

JUDGEMENTS = {
    "relevance": "question and answer are about what the images show, and the answer answers the question",
    "plausibility": "what is said is true or could be: nothing is invented, impossible or contradicts itself",
    "clarity": "the wording is complete, correct and can be understood in one way only",
    "diversity": "it asks and says something of its own, not what a template says about any image",
}
COLUMNS = tuple(f"judge_{name}" for name in JUDGEMENTS)
TEXT = (
    "Judge the quality of this instance, each from 0 (not at all) to 5 (fully):\n"
    + "\n".join(f"- {name}: {gloss}" for name, gloss in JUDGEMENTS.items())
    + '\n\nAnswer with a JSON object alone: {"relevance": …, "plausibility": …, "clarity": …, "diversity": …}'
)
REMINDER = (
    "\n\nAnswer with the JSON object alone: the four keys, whole numbers from 0 to 5, and nothing else."
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {name: {"type": "integer", "enum": [0, 1, 2, 3, 4, 5]} for name in JUDGEMENTS},
    "required": list(JUDGEMENTS),
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Judgement:
    """`judgement`: relevance, plausibility, clarity and diversity of a sample, from one answer of a model."""

    name: ClassVar[str] = "judgement"
    version: ClassVar[int] = 1
    writes: ClassVar[pa.Schema] = pa.schema(
        [
            *(figure(name, "points", "[0, 5]", "higher") for name in COLUMNS),
            figure("judge_reason", kind=pa.string()),
        ]
    )

    def questions(self) -> tuple[Question, ...]:
        """See `scorers.questions.Asking`."""
        return (Question("judgement", TEXT, REMINDER, COLUMNS, read_judgement, 256, 40, SCHEMA),)

    def score(self, batch: Sequence[Sequence[Reply]]) -> pa.RecordBatch:
        """See `scorers.questions.Asking`."""
        return rows(self.writes, batch)


def read_judgement(answer: Answer) -> dict[str, float]:
    """Points a judgement, by column.

    Raises:
        Malformed: there is no JSON object, a key is missing, or a number is none from 0 to 5.
    """
    tree = {str(name).strip().lower(): value for name, value in json_object(answer).items()}
    missing = [name for name in JUDGEMENTS if name not in tree]
    if missing:
        raise Malformed(f"{', '.join(missing)} are missing")
    return {f"judge_{name}": points(tree[name], name) for name in JUDGEMENTS}
