"""`gradients`: a unit vector a sample, the sketch of what its answers would change in the model (`--vlm`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from curation.models.gradients import Gradient, Gradients
from curation.models.prompts import Prompt
from curation.models.resolve import resolve_checkpoints
from curation.models.resolved import Vlm
from curation.readers.images import decode, to_rgb
from curation.steps.ingest.dialogues import AskedSamples, Dialogue
from curation.storage.rows import vector_array
from schemas.columns import UID, vector
from schemas.config import Config
from scorers.grounding import CUT_OFF, NO_ANSWER, NOT_FINITE, UNREADABLE

GRAND = pa.field(
    "gradient_norm", pa.float32(), metadata={"unit": "nats", "range": "[0, inf)", "better": "neither"}
)
REASON = pa.field("gradient_reason", pa.string())
NO_GRADIENT = "no_gradient"  # nothing flows back to the chosen layers


@dataclass(frozen=True)
class Checkpoint:
    """One state of the model on its way, and the weight that its gradients have: the learning rate there."""

    vlm: Vlm
    weight: float


@dataclass(frozen=True)
class SampleGradients:
    """`gradients`: see `curation.models.gradients`.

    With several checkpoints their sketches stand side by side, each times the root of its share of the
    learning rates: a dot product is then LESS' weighted sum of cosines (Xia et al. 2024, Eq. 3).
    """

    source: AskedSamples
    checkpoints: tuple[Checkpoint, ...]
    layers: str
    dims: int  # of each checkpoint
    seed: int

    name: ClassVar[str] = "gradients"
    version: ClassVar[int] = 2

    @property
    def model(self) -> Vlm:
        """What it runs."""
        return self.checkpoints[0].vlm

    @property
    def writes(self) -> pa.Schema:
        return pa.schema([UID, vector("vector", self.dims * len(self.checkpoints)), GRAND, REASON])

    def params(self) -> dict[str, Any]:
        return {
            "checkpoints": [[each.vlm.key, each.weight] for each in self.checkpoints],
            "layers": self.layers,
            "dims": self.dims,
            "seed": self.seed,
            "sorted": self.source.batch,
            "max_pixels": self.source.max_pixels,
        }

    def prepare(self, piece: Dialogue) -> Prompt | None:
        if piece.turns is None:
            return None
        images = [to_rgb(decode(image, max_pixels=self.source.max_pixels)) for image in piece.images]
        return self.model.load().prompts.prompt(piece.turns, images)

    def finish(self, rows: pa.RecordBatch, prepared: list[Prompt | None]) -> pa.RecordBatch:
        prompts = [each for each in prepared if each is not None]
        found = [
            gradients_of(each.vlm, self.layers, self.dims, self.seed).of(prompts) for each in self.checkpoints
        ]
        joined = iter(zip(*found, strict=True))
        both = [None if prompt is None else next(joined) for prompt in prepared]
        present = np.array([bool(each) and None not in (each or ()) for each in both])
        vectors = np.zeros((len(both), self.dims * len(self.checkpoints)), np.float32)
        norms = np.zeros(len(both), np.float32)
        for row in np.flatnonzero(present).tolist():
            vectors[row], norms[row] = self._joined([each for each in both[row] or () if each])
        finite = np.isfinite(norms) & np.isfinite(vectors).all(axis=1)
        kept = present & finite
        reasons = [
            None if ok else UNREADABLE if prompt is None else _why(prompt) if sound else NOT_FINITE
            for ok, sound, prompt in zip(kept, finite, prepared, strict=True)
        ]
        arrays = [rows["uid"], vector_array(vectors, kept), pa.array(norms, mask=~kept)]
        return pa.record_batch([*arrays, pa.array(reasons, pa.string())], schema=self.writes)

    def _joined(self, each: Sequence[Gradient]) -> tuple[np.ndarray[Any, np.dtype[np.float32]], float]:
        """The vector and the (weighted) mean norm."""
        weights = np.array([checkpoint.weight for checkpoint in self.checkpoints])
        shares = weights / weights.sum()
        parts = [np.sqrt(share) * part.vector for share, part in zip(shares, each, strict=True)]
        norm = sum(share * part.norm for share, part in zip(shares, each, strict=True))
        return np.concatenate(parts).astype(np.float32), float(norm)


def _why(prompt: Prompt) -> str:
    if prompt.n_answer:
        return NO_GRADIENT
    return CUT_OFF if prompt.truncated else NO_ANSWER


@lru_cache(maxsize=4)
def gradients_of(vlm: Vlm, layers: str, dims: int, seed: int) -> Gradients:
    """The model with its maps, once a process."""
    return Gradients(vlm.load(), layers=layers, dims=dims, seed=seed)


def gradient_stage(config: Config) -> SampleGradients:
    """The stage that makes the table `gradients`, which --vectors gradient clusters by."""
    checkpoints = resolve_checkpoints(config.vlm, config.gradient.checkpoints, config.run.device)
    return SampleGradients(
        AskedSamples(config.images.max_pixels),
        tuple(Checkpoint(vlm, weight) for vlm, weight in checkpoints),
        config.gradient.layers,
        config.gradient.dims,
        config.run.seed,
    )
