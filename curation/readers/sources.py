"""Where records come from: the files of each dataset, cut into spans. An unchanged file is indexed once."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curation.progress import Silent
from curation.readers import Recognised, hub, reader, remote, told
from curation.readers.compressed import codec_of
from curation.readers.inputs import Inputs, inputs
from curation.readers.keys import NO_KEYS, Keys
from curation.readers.listing import SUMMARY, legible
from curation.storage.files import Location, Remote, is_url, put
from schemas.config import Config
from schemas.errors import ConfigError, ReadError
from schemas.protocols import Progress, Reader, Record, Span, Stamped
from schemas.settings import NAME, Dataset
from schemas.tables import key_of

# `init` looks at the beginning of so many files.
_TRIED = 64
_TRIED_ROWS = 1024
_TRIED_PACKED = 64 << 20  # bytes


@dataclass(frozen=True)
class SpanOfFile:
    """The value of an ingest task: which records of which file."""

    dataset: str
    reader: str
    root: str  # absolute folder that `file` is relative to
    file: str
    span: Span
    images: tuple[str, ...]  # absolute folders that image paths are relative to
    keys: Keys = NO_KEYS

    @property
    def path(self) -> Path:
        return Path(self.root) / self.file

    def records(self) -> Iterator[Record]:
        """What is read there."""
        return reader(self.reader, self.keys).read(self.path, self.span)


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
        raise ConfigError(f"{path} is a URL, and must be a path of this machine")
    given = Path(path).expanduser()
    if isinstance(base, Remote):
        if not given.is_absolute():
            raise ConfigError(f"{path} is relative; in a curate.toml at a URL ({base}) paths are absolute")
        return given.resolve()
    return (base / given).resolve()


def given_roots(dataset: Dataset, base: Location) -> tuple[str, ...]:
    """The absolute folders, and URLs, that curate.toml names for a dataset's images."""
    return tuple(root if is_url(root) else str(resolved(base, root)) for root in dataset.images)


def roots_of_export(folder: Path) -> tuple[str, ...]:
    """Where images of an export of ours lie, if `folder` is one: LLaVA names them below `images`."""
    return (str(folder), str(folder / "images")) if (folder / SUMMARY).is_file() else ()


def image_roots(name: str, dataset: Dataset, base: Location) -> tuple[str, ...]:
    """The absolute folders, and URLs, in which a dataset's image paths are looked up, in this order."""
    source = source_of(name, dataset, base)
    return roots_of(source, dataset, base) or (str(source.folder),)


def roots_of(source: Source, dataset: Dataset, base: Location) -> tuple[str, ...]:
    """The same; none where paths are looked up beside the data."""
    at_url = () if source.origin is None else (source.origin,)
    return given_roots(dataset, base) or roots_of_export(source.folder) or at_url


def find_spans(config: Config, root: Location, base: Location, progress: Progress) -> list[FoundSpan]:
    """The spans of every dataset, in the order of curate.toml. `base` is the folder of curate.toml.

    Raises:
        ConfigError: a path is relative where curate.toml lies at a URL.
        ReadError: a dataset does not exist, or holds no file of a known format.
    """
    cache_path = root / "sources.json"
    cache = _load(cache_path)
    fresh: dict[str, Any] = {}
    found: list[FoundSpan] = []
    for name, dataset in config.datasets.items():
        source = source_of(name, dataset, base, progress)
        roots = roots_of(source, dataset, base)
        for file in source.files:
            entry = _index(source.reader, file, config.run.shard_rows, cache, progress)
            fresh[str(file)] = entry
            found += _spans(source, file, entry, roots)
    if fresh != cache:
        # What cannot be kept, in a workspace that may only be read, is found again.
        with contextlib.suppress(OSError):
            put(cache_path, json.dumps(fresh).encode())
    return found


@dataclass(frozen=True)
class Source:
    """A dataset as it lies there: its reader, and its files."""

    name: str
    told: Recognised
    reader: Reader
    keys: Keys
    folder: Path  # that names of files are relative to
    files: tuple[Path, ...]
    origin: str | None = None  # the URL where image paths begin, if the files are copies from there

    def try_out(self) -> None:
        """Look at the first records of the first files; not of large packed ones, whose end may be asked for.

        Raises:
            ReadError: one of these files cannot be read.
        """
        for file in self.files[:_TRIED]:
            if not (_is_packed(file) and file.stat().st_size > _TRIED_PACKED):
                next(iter(self.reader.spans(file, _TRIED_ROWS)), None)


def source_of(name: str, dataset: Dataset, base: Location, progress: Progress | None = None) -> Source:
    """Where the data of a dataset lies and what reads it. What is at a URL is copied first.

    Raises:
        ConfigError: its path is relative where curate.toml lies at a URL.
        ReadError: it does not exist, or holds no file of one known format.
    """
    keys = Keys(dataset.image_key, dataset.text_key)
    try:
        found = _inputs(dataset.path, base, progress or Silent())
    except ReadError as error:
        raise ReadError(f"dataset {name}: {error}; correct its path") from None
    kinds = [_kind(dataset.format, each, keys) for each in found.paths]
    for each, kind in zip(found.paths, kinds, strict=True):
        if kind.name != kinds[0].name:
            sentence = f"{found.paths[0]} is {kinds[0].name} and {each} is {kind.name}"
            raise ReadError(f"dataset {name}: {sentence}; make them two datasets")
    chosen = reader(kinds[0].name, keys)
    files = tuple(dict.fromkeys(file for each in found.paths for file in chosen.files(each)))
    if not files:
        raise ReadError(f"dataset {name}: there is no {chosen.name} file at {dataset.path}")
    for file in files:
        if legible(str(file)) != str(file):
            raise ReadError(f"dataset {name}: the path {legible(str(file))} is not UTF-8; rename it")
    passed = tuple(file for kind in kinds for file in kind.passed)
    how = Recognised(chosen.name, kinds[0].how, passed)
    return Source(name, how, chosen, keys, found.folder, files, found.origin)


def _inputs(path: str, base: Location, progress: Progress) -> Inputs:
    if hub.is_dataset(path):
        return hub.inputs_of(path, remote.copies(base), progress)
    if is_url(path):
        return remote.inputs_at(path, remote.copies(base), progress)
    return inputs(resolved(base, path))


def _kind(format_: str, path: Path, keys: Keys) -> Recognised:
    return told(path, keys) if format_ == "auto" else Recognised(format_, "--format says so")


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
        "keys": asdict(keys) if isinstance(keys := getattr(reader, "keys", None), Keys) else None,
        "beside": reader.stamp(file) if isinstance(reader, Stamped) else None,
    }
    held = cache.get(str(file))
    if held is not None and held["state"] == state:
        return dict(held)
    # Else spans are rows, or bytes of the text inside a packed file.
    by_bytes = reader.name not in ("parquet", "hf", "images") and not _is_packed(file)
    with progress.bar(f"index {file.name}", stat.st_size, "bytes") as bar:
        spans = []
        for span in reader.spans(file, rows):
            spans.append(asdict(span))
            bar.advance(span.length if by_bytes else 0)
    return {"state": state, "spans": spans}


def _is_packed(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as handle:
        return codec_of(handle.read(4)) is not None


def _spans(source: Source, file: Path, entry: dict[str, Any], roots: tuple[str, ...]) -> Iterator[FoundSpan]:
    dataset, folder = source.name, source.folder
    name = file.relative_to(folder).as_posix()
    for fields in entry["spans"]:
        value = SpanOfFile(dataset, source.reader.name, str(folder), name, Span(**fields), roots, source.keys)
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


def dataset_name(path: Path, taken: set[str]) -> str:
    """A name for the dataset at `path`: its file name, made unique."""
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", re.split(r"[.?@]", path.name)[0]).strip("_.-") or "data"
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
