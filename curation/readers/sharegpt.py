"""ShareGPT records: turns in `messages` or `conversations`, `images`, a `system` text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from curation.readers import json_records
from curation.readers.records import (
    BadRecord,
    Images,
    Turns,
    canonical,
    image_list,
    kind,
    role,
    turn_list,
    turn_text,
)
from schemas.errors import BAD_TURN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from schemas.protocols import Record, Span


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


@dataclass(frozen=True)
class ShareGpt:
    """ShareGPT records in a JSON array or in JSONL."""

    name: ClassVar[str] = "sharegpt"
    version: ClassVar[int] = 1

    def files(self, path: Path) -> list[Path]:
        return json_records.files(path)

    def spans(self, file: Path, rows: int) -> Iterator[Span]:
        return json_records.spans(file, rows)

    def read(self, file: Path, span: Span) -> Iterator[Record]:
        return json_records.read(file, span, sharegpt)
