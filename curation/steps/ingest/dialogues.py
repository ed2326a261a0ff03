"""Samples as they are put to a model that sees images: turns, and the bytes of their pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from curation.readers.images import as_ingested, fetch
from curation.storage.rows import side_by_side
from schemas.stages import Aligned, Input, Task


@dataclass(frozen=True)
class Dialogue:
    """A sample as it is asked: its turns (role, text) and the bytes of its images; None if quarantined."""

    turns: list[tuple[str, str]] | None
    images: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class AskedSamples:
    """Source: samples with the bytes of their images, some dozens at a time."""

    max_pixels: int

    inputs: ClassVar[tuple[Input, ...]] = (Aligned("samples"), Aligned("checked"))
    batch: ClassVar[int] = 64  # samples that are sorted by length together

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        yield from side_by_side(
            task, {"samples": ["uid", "turns", "images"], "checked": ["error"]}, self.batch
        )

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[Dialogue]:
        wanted = [
            [] if error else refs
            for refs, error in zip(rows["images"].to_pylist(), rows["error"].to_pylist(), strict=True)
        ]
        contents = iter(fetch([ref for refs in wanted for ref in refs]))
        turns = zip(rows["turns"].to_pylist(), rows["error"].to_pylist(), wanted, strict=True)
        for said, error, refs in turns:
            if error:
                yield Dialogue(None)
            else:
                images = tuple(as_ingested(ref, next(contents)) for ref in refs)
                yield Dialogue([(turn["role"], turn["text"]) for turn in said], images)
