"""The ways to lay out records in JSON: one file each, and a line in SHAPES. Told by a record's keys."""

from __future__ import annotations

from typing import Any

from curation.readers.data_juicer import DATA_JUICER
from curation.readers.exchange import ALPACA, QUERY
from curation.readers.llava import LLAVA
from curation.readers.messages import MESSAGES, PROMPT
from curation.readers.pairs import PAIRS
from curation.readers.records import Schema, Shape
from curation.readers.sharegpt import SHAREGPT
from curation.readers.texts import TEXTS

# The first that fits counts.
SHAPES: dict[str, Shape] = {
    "messages": MESSAGES,
    "sharegpt": SHAREGPT,
    "llava": LLAVA,
    "texts": TEXTS,
    "query": QUERY,
    "alpaca": ALPACA,
    "prompt": PROMPT,
    "data_juicer": DATA_JUICER,
    "pairs": PAIRS,
}
SCHEMAS: dict[str, Schema] = dict(SHAPES)


def schema_of(record: Any) -> str | None:
    """The name of the schema in SCHEMAS that fits `record`; None if none does.

    `messages` whose contents are all strings fit both `messages` and `sharegpt`, which read them alike.
    """
    if not isinstance(record, dict):
        return None
    return next((name for name, shape in SHAPES.items() if shape.fits(record)), None)
