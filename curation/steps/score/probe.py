"""`capability` by a light model: trained by `curate train-scorer`, or shipped with curate (`builtin`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.models.probe import FOLDER, PROBES, StoredProbe, read_probe
from curation.models.resolve import resolve_model
from curation.models.spec import BUILTIN, model_identity
from curation.progress import Silent
from curation.steps.context import Context
from curation.steps.embed.stages import embedding_with
from curation.steps.score.scored import Scored
from curation.storage.files import Location, is_url, locate
from curation.storage.rows import ShardRows, vectors
from schemas.errors import ConfigError, ModelUnavailable
from schemas.stages import Stage, Task
from scorers.probe import Probe

PREFIX = "builtin_"  # of the tables that the built-in CLIP fills where `--model` is another one
RETRAIN = "python -m training.capability --data ../shared/data"


@dataclass(frozen=True)
class Sampled:
    """A batch of samples as `scorers.probe.Probe` reads it."""

    turns: pa.ListArray
    n_images: NDArray[np.integer]
    image: NDArray[np.float32]
    text: NDArray[np.float32]
    usable: NDArray[np.bool_]


def sampled(rows: pa.RecordBatch) -> Sampled:
    """Rows with the columns turns, n_images, error, image and text."""
    return Sampled(
        rows["turns"],
        rows["n_images"].to_numpy(),
        vectors(rows["image"]),
        vectors(rows["text"]),
        rows["error"].is_null().to_numpy(zero_copy_only=False),
    )


def _sampled(task: Task, rows: pa.RecordBatch) -> Sampled:
    return sampled(rows)


@dataclass(frozen=True)
class Probing:
    """A trained scorer, whose weights are read at the first batch of a process."""

    stored: StoredProbe

    def __call__(self, piece: Sampled) -> pa.RecordBatch:
        return Probe(self.stored.weights).score(piece)


def probe_stage(probe: StoredProbe, table: str) -> Scored:
    """`capability` by `probe`, from the vectors in `table`."""
    settings = {"probe": probe.identity}
    read = (("samples", ("uid", "turns", "n_images")), ("checked", ("error",)), (table, ("image", "text")))
    source = ShardRows(read, 1024, made=_sampled)
    return Scored("capability", Probe.version, Probe.writes, source, Probing(probe), settings)


def probe_capability(context: Context) -> list[Stage]:
    """The backend `probe`: the model of `capability.probe`, on the vectors of `--model`.

    Raises:
        ConfigError: there is no such model, or it was trained on vectors of another encoder.
    """
    folder = _folder(context.config.capability.probe, context.root)
    probe = read_probe(folder)
    if probe is None:
        raise ConfigError(
            f"there is no trained scorer in {folder}; train one with `curate train-scorer`, "
            "or name its folder with --probe"
        )
    probe.require(dict(context.model().identity))
    return [probe_stage(probe, "vectors")]


def _folder(named: str | None, root: Location) -> Location:
    """Where the scorer lies: a name that is relative is so to curate.toml."""
    if named is None:
        return root / FOLDER
    return locate(named) if is_url(named) or Path(named).is_absolute() else root.parent / named


def builtin_capability(context: Context) -> list[Stage]:
    """The backend `builtin`: the shipped model, on vectors of a built-in CLIP, whatever `--model` is.

    Raises:
        ModelUnavailable: it was trained on another built-in CLIP than the one that is here.
    """
    spec = context.model().spec
    if spec in PROBES:
        return [probe_stage(builtin_probe(spec), "vectors")]
    encoder = resolve_model(BUILTIN, context.config.run.device, context.root, Silent())
    embedded = embedding_with(context.config, encoder, PREFIX)
    return [*embedded, probe_stage(builtin_probe(), f"{PREFIX}vectors")]


def builtin_probe(clip: str = BUILTIN) -> StoredProbe:
    """The model that is shipped for vectors of a built-in CLIP, by the name of that.

    Raises:
        ModelUnavailable: it is not there, or was trained on another built-in CLIP.
    """
    probe = read_probe(PROBES[clip])
    if probe is None:
        raise ModelUnavailable(
            f"the built-in capability probe is missing; make it by `{RETRAIN} --model {clip}`"
        )
    try:
        probe.require(model_identity(clip))
    except ConfigError as error:
        raise ModelUnavailable(
            "the built-in capability probe does not fit the built-in CLIP; train it anew by "
            f"`{RETRAIN} --model {clip}`, or take --capability none"
        ) from error
    return probe
