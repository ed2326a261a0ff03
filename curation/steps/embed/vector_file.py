"""Vectors that people bring, in npy with ids beside it or in Parquet: read by id, never by position."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.errors import ConfigError

ID = "id"
UID = "uid"
NAMES = ("vector", "embedding")
IDS = ".ids.txt"


@dataclass(frozen=True)
class VectorFile:
    """A file of vectors as it was found. Its place, size and time stand for its content."""

    path: str
    state: tuple[int, ...]  # size and time, of the ids beside it as well
    rows: int
    dim: int
    key: str  # what its ids are: the records' own (`id`), or uids in hex (`uid`)
    column: str = ""  # of a Parquet file

    def params(self) -> dict[str, Any]:
        """What stands in the keys of the stage that reads it."""
        return {"path": self.path, "state": list(self.state)}

    def at(self, ids: pa.Array) -> NDArray[np.int64]:
        """(n,) the row of each id; -1 where the file has none."""
        hashes, order, held = _index(self)
        wanted = _hashes(ids)
        place = np.searchsorted(hashes, wanted).clip(max=len(hashes) - 1)
        row = order[place]
        same = pc.fill_null(pc.equal(held.take(pa.array(row)), ids), False)
        return np.where(same.to_numpy(zero_copy_only=False), row, -1)

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n, dim) rows of the file, as they stand there."""
        return np.asarray(_matrix(self)[rows], np.float64)


def find(path: Path) -> VectorFile:
    """Look at a file's head.

    Raises:
        ConfigError: it is not there, or is no table of vectors with ids.
    """
    if not path.is_file():
        raise ConfigError(f"--vectors file:{path}: there is no such file")
    if path.suffix == ".npy":
        return _find_npy(path)
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid:
        raise ConfigError(f"--vectors file:{path} is neither .npy nor Parquet") from None
    return _find_parquet(path, file)


def _state(*paths: Path) -> tuple[int, ...]:
    return tuple(number for path in paths for number in (path.stat().st_size, path.stat().st_mtime_ns))


def _find_npy(path: Path) -> VectorFile:
    try:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    except ValueError as error:
        raise ConfigError(f"--vectors file:{path} cannot be read: {error}") from None
    if len(shape) != 2 or not shape[1]:
        raise ConfigError(f"--vectors file:{path} has shape {shape}; it must be (rows, dimensions)")
    beside = path.with_suffix(IDS)
    if not beside.is_file():
        raise ConfigError(
            f"--vectors file:{path}: write the records' ids, a line each, to {beside.name} beside it, or "
            f"bring Parquet with the columns {ID} and {NAMES[0]}; rows are found by id, not by position"
        )
    if not shape[0]:
        raise ConfigError(f"--vectors file:{path} holds no rows")
    return VectorFile(str(path), _state(path, beside), shape[0], shape[1], ID)


def _find_parquet(path: Path, file: pq.ParquetFile) -> VectorFile:
    schema = file.schema_arrow
    key = next((name for name in (ID, UID) if name in schema.names), None)
    column = next((name for name in NAMES if name in schema.names), None)
    if key is None or column is None:
        raise ConfigError(
            f"--vectors file:{path} has the columns {', '.join(schema.names)}; it needs {ID} (the records' "
            f"own) or {UID} (in hex), and {' or '.join(NAMES)}"
        )
    if not file.metadata.num_rows:
        raise ConfigError(f"--vectors file:{path} holds no rows")
    first = next(file.iter_batches(1, columns=[column]))[column].to_pylist()[0]
    if not isinstance(first, list) or not first:
        raise ConfigError(
            f"--vectors file:{path}: {column} is {schema.field(column).type}, no list of numbers"
        )
    return VectorFile(str(path), _state(path), file.metadata.num_rows, len(first), key, column)


@lru_cache(maxsize=1)
def _index(file: VectorFile) -> tuple[NDArray[np.uint64], NDArray[np.int64], pa.Array]:
    """Sorted hashes of the ids, the row of each, and the ids."""
    if file.column:
        ids = pq.read_table(file.path, columns=[file.key])[file.key].combine_chunks()
        ids = _spelled(ids)
    else:
        text = Path(file.path).with_suffix(IDS).read_text(encoding="utf-8")
        ids = pa.array(text.splitlines(), pa.string())
    if len(ids) != file.rows:
        raise ConfigError(f"--vectors file:{file.path} has {file.rows:,} rows and {len(ids):,} ids")
    hashes = _hashes(ids)
    order = np.argsort(hashes, kind="stable")
    twice = np.flatnonzero(np.diff(hashes[order]) == 0)
    if len(twice):
        raise ConfigError(f"--vectors file:{file.path} has the id {ids[order[twice[0]]].as_py()!r} twice")
    return hashes[order], order, ids


def _spelled(ids: pa.Array) -> pa.Array:
    """Ids as text: numbers in digits, bytes in hex."""
    if pa.types.is_binary(ids.type) or pa.types.is_fixed_size_binary(ids.type):
        return pa.array([None if value is None else value.hex() for value in ids.to_pylist()], pa.string())
    return ids.cast(pa.string())


def _hashes(ids: pa.Array) -> NDArray[np.uint64]:
    import polars as pl

    column = pl.from_arrow(ids)
    assert isinstance(column, pl.Series)
    return column.hash().to_numpy()


@lru_cache(maxsize=1)
def _matrix(file: VectorFile) -> NDArray[Any]:
    """The vectors, mapped into memory; those of Parquet are copied to a temporary file once a process."""
    if not file.column:
        mapped: NDArray[Any] = np.load(file.path, mmap_mode="r", allow_pickle=False)
        return mapped
    with tempfile.TemporaryFile(prefix="curate-vectors-") as scratch:
        out = np.memmap(scratch, np.float32, "w+", shape=(file.rows, file.dim))
    start = 0
    for batch in pq.ParquetFile(file.path).iter_batches(4096, columns=[file.column]):
        out[start : start + len(batch)] = _block(file, batch[file.column], start)
        start += len(batch)
    return out


def _block(file: VectorFile, column: pa.Array, start: int) -> NDArray[np.float32]:
    """(n, dim) of a list column; a null list is a row of NaN."""
    out = np.full((len(column), file.dim), np.nan, np.float32)
    present = column.is_valid().to_numpy(zero_copy_only=False)
    lengths = column.value_lengths().drop_null().to_numpy(zero_copy_only=False)
    if (lengths != file.dim).any():
        row = start + int(np.flatnonzero(present)[np.flatnonzero(lengths != file.dim)[0]])
        raise ConfigError(
            f"--vectors file:{file.path}: row {row} has not {file.dim} numbers as the first one has"
        )
    flat = column.drop_null().flatten().cast(pa.float32())
    out[present] = flat.to_numpy(zero_copy_only=False).reshape(-1, file.dim)
    return out
