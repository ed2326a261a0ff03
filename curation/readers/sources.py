"""Where records come from: the files of each dataset, cut into spans. An unchanged file is indexed once."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curation.readers import detect, reader
from curation.readers.listing import legible
from curation.storage.files import Location, Remote, is_url, put
from schemas.config import Config
from schemas.errors import ConfigError, ReadError
from schemas.protocols import Progress, Reader, Span
from schemas.settings import NAME
from schemas.tables import key_of


@dataclass(frozen=True)
class FoundSpan:
    """A span, and a hash of what its shard follows from: the file's place, size and time, and the roots."""

    value: SpanOfFile
    fingerprint: str


def resolved(base: Location, path: str) -> Path:
    """A path of curate.toml, which lies in `base`, as an absolute one of this machine.

    Raises:
        ConfigError: it is a URL, or relative to one.
    """
    if is_url(path):
        raise ConfigError(f"{path} is a URL; datasets and images are read from folders of this machine")
    given = Path(path).expanduser()
    if isinstance(base, Remote):
        if not given.is_absolute():
            raise ConfigError(f"{path} is relative; in a curate.toml at a URL ({base}) paths are absolute")
        return given.resolve()
    return (base / given).resolve()


def find_spans(config: Config, root: Location, base: Location, progress: Progress) -> list[FoundSpan]:
    """The spans of every dataset, in the order of curate.toml. `base` is the folder of curate.toml.

    Raises:
        ConfigError: a path is a URL, or relative where curate.toml lies at one.
        ReadError: a dataset does not exist, or holds no file of a known format.
    """
    cache_path = root / "sources.json"
    cache = _load(cache_path)
    fresh: dict[str, Any] = {}
    found: list[FoundSpan] = []
    for name, dataset in config.datasets.items():
        path = resolved(base, dataset.path)
        if not path.exists():
            raise ReadError(f"dataset {name}: {path} does not exist; correct its path in curate.toml")
        reader = _reader(dataset.format, path)
        folder = path if path.is_dir() else path.parent
        roots = tuple(str(resolved(base, images)) for images in dataset.images)
        files = reader.files(path)
        if not files:
            raise ReadError(f"dataset {name}: there is no {reader.name} file at {path}")
        for file in files:
            if legible(str(file)) != str(file):
                raise ReadError(f"dataset {name}: the path {legible(str(file))} is not UTF-8; rename it")
            entry = _index(reader, file, config.run.shard_rows, cache, progress)
            fresh[str(file)] = entry
            found += _spans(name, folder, file, entry, roots)
    if fresh != cache:
        # What cannot be kept, in a workspace that may only be read, is found again.
        with contextlib.suppress(OSError):
            put(cache_path, json.dumps(fresh).encode())
    return found


def _reader(name: str, path: Path) -> Reader:
    return detect(path) if name == "auto" else reader(name)


def _index(
    reader: Reader, file: Path, rows: int, cache: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    stat = file.stat()
    state = {
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "reader": reader.name,
        "version": reader.version,
        "rows": rows,
    }
    held = cache.get(str(file))
    if held is not None and held["state"] == state:
        return dict(held)
    with progress.bar(f"index {file.name}", stat.st_size, "bytes") as bar:
        spans = []
        for span in reader.spans(file, rows):
            spans.append(asdict(span))
            bar.advance(span.length if reader.name != "parquet" else 0)
    return {"state": state, "spans": spans}


def _spans(
    dataset: str, folder: Path, file: Path, entry: dict[str, Any], roots: tuple[str, ...]
) -> Iterator[FoundSpan]:
    name = file.relative_to(folder).as_posix()
    for fields in entry["spans"]:
        value = SpanOfFile(dataset, entry["state"]["reader"], str(folder), name, Span(**fields), roots)
        # `rows` only decides where spans end, and the span itself says that.
        state = {key: value for key, value in entry["state"].items() if key != "rows"}
        fingerprint = {"dataset": dataset, "folder": str(folder), "file": name, "images": roots, **state}
        yield FoundSpan(value, key_of([fingerprint, fields]))


def _load(path: Location) -> dict[str, Any]:
    try:
        tree: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return tree


@dataclass(frozen=True)
class SpanOfFile:
    """The value of an ingest task: which records of which file."""

    dataset: str
    reader: str
    root: str  # absolute folder that `file` is relative to
    file: str
    span: Span
    images: tuple[str, ...]  # absolute folders that image paths are relative to

    @property
    def path(self) -> Path:
        return Path(self.root) / self.file


def dataset_name(path: Path, taken: set[str]) -> str:
    """A name for the dataset at `path`: its file name, made unique."""
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", path.name.split(".")[0]).strip("_.-") or "data"
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}_{number}", number + 1
    return name


def parse_dataset(argument: str, taken: set[str]) -> tuple[str, str]:
    """`[NAME=]DATA` as (name, path); without a name the file's, made unique among `taken`.

    Raises:
        ConfigError: what stands before the sign is no name, or nothing stands behind it.
    """
    name, equals, path = argument.partition("=")
    if equals and not path:
        raise ConfigError(f"{argument} names no data; write NAME=DATA")
    if equals and Path(path).exists() and not Path(argument).exists() and not re.fullmatch(NAME, name):
        raise ConfigError(f"{name!r} is no name: take letters, digits, dots, dashes and underscores only")
    if equals and re.fullmatch(NAME, name) and not Path(argument).exists():
        return name, path
    return dataset_name(Path(argument), taken), argument
