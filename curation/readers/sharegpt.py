"""ShareGPT records: turns in `messages` or `conversations`, `images`, a `system` text."""

from __future__ import annotations

from typing import Any

from curation.readers.records import (
    BadRecord,
    Images,
    Shape,
    Turns,
    canonical,
    image_list,
    kind,
    listed_turns,
    role,
    turn_list,
    turn_text,
)
from schemas.errors import BAD_TURN


def sharegpt(record: dict[str, Any]) -> tuple[Turns, Images]:
    """Turns and images of a ShareGPT record: turns are role/content or from/value. Other keys are ignored.

    Raises:
        BadRecord: no turns, or a turn or an image field of another shape.
    """
    turns = tuple(
        (role(turn_text(turn, n, "role", "from")), canonical(turn_text(turn, n, "content", "value")))
        for n, turn in enumerate(turn_list(record, "messages", "conversations"), 1)
    )
    system = record.get("system")
    if system is not None and not isinstance(system, str):
        raise BadRecord(BAD_TURN, f"'system' should be a string and is {kind(system)}")
    if system:
        turns = (("system", canonical(system)), *turns)
    return turns, image_list(record)


def _fits(record: dict[str, Any]) -> bool:
    if listed_turns(record, "messages") is not None:
        return True
    turns = listed_turns(record, "conversations")
    return turns is not None and (record.get("system") is not None or any("role" in turn for turn in turns))


# Messages of strings are TRL's and ms-swift's too, which name images beside the text.
SHAREGPT = Shape(_fits, sharegpt, lambda record: record.get("messages") is not None)
