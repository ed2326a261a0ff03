"""`curate convert`: records of one format in another, without a workspace, a span at a time."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import pyarrow as pa

from curation.readers.listing import REJECTED
from curation.readers.sources import Source, SpanOfFile, dataset_name, roots_of, source_of
from curation.steps.ingest.records import Ingest
from curation.storage.files import is_url, put
from curation.writers import writer
from curation.writers.destination import SUMMARY, check_target, deliver, held_at, target_of, unfinished
from curation.writers.facts import Facts
from curation.writers.kept import SAMPLE
from curation.writers.pictures import Pictures, way
from curation.writers.splits import TRAIN
from schemas.config import Config, parse
from schemas.errors import ExportError, NothingLeft
from schemas.protocols import Progress, Writer
from schemas.settings import Dataset
from schemas.tables import key_of

# Records in memory at once.
SPAN_ROWS = 1024
GOOD = ""  # the code of a record without an error
_ABSENT = {"rank": pa.int64(), "cluster": pa.int32()}


def convert(
    data: str,
    out: Path | str,
    *,
    format: str,
    source: Dataset | None = None,
    images: str | None = None,
    raw: bool = False,
    overwrite: bool = False,
    overrides: Mapping[str, Any] | None = None,
    progress: Progress,
) -> dict[str, Any]:
    """Write the records of `data` under `out` in another format. Images are hashed, not decoded.

    What `curate ingest` would put into quarantine for its text, or because an image is not there, is not
    written; it stands in `rejected.jsonl`, with file, line, code, sentence and the record.

    Args:
        data: a file, a folder or a pattern.
        out: a new folder, or a URL.
        format: a name of `curation.writers.WRITERS`.
        source: format, image folders and keys of `data`, where they are not what they would be taken for.
        images: link, copy, paths or bytes.
        raw: records that were the format's own leave byte for byte.
        overwrite: replace an earlier export.
        overrides: settings of [images] and [read], by dotted key.
        progress: where it says how far it is.

    Raises:
        ReadError: `data` cannot be read.
        ExportError: `out` is in use, or the format cannot do what is asked.
        NothingLeft: no record can be written.
    """
    start = time.monotonic()
    chosen = writer(format)
    how, target = way(chosen, images), target_of(out)
    given = source or Dataset(path=data)
    dataset = given.model_copy(
        update={"path": _absolute(data), "images": tuple(_absolute(root) for root in given.images)}
    )
    name = dataset_name(Path(data), set())
    config = parse({"datasets": {name: dataset.model_dump()}}).override(dict(overrides or {}))
    # What lies at a URL is copied to where it is read.
    with TemporaryDirectory() if is_url(data) else nullcontext(".") as base:
        read = source_of(name, dataset, Path(base), progress)
        check_target(target, [file.resolve() for file in read.files], overwrite=overwrite)
        if held_at(target) is not None and not overwrite:
            raise ExportError(f"{target} is not empty; choose another folder, or replace it with --overwrite")
        work = _Work(read, roots_of(read, dataset, Path(base)), config, progress)
        key = key_of([format, how, raw, str(target), work.stamps, config.model_dump(mode="json")])
        with unfinished(target, key) as folder:
            told = {"format": format, "from": read.told.name, "images": how}
            told |= work.written(
                chosen,
                folder,
                Facts(Pictures(folder, how, work.folders), pa.schema([]), key, str(target), raw),
            )
            tree = json.dumps({"key": key, "written": told}, indent=1, sort_keys=True)
            put(folder / SUMMARY, f"{tree}\n".encode())
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            deliver(folder, target, progress)
    return {**told, "out": str(target), "bytes": size, "seconds": round(time.monotonic() - start, 2)}


def _absolute(path: str) -> str:
    return path if is_url(path) else os.path.abspath(path)  # noqa: PTH100


@dataclass(frozen=True)
class _Work:
    """What is read, and how."""

    source: Source
    roots: tuple[str, ...]  # where images are looked up; none: beside the data
    config: Config
    progress: Progress

    @property
    def stamps(self) -> list[tuple[str, int, int]]:
        """By which a changed file is told."""
        return [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in self.source.files]

    @property
    def folders(self) -> dict[str, tuple[str, ...]]:
        """The image folders by dataset, as `Pictures` wants them."""
        return {self.source.name: self.roots or (str(self.source.folder),)}

    def written(self, chosen: Writer, folder: Path, facts: Facts) -> dict[str, Any]:
        """Write the good records, and the others to `rejected.jsonl`.

        Raises:
            NothingLeft: no record is good.
        """
        counts: Counter[str] = Counter()
        with (folder / REJECTED).open("w", encoding="utf-8") as rejected:
            rows = _good(self._ingested(), counts, rejected)
            found = chosen.write(folder, {TRAIN: rows}, facts)
        n_good, n_bad = counts.pop(GOOD), sum(counts.values())
        if not n_good:
            raise NothingLeft(
                f"none of the {n_bad:,} records of {self.source.name} can be written; {_first(folder)}"
            )
        if not n_bad:
            (folder / REJECTED).unlink()
        return {"n_kept": n_good, "n_rejected": n_bad, "rejected": dict(sorted(counts.items())), **found}

    def _ingested(self) -> Iterator[pa.RecordBatch]:
        images = self.config.images
        ingest = Ingest(images.follow_links, images.allow_remote, **self.config.read.model_dump())
        for where in self._spans():
            yield ingest.prepare((where, list(where.records())))

    def _spans(self) -> Iterator[SpanOfFile]:
        read = self.source
        total = sum(file.stat().st_size for file in read.files)
        with self.progress.bar("convert", total, "bytes") as bar:
            for file in read.files:
                size, told = file.stat().st_size, 0
                name = file.relative_to(read.folder).as_posix()
                for span in read.reader.spans(file, SPAN_ROWS):
                    yield SpanOfFile(
                        read.name, read.reader.name, str(read.folder), name, span, self.roots, read.keys
                    )
                    step = min(span.length, size - told)  # of packed files, and of rows, a guess
                    told += step
                    bar.advance(step)
                bar.advance(size - told)


def _good(
    batches: Iterator[pa.RecordBatch], counts: Counter[str], rejected: IO[str]
) -> Iterator[pa.RecordBatch]:
    """The rows without an error; the others are written to `rejected`, and counted by their code."""
    for batch in batches:
        bad = batch.filter(batch["error"].is_valid())
        for row in bad.select(["file", "line", "error", "error_message", "record"]).to_pylist():
            counts[row["error"]] += 1
            record = row.pop("record").decode("utf-8", "replace")
            rejected.write(json.dumps({**row, "record": record}, ensure_ascii=False) + "\n")
        good = batch.filter(batch["error"].is_null()).select(list(SAMPLE))
        for name, kind in _ABSENT.items():
            good = good.append_column(name, pa.nulls(len(good), kind))
        counts[GOOD] += len(good)
        if len(good):
            yield good


def _first(folder: Path) -> str:
    with (folder / REJECTED).open(encoding="utf-8") as file:
        first = json.loads(next(file, '{"error_message": "there is none"}'))
    return f"the first: {first['error_message']}"
