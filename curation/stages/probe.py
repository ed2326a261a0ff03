"""`capability` by a light model: trained by `curate train-scorer`, or shipped with curate (`builtin`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from curation.files import is_url, locate
from curation.gather import vectors
from curation.models.spec import model_identity
from curation.probe import BUILTIN_FOLDER, FOLDER, StoredProbe, read_probe
from curation.stages.inputs import Aligned, Input
from curation.store import read_shard
from schemas.columns import UID
from schemas.errors import ConfigError, ModelUnavailable
from scorers.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from curation.files import Location
    from curation.keys import Stage
    from curation.models.resolved import Model
    from schemas.config import Config
    from schemas.protocols import Task

BUILTIN = "builtin"
PREFIX = "builtin_"  # of the tables that the built-in CLIP fills where `--model` is another one
RETRAIN = "python -m curation.training.capability --data ../shared/data"


@dataclass(frozen=True)
class Sampled:
    """A batch of samples as `scorers.probe.Probe` reads it."""

    turns: pa.ListArray
    n_images: NDArray[np.integer]
    image: NDArray[np.float32]
    text: NDArray[np.float32]
    usable: NDArray[np.bool_]


@dataclass(frozen=True)
class SamplesWithVectors:
    """Source: samples with their vectors from `table`."""

    table: str
    batch: ClassVar[int] = 1024

    @property
    def inputs(self) -> tuple[Input, ...]:
        """See `schemas.protocols.Source`."""
        return (Aligned("samples"), Aligned("checked"), Aligned(self.table))

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        samples = read_shard(task.inputs["samples"][task.number], ["uid", "turns", "n_images"])
        errors = read_shard(task.inputs["checked"][task.number], ["error"])
        known = read_shard(task.inputs[self.table][task.number], ["image", "text"])
        table = samples.append_column("error", errors["error"])
        for name in ("image", "text"):
            table = table.append_column(known.schema.field(name), known[name])
        yield from table.combine_chunks().to_batches(max_chunksize=self.batch)

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[Sampled]:
        yield sampled(rows)


def sampled(rows: pa.RecordBatch) -> Sampled:
    """Rows with the columns turns, n_images, error, image and text."""
    return Sampled(
        rows["turns"],
        rows["n_images"].to_numpy(),
        vectors(rows["image"]),
        vectors(rows["text"]),
        rows["error"].is_null().to_numpy(zero_copy_only=False),
    )


@dataclass(frozen=True)
class ScoreByProbe:
    """`capability`: see `scorers.probe`."""

    source: SamplesWithVectors
    probe: StoredProbe

    name: ClassVar[str] = "capability"
    version: ClassVar[int] = Probe.version
    shape: ClassVar[str] = "map"
    writes: ClassVar[pa.Schema] = pa.schema([UID, *Probe.writes])

    def params(self) -> dict[str, Any]:
        return {"probe": self.probe.identity}

    def prepare(self, piece: Sampled) -> pa.RecordBatch:
        return Probe(self.probe.weights).score(piece)

    def finish(self, rows: pa.RecordBatch, prepared: list[pa.RecordBatch]) -> pa.RecordBatch:
        return pa.record_batch([rows["uid"], *prepared[0].columns], schema=self.writes)


def probe_capability(config: Config, model: Callable[[], Model], root: Location) -> list[Stage]:
    """The backend `probe`: the model of `capability.probe`, on the vectors of `--model`.

    Raises:
        ConfigError: there is no such model, or it was trained on vectors of another encoder.
    """
    folder = _folder(config.capability.probe, root)
    probe = read_probe(folder)
    if probe is None:
        raise ConfigError(
            f"there is no trained scorer in {folder}; train one with `curate train-scorer`, "
            "or name its folder with --probe"
        )
    probe.require(dict(model().identity))
    return [ScoreByProbe(SamplesWithVectors("vectors"), probe)]


def _folder(named: str | None, root: Location) -> Location:
    """Where the scorer lies: a name that is relative is so to curate.toml."""
    if named is None:
        return root / FOLDER
    return locate(named) if is_url(named) or Path(named).is_absolute() else root.parent / named


def builtin_capability(config: Config, model: Callable[[], Model], root: Location) -> list[Stage]:
    """The backend `builtin`: the shipped model, on vectors of the built-in CLIP, whatever `--model` is.

    Raises:
        ModelUnavailable: it was trained on another built-in CLIP than the one that is here.
    """
    probe = builtin_probe()
    if model().spec == BUILTIN:
        return [ScoreByProbe(SamplesWithVectors("vectors"), probe)]
    from curation.progress import Silent
    from curation.resolve import resolve_model
    from curation.stages.embedding import embedding_stages

    encoder = resolve_model(BUILTIN, config.run.device, root, Silent())
    embedded = embedding_stages(config, encoder, PREFIX)
    return [*embedded, ScoreByProbe(SamplesWithVectors(f"{PREFIX}vectors"), probe)]


def builtin_probe() -> StoredProbe:
    """The model that is shipped with the package.

    Raises:
        ModelUnavailable: it is not there, or was trained on another built-in CLIP.
    """
    probe = read_probe(BUILTIN_FOLDER)
    if probe is None:
        raise ModelUnavailable(f"the built-in capability probe is missing; make it by `{RETRAIN}`")
    try:
        probe.require(model_identity(BUILTIN))
    except ConfigError as error:
        raise ModelUnavailable(
            f"the built-in capability probe does not fit the built-in CLIP; train it anew by `{RETRAIN}`, "
            "or take --capability none"
        ) from error
    return probe
