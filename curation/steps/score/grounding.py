"""`grounding`: what each answer costs a vision-language model with its images and without (`--vlm`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from curation.models.resolved import Vlm
from curation.models.vision_language import Asked
from curation.readers.images import decode, to_rgb
from curation.steps.ingest.dialogues import AskedSamples, Dialogue
from schemas.columns import UID
from scorers.grounding import UNREADABLE, Answered, Grounding


@dataclass(frozen=True)
class Ground:
    """`grounding`: see `scorers.grounding`."""

    source: AskedSamples
    vlm: Vlm
    gamma: float
    dominance: bool

    name: ClassVar[str] = "grounding"
    version: ClassVar[int] = Grounding.version
    writes: ClassVar[pa.Schema] = pa.schema([UID, *Grounding.writes])

    @property
    def model(self) -> Vlm:
        """What it runs."""
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
