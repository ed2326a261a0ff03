"""`grounding`: what each answer costs a vision-language model with its images and without (`--vlm`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from curation.images import decode, fetch, to_rgb
from curation.stages.images import as_ingested
from curation.stages.inputs import Aligned, Input
from curation.store import read_shard
from schemas.columns import UID
from scorers.grounding import UNREADABLE, Answered, Grounding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curation.models.resolved import Vlm
    from curation.models.vision_language import Asked
    from schemas.protocols import Task


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
        samples = read_shard(task.inputs["samples"][task.number], ["uid", "turns", "images"])
        errors = read_shard(task.inputs["checked"][task.number], ["error"])
        joined = samples.append_column("error", errors["error"])
        yield from joined.combine_chunks().to_batches(max_chunksize=self.batch)

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


@dataclass(frozen=True)
class Ground:
    """`grounding`: see `scorers.grounding`."""

    source: AskedSamples
    vlm: Vlm
    gamma: float
    dominance: bool

    name: ClassVar[str] = "grounding"
    version: ClassVar[int] = Grounding.version
    shape: ClassVar[str] = "map"
    writes: ClassVar[pa.Schema] = pa.schema([UID, *Grounding.writes])

    @property
    def model(self) -> Vlm:
        """What the engine looks at to give the task a GPU."""
        return self.vlm

    def params(self) -> dict[str, Any]:
        return {
            "vlm": self.vlm.key,
            "gamma": self.gamma,
            "dominance": self.dominance,
            "sorted": self.source.batch,
            "max_pixels": self.source.max_pixels,
        }

    def prepare(self, piece: Dialogue) -> Asked | None:
        if piece.turns is None:
            return None
        images = [to_rgb(decode(image, max_pixels=self.source.max_pixels)) for image in piece.images]
        return self.vlm.load().ask(piece.turns, images)

    def finish(self, rows: pa.RecordBatch, prepared: list[Asked | None]) -> pa.RecordBatch:
        found = iter(self.vlm.load().answered([each for each in prepared if each], dominance=self.dominance))
        answered = [next(found) if each else Answered(reason=UNREADABLE) for each in prepared]
        scores = Grounding(self.gamma).score(answered)
        return pa.record_batch([rows["uid"], *scores.columns], schema=self.writes)
