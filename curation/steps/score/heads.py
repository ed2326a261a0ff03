"""`heads`: what linear heads, given as safetensors, make of the stored vectors of images and texts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.catalog import FIXED
from curation.readers.sources import resolved
from curation.steps.context import Context
from curation.steps.score.scored import Scored
from curation.storage.rows import ShardRows, vectors
from schemas.errors import ConfigError
from schemas.stages import Stage
from scorers.head import Head


@dataclass(frozen=True)
class LoadedHead:
    """A head with what it reads, and the hash of its file."""

    head: Head
    on: str  # "image" | "text"
    fingerprint: str


@dataclass(frozen=True)
class Ragged:
    """Vectors of samples: vector j of sample i is row offsets[i] + j."""

    vectors: NDArray[np.float32]  # (m, d)
    offsets: NDArray[np.int64]  # (n + 1,)


@dataclass(frozen=True)
class Heads:
    """All heads of the settings, as one scorer of stored vectors: of texts the mean, of images each one."""

    heads: tuple[LoadedHead, ...]

    def __call__(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """A column an output of each head; null where a sample has nothing that the head reads."""
        stored = {"image": _images(rows), "text": _each(rows["text"])}
        scores = [one.head.score(stored[one.on]) for one in self.heads]
        columns = [column for of in scores for column in of.columns]
        return pa.record_batch(columns, names=[name for of in scores for name in of.schema.names])


def head_stages(context: Context) -> list[Stage]:
    """The stage of the table `heads`; none without heads.

    Raises:
        ConfigError: a file cannot be read or does not fit the model, or two columns have one name.
    """
    heads = context.config.score.heads
    if not heads:
        return []
    loaded = tuple(
        load_head(resolved(context.base, head.path), head.columns or (name,), head.on, context.model().dim)
        for name, head in heads.items()
    )
    names = [column for one in loaded for column in one.head.columns]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled:
        raise ConfigError(f"two heads write the column {doubled}; give one of them another name")
    taken = next((name for name in names if name in FIXED | {"uid"}), None)
    if taken:
        raise ConfigError(f"samples have a column {taken} of another kind; give the head another name")
    settings = {
        "heads": [
            {"columns": list(one.head.columns), "on": one.on, "file": one.fingerprint} for one in loaded
        ]
    }
    columns = pa.schema([field for one in loaded for field in one.head.writes])
    vectors_of = ShardRows((("vectors", ("uid", "image", "text", "images")),), 1024)
    return [Scored("heads", Head.version, columns, vectors_of, Heads(loaded), settings)]


def load_head(path: Path, columns: tuple[str, ...], on: str, dim: int) -> LoadedHead:
    """The head in the safetensors file at `path`: `weight` (k, d) or (d,), and perhaps `bias` (k,).

    The names may have a prefix, such as `linear.weight`.

    Raises:
        ConfigError: it is no such file, its vectors are not `dim` wide, or it has not an output a column.
    """
    data, tensors = _read(path)
    weight = _tensor(path, tensors, "weight")
    bias = _tensor(path, tensors, "bias")
    if weight is None or weight.ndim not in (1, 2):
        found = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items()) or "nothing"
        raise ConfigError(f"{path} should hold `weight` of shape (k, {dim}) or ({dim},); it holds {found}")
    weight = np.atleast_2d(weight)
    if weight.shape[1] != dim:
        raise ConfigError(
            f"{path}: the head reads vectors of {weight.shape[1]} dimensions, and the model's have {dim}; "
            "take the head that was trained on this --model"
        )
    if len(columns) != len(weight):
        raise ConfigError(
            f"{path} has {len(weight)} outputs and {len(columns)} column{'s' * (len(columns) != 1)} "
            f"({', '.join(columns)}); name each with `columns` under [score.heads.{columns[0]}]"
        )
    bias = np.zeros(len(weight), np.float32) if bias is None else bias.reshape(-1)
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise ConfigError(f"{path} holds numbers that are not finite")
    if len(bias) != len(weight):
        raise ConfigError(f"{path}: `bias` has {len(bias)} values for {len(weight)} outputs")
    fingerprint = hashlib.blake2b(data, digest_size=16).hexdigest()
    return LoadedHead(Head(columns, weight, bias), on, fingerprint)


def _read(path: Path) -> tuple[bytes, dict[str, NDArray[np.float32]]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        data = path.read_bytes()
        return data, {name: np.asarray(tensor, np.float32) for name, tensor in load(data).items()}
    except OSError as error:
        raise ConfigError(f"the head {path} cannot be read: {error.strerror}") from None
    except (SafetensorError, TypeError, KeyError) as error:
        raise ConfigError(f"the head {path} is no safetensors file of numbers: {error}") from None


def _tensor(path: Path, tensors: dict[str, NDArray[np.float32]], name: str) -> NDArray[np.float32] | None:
    """The one tensor called `name`, or `something.name`; None where there is none."""
    found = [key for key in tensors if key == name or key.endswith(f".{name}")]
    if len(found) > 1:
        raise ConfigError(
            f"{path} holds {len(found)} tensors called {name} ({', '.join(found)}); a linear head has one"
        )
    return tensors[found[0]] if found else None


def _each(column: pa.FixedSizeListArray) -> Ragged:
    """One vector a row, none where it is null."""
    present = column.is_valid().to_numpy(zero_copy_only=False)
    return Ragged(vectors(column)[present], np.concatenate([[0], np.cumsum(present)]).astype(np.int64))


def _images(rows: pa.RecordBatch) -> Ragged:
    """Each image's vector: those of `images` where a sample has several, else that of `image`."""
    single, several = rows["image"], rows["images"]
    many = several.is_valid().to_numpy(zero_copy_only=False)
    one = single.is_valid().to_numpy(zero_copy_only=False) & ~many
    lengths = np.where(many, np.diff(several.offsets.to_numpy()), 0)
    counts = np.where(one, 1, lengths)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    out = np.zeros((int(offsets[-1]), single.type.list_size), np.float32)
    out[offsets[:-1][one]] = vectors(single)[one]
    out[np.repeat(many, counts)] = vectors(several.flatten())
    return Ragged(out, offsets)
