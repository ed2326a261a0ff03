"""Records of JSON: one array, or a record a line, under `data/`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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
    """

    name: str
    record: Recorded
    loading: dict[str, str]
    array: bool = True
    start: str = "images/"
    beside: Callable[[Path, Sequence[str]], None] = nothing
    typed: bool = False

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
            with path.open("wb") as file, TemporaryFile(dir=out) as waiting:
                ordered = _pictured_first(records, waiting) if self.typed else (line for line, _ in records)
                for line in _laid_out(ordered, array=self.array):
                    file.write(line)
        self.beside(out, list(splits))
        return {"changed": dict(sorted(changed.items()))}

    def _records(
        self, batches: Iterator[pa.RecordBatch], facts: Facts, changed: Counter[str]
    ) -> Iterator[tuple[bytes, bool]]:
        """Each record, and whether it has images."""
        start = "" if facts.pictures.how == PATHS else self.start
        for batch in batches:
            # Who has no setting for a folder of images needs whole paths.
            named = facts.pictures.names(batch, absolute=bool(self.start))
            for row, names in zip(batch.to_pylist(), named, strict=True):
                made = self.record(row, [start + name for name in names], facts, changed)
                yield made if isinstance(made, bytes) else encoded(made, row, facts), bool(names)


def encoded(record: dict[str, Any], row: dict[str, Any], facts: Facts) -> bytes:
    """The record in one line, with the row's scores where they are asked for."""
    if facts.scores.names:
        record = {**record, "scores": scores(row, facts.scores.names)}
    return json.dumps(record, ensure_ascii=False).encode()


def _pictured_first(records: Iterator[tuple[bytes, bool]], waiting: IO[bytes]) -> Iterator[bytes]:
    """The first record with images, then the others in their order; those before it wait in a file.

    `datasets`, and so ms-swift, decides on the columns of JSONL by its first 10 MB, and fails at the first
    path where all lists until then were empty.
    """
    for record, pictured in records:
        if pictured:
            yield record
            break
        waiting.write(record + b"\n")
    waiting.seek(0)
    yield from (line.removesuffix(b"\n") for line in waiting)
    yield from (record for record, _ in records)


def _laid_out(records: Iterator[bytes], *, array: bool) -> Iterator[bytes]:
    if not array:
        # Of an array that is printed over several lines: a line break in JSON stands between tokens only.
        yield from (record.translate(_ONE_LINE) + b"\n" for record in records)
        return
    before = b"[\n"
    for record in records:
        yield before + record
        before = b",\n"
    yield b"[]\n" if before == b"[\n" else b"\n]\n"
