"""Records of a question, its answer and what was said before: ms-swift's `query`, Alpaca's `instruction`."""

from __future__ import annotations

from typing import Any

from curation.readers.records import (
    BadRecord,
    Images,
    Shape,
    Turns,
    always,
    canonical,
    image_list,
    kind,
    turn_text,
)
from schemas.errors import BAD_TURN, NO_TURNS


def query(record: dict[str, Any]) -> tuple[Turns, Images]:
    """Turns and images of ms-swift's `query`, `response`, `history` ([question, answer] each) and `system`.

    Raises:
        BadRecord: no answer, or a part of another type.
    """
    return _turns(record, _text(record, "query"), "response"), image_list(record)


def alpaca(record: dict[str, Any]) -> tuple[Turns, Images]:
    """Turns and images of Alpaca's `instruction`, `input` (a line below it), `output`, `history`, `system`.

    Raises:
        BadRecord: no answer, or a part of another type.
    """
    asked = "\n".join(filter(None, (_text(record, "instruction"), _text(record, "input"))))
    return _turns(record, asked, "output"), image_list(record)


def _turns(record: dict[str, Any], asked: str, answer: str) -> Turns:
    if not asked:
        raise BadRecord(NO_TURNS, "the record asks nothing")
    turns = [("system", _text(record, "system"))] if record.get("system") else []
    history = record.get("history") or []
    if not isinstance(history, list):
        raise BadRecord(BAD_TURN, f"'history' should be a list of pairs and is {kind(history)}")
    for number, pair in enumerate(history, 1):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise BadRecord(BAD_TURN, f"element {number} of 'history' should be a question and its answer")
        turns += [("user", pair[0]), ("assistant", pair[1])]
    turns += [("user", asked), ("assistant", turn_text(record, len(turns) + 2, answer))]
    return tuple((who, canonical(text)) for who, text in turns)


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise BadRecord(BAD_TURN, f"{key!r} should be a string and is {kind(value)}")
    return value or ""


QUERY = Shape(lambda record: {"query", "response"} <= set(record), query, always)
ALPACA = Shape(lambda record: {"instruction", "output"} <= set(record), alpaca, always)
