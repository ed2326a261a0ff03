"""Records of JSON: one array, or a record a line, under `data/`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, ClassVar, TypeAlias

import pyarrow as pa

from curation.writers.facts import Facts, Splits
from curation.writers.pictures import COPY, LINK, PATHS
from curation.writers.rows import scores

# A row and the names of its images, to what is written: bytes, or an object. What was changed is counted.
Recorded: TypeAlias = Callable[[dict[str, Any], list[str], Facts, Counter[str]], bytes | dict[str, Any]]


_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


def nothing(out: Path, splits: Sequence[str]) -> None:
    """No file besides."""


@dataclass(frozen=True)
class JsonRecords:
    """A writer of records of JSON: what one looks like is a function.

    Args:
        name: of the format.
        record: a row as a record.
        loading: lines that load it, by who reads them.
        array: one array a split; else a record a line.
        start: what stands before the names of images in records.
        beside: writes what else belongs into the folder.
        typed: the first record with images leaves first, as an empty list tells `datasets` no type.
        apart: records of several images go to a file of their own, SPLIT.several_images, but for raw ones.
    """

    name: str
    record: Recorded
    loading: dict[str, str]
    array: bool = True
    start: str = "images/"
    beside: Callable[[Path, Sequence[str]], None] = nothing
    typed: bool = False
    apart: bool = False

    images: ClassVar[tuple[str, ...]] = (LINK, COPY, PATHS)
    scored: ClassVar[bool] = False

    def files(self, split: str, *, alone: bool = True) -> str:
        """The file of a split."""
        return f"data/{split}.json" if self.array else f"data/{split}.jsonl"

    def write(self, out: Path, splits: Splits, facts: Facts) -> dict[str, Any]:
        """Write data/SPLIT.json (.jsonl) under `out`, and images/ as `facts.pictures` says."""
        changed: Counter[str] = Counter()
        for split, batches in splits.items():
            path = out / self.files(split)
            path.parent.mkdir(exist_ok=True)
            records = self._records(batches, facts, changed)
            with ExitStack() as stack:
                ordered = records
                if self.typed:
                    ordered = _pictured_first(records, stack.enter_context(TemporaryFile(dir=out)))
                main = stack.enter_context(_Laid(path, array=self.array))
                other = stack.enter_context(_Laid(_beside(path), array=self.array, late=True))
                for record, n_images in ordered:
                    away = self.apart and n_images > 1 and not facts.raw
                    (other if away else main).add(record)
        self.beside(out, list(splits))
        return {"changed": dict(sorted(changed.items()))}

    def _records(
        self, batches: Iterator[pa.RecordBatch], facts: Facts, changed: Counter[str]
    ) -> Iterator[tuple[bytes, int]]:
        """Each record, and how many images it has."""
        start = "" if facts.pictures.how == PATHS else self.start
        for batch in batches:
            # Who has no setting for a folder of images needs whole paths.
            named = facts.pictures.names(batch, absolute=bool(self.start))
            for row, names in zip(batch.to_pylist(), named, strict=True):
                made = self.record(row, [start + name for name in names], facts, changed)
                yield made if isinstance(made, bytes) else encoded(made, row, facts), len(names)


def encoded(record: dict[str, Any], row: dict[str, Any], facts: Facts) -> bytes:
    """The record in one line, with the row's scores where they are asked for."""
    if facts.scores.names:
        record = {**record, "scores": scores(row, facts.scores.names)}
    return json.dumps(record, ensure_ascii=False).encode()


def _pictured_first(records: Iterator[tuple[bytes, int]], waiting: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """The first record with images, then the others in their order; those before it wait in a file.

    `datasets`, and so ms-swift, decides on the columns of JSONL by its first 10 MB, and fails at the first
    path where all lists until then were empty.
    """
    for record, n_images in records:
        if n_images:
            yield record, n_images
            break
        waiting.write(record + b"\n")
    waiting.seek(0)
    yield from ((line.removesuffix(b"\n"), 0) for line in waiting)
    yield from records


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.several_images{path.suffix}")


class _Laid:
    """A file of records: an array, or one a line. If `late`, it is made with its first record."""

    def __init__(self, path: Path, *, array: bool, late: bool = False) -> None:
        self.path, self.array, self.empty = path, array, True
        self.file: IO[bytes] | None = None if late else path.open("wb")

    def add(self, record: bytes) -> None:
        """Append one."""
        if self.file is None:
            self.file = self.path.open("wb")
        if self.array:
            self.file.write((b"[\n" if self.empty else b",\n") + record)
        else:
            # Of an array that is printed over several lines: a line break in JSON is between tokens only.
            self.file.write(record.translate(_ONE_LINE) + b"\n")
        self.empty = False

    def __enter__(self) -> _Laid:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            if self.array:
                self.file.write(b"[]\n" if self.empty else b"\n]\n")
            self.file.close()
