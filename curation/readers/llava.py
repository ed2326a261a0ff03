"""LLaVA records: `id`, `image` (absent, a path or a list of them), `conversations` of `from` and `value`."""

from __future__ import annotations

from typing import Any

from curation.readers.records import (
    Images,
    Shape,
    Turns,
    canonical,
    image_list,
    listed_turns,
    role,
    turn_list,
    turn_text,
)


def llava(record: dict[str, Any]) -> tuple[Turns, Images]:
    """Turns and images of a LLaVA record. Other keys are ignored.

    Raises:
        BadRecord: no turns, or a turn or an image field of another shape.
    """
    turns = tuple(
        (role(turn_text(turn, n, "from")), canonical(turn_text(turn, n, "value")))
        for n, turn in enumerate(turn_list(record, "conversations"), 1)
    )
    return turns, image_list(record)


def _fits(record: dict[str, Any]) -> bool:
    return listed_turns(record, "conversations") is not None


LLAVA = Shape(_fits, llava)
