"""LLaVA records: `id`, `image` (absent, a path or a list of them), `conversations` of `from` and `value`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from curation.readers import json_records
from curation.readers.records import Images, Turns, canonical, image_list, role, turn_list, turn_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from schemas.protocols import Record, Span


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


@dataclass(frozen=True)
class Llava:
    """LLaVA records in a JSON array or in JSONL."""

    name: ClassVar[str] = "llava"
    version: ClassVar[int] = 1

    def files(self, path: Path) -> list[Path]:
        return json_records.files(path)

    def spans(self, file: Path, rows: int) -> Iterator[Span]:
        return json_records.spans(file, rows)

    def read(self, file: Path, span: Span) -> Iterator[Record]:
        return json_records.read(file, span, llava)
