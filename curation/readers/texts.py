"""Records of The Cauldron and FineVision: `images`, and `texts` of `user` and `assistant`."""

from __future__ import annotations

from typing import Any

from curation.readers.records import (
    Images,
    Shape,
    Turns,
    always,
    canonical,
    image_list,
    listed_turns,
    turn_list,
    turn_text,
)


def texts(record: dict[str, Any]) -> tuple[Turns, Images]:
    """Turns and images; a `system` that the first text has stands before all. Other keys are ignored.

    Raises:
        BadRecord: no texts, or one without question or answer.
    """
    turns: list[tuple[str, str]] = []
    for number, text in enumerate(turn_list(record, "texts"), 1):
        if number == 1 and text.get("system"):
            turns.append(("system", turn_text(text, number, "system")))
        turns += [
            ("user", turn_text(text, number, "user")),
            ("assistant", turn_text(text, number, "assistant")),
        ]
    return tuple((who, canonical(text)) for who, text in turns), image_list(record)


def _fits(record: dict[str, Any]) -> bool:
    return any({"user", "assistant"} <= set(text) for text in listed_turns(record, "texts") or [])


TEXTS = Shape(_fits, texts, always)
