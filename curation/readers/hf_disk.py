"""Datasets saved with `save_to_disk`: Arrow stream files, memory-mapped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from curation.readers.keys import NO_KEYS, Keys
from curation.readers.rows import cells, check_columns, image_columns, media_columns, records
from schemas.errors import ReadError
from schemas.protocols import Record, Span

_SPLITS = "dataset_dict.json"
_STATE = "state.json"


@dataclass(frozen=True)
class HfDisk:
    """A folder written by `Dataset.save_to_disk` or `DatasetDict.save_to_disk`. Spans count rows."""

    name: ClassVar[str] = "hf"
    version: ClassVar[int] = 3
    keys: Keys = NO_KEYS

    def with_keys(self, keys: Keys) -> HfDisk:
        """The same for data whose image and text are called otherwise."""
        return replace(self, keys=keys)

    def files(self, path: Path) -> list[Path]:
        """The Arrow files in the dataset's own order, split after split; or one .arrow file."""
        if path.is_file():
            return [path]
        if (path / _SPLITS).is_file():
            splits = _load(path / _SPLITS).get("splits", [])
            return [file for split in splits for file in self.files(path / str(split))]
        if not (path / _STATE).is_file():
            return []
        listed = _load(path / _STATE).get("_data_files", [])
        return [path / entry["filename"] for entry in listed]

    def spans(self, file: Path, rows: int) -> Iterator[Span]:
        if rows < 1:
            raise ValueError(f"rows is {rows}, and a span has at least one record")
        total = 0
        for _, batch in batches(file):
            if not total:
                check_columns(batch.schema, str(file), self.keys)
            total += batch.num_rows
        for first in range(0, total, rows):
            n = min(rows, total - first)
            yield Span(first, n, first, n)

    def read(self, file: Path, span: Span) -> Iterator[Record]:
        for first, batch in batches(file):
            low, high = max(first, span.offset), min(first + batch.num_rows, span.offset + span.length)
            if first >= span.offset + span.length:
                return
            if low >= high:
                continue
            part = batch.slice(low - first, high - low)
            images, media = image_columns(part.schema, self.keys), media_columns(part.schema)
            texts = part.select([name for name in part.schema.names if name not in (*images, *media)])
            found = [cells(name, part.column(name)) for name in images]
            others = {name: part.column(name) for name in media}
            container = str(file.absolute())
            yield from records(texts, found, others, container=container, first_row=low, keys=self.keys)


def batches(file: Path) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(number of its first row, batch) for each batch of a memory-mapped Arrow stream file.

    Raises:
        ReadError: the file is no Arrow stream, or stops early.
    """
    first = 0
    try:
        with pa.memory_map(str(file)) as mapped, pa.ipc.open_stream(mapped) as stream:
            for batch in stream:
                yield first, batch
                first += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise ReadError(f"{file} cannot be read as an Arrow stream beyond row {first}: {error}") from None


def _load(file: Path) -> dict[str, list[dict[str, str]]]:
    try:
        loaded: dict[str, list[dict[str, str]]] = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ReadError(f"{file} cannot be read: {error}") from None
    return loaded
