"""`activations`: what a vision-language model makes of each sample inside (`--vectors activation --vlm`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from curation.models.activations import Activation, Activations
from curation.models.prompts import Prompt
from curation.models.resolve import resolve_vlm
from curation.models.resolved import Vlm
from curation.readers.images import decode, to_rgb
from curation.steps.ingest.dialogues import AskedSamples, Dialogue
from curation.storage.rows import vector_array
from schemas.columns import UID, vector
from schemas.config import Config
from scorers.grounding import CUT_OFF, NO_ANSWER, NOT_FINITE, UNREADABLE

FIGURES = pa.schema(
    [
        pa.field("bridging", pa.float32()),
        pa.field("neuron", pa.int32()),
        pa.field("hidden_entropy", pa.float32()),
        pa.field("activation_reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class SampleActivations:
    """`activations`: see `curation.models.activations`."""

    source: AskedSamples
    vlm: Vlm
    dims: int
    seed: int

    name: ClassVar[str] = "activations"
    version: ClassVar[int] = 1

    @property
    def model(self) -> Vlm:
        """What it runs."""
        return self.vlm

    @property
    def writes(self) -> pa.Schema:
        return pa.schema([UID, vector("vector", self.dims), *FIGURES])

    def params(self) -> dict[str, Any]:
        return {
            "vlm": self.vlm.key,
            "dims": self.dims,
            "seed": self.seed,
            "sorted": self.source.batch,
            "max_pixels": self.source.max_pixels,
        }

    def prepare(self, piece: Dialogue) -> Prompt | None:
        if piece.turns is None:
            return None
        images = [to_rgb(decode(image, max_pixels=self.source.max_pixels)) for image in piece.images]
        return self.vlm.load().prompts.prompt(piece.turns, images)

    def finish(self, rows: pa.RecordBatch, prepared: list[Prompt | None]) -> pa.RecordBatch:
        model = activations_of(self.vlm, self.dims, self.seed)
        found = iter(model.of([each for each in prepared if each is not None]))
        each = [None if prompt is None else next(found) for prompt in prepared]
        kept = [one if one is not None and _finite(one) else None for one in each]
        reasons = [
            None if keep else UNREADABLE if prompt is None else NOT_FINITE if one else _why(prompt)
            for keep, one, prompt in zip(kept, each, prepared, strict=True)
        ]
        vectors = np.zeros((len(kept), self.dims), np.float32)
        for row, one in enumerate(kept):
            if one:
                vectors[row] = one.vector
        columns = [
            pa.array([one and one.bridging for one in kept], pa.float32()),
            pa.array([one and one.neuron for one in kept], pa.int32()),
            pa.array([one and one.entropy for one in kept], pa.float32()),
            pa.array(reasons, pa.string()),
        ]
        present = np.array([one is not None for one in kept], bool)
        return pa.record_batch([rows["uid"], vector_array(vectors, present), *columns], schema=self.writes)


def _finite(one: Activation) -> bool:
    return bool(np.isfinite(one.vector).all() and np.isfinite([one.bridging or 0.0, one.entropy]).all())


def _why(prompt: Prompt) -> str:
    return CUT_OFF if prompt.truncated else NO_ANSWER


@lru_cache(maxsize=2)
def activations_of(vlm: Vlm, dims: int, seed: int) -> Activations:
    """The model with its sketches, once a process."""
    return Activations(vlm.load(), dims=dims, seed=seed)


def activation_stage(config: Config) -> SampleActivations:
    """The stage that makes the table `activations`, which --vectors activation clusters by."""
    vlm = resolve_vlm(config.vlm, config.run.device)
    return SampleActivations(
        AskedSamples(config.images.max_pixels), vlm, config.gradient.dims, config.run.seed
    )
