"""`curate convert`: records of one format in another, without a workspace, a span at a time."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from curation.readers.listing import REJECTED
from curation.readers.sources import (
    SpanOfFile,
    dataset_name,
    given_roots,
    image_roots,
    roots_of_export,
    source_of,
)
from curation.steps.ingest.records import Ingest
from curation.storage.files import put
from curation.writers import writer
from curation.writers.destination import SUMMARY, check_target, deliver, held_at, target_of, unfinished
from curation.writers.facts import Facts
from curation.writers.kept import SAMPLE
from curation.writers.pictures import Pictures, way
from curation.writers.splits import TRAIN
from schemas.config import Config, parse
from schemas.errors import ExportError, NothingLeft
from schemas.protocols import Progress
from schemas.settings import Dataset
from schemas.tables import key_of

# Records in memory at once.
SPAN_ROWS = 1024
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
    chosen, base = writer(format), Path.cwd()
    dataset = (source or Dataset(path=data)).model_copy(update={"path": os.path.abspath(data)})  # noqa: PTH100
    name = dataset_name(Path(data), set())
    config = parse({"datasets": {name: dataset.model_dump()}}).override(dict(overrides or {}))
    read = source_of(name, dataset, base)
    roots = {name: image_roots(name, dataset, base)}
    target, how = target_of(out), way(chosen, images)
    check_target(target, [file.resolve() for file in read.files], overwrite=overwrite)
    stamps = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in read.files]
    key = key_of([format, how, raw, str(target), roots, stamps, config.model_dump(mode="json")])
    if held_at(target) is not None and not overwrite:
        raise ExportError(f"{target} is not empty; choose another folder, or replace it with --overwrite")
    counts: Counter[str] = Counter()
    with unfinished(target, key) as folder:
        with (folder / REJECTED).open("w", encoding="utf-8") as rejected:
            spans = _spans(read, dataset, base, progress)
            rows = _good(_ingested(spans, config), counts, rejected)
            facts = Facts(Pictures(folder, how, roots), pa.schema([]), key, str(target), raw)
            written = chosen.write(folder, {TRAIN: rows}, facts)
        n_bad = sum(counts.values()) - counts["written"]
        if not counts["written"]:
            raise NothingLeft(f"none of the {n_bad:,} records of {data} can be written; {_first(folder)}")
        if not n_bad:
            (folder / REJECTED).unlink()
        told = {"format": format, "from": read.told.name, "n_kept": counts.pop("written")}
        told |= {"n_rejected": n_bad, "rejected": dict(sorted(counts.items())), "images": how, **written}
        put(
            folder / SUMMARY,
            (json.dumps({"key": key, "written": told}, indent=1, sort_keys=True) + "\n").encode(),
        )
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        deliver(folder, target, progress)
    return {**told, "out": str(target), "bytes": size, "seconds": round(time.monotonic() - start, 2)}


def _spans(read: Any, dataset: Dataset, base: Path, progress: Progress) -> Iterator[SpanOfFile]:
    folders = given_roots(dataset, base) or roots_of_export(read.folder)
    total = sum(file.stat().st_size for file in read.files)
    with progress.bar("convert", total, "bytes") as bar:
        for file in read.files:
            size, told = file.stat().st_size, 0
            for span in read.reader.spans(file, SPAN_ROWS):
                relative = file.relative_to(read.folder).as_posix()
                yield SpanOfFile(
                    read.name, read.reader.name, str(read.folder), relative, span, folders, read.keys
                )
                step = min(span.length, size - told)  # of packed files, and of rows, a guess
                told += step
                bar.advance(step)
            bar.advance(size - told)


def _ingested(spans: Iterator[SpanOfFile], config: Config) -> Iterator[pa.RecordBatch]:
    ingest = Ingest(config.images.follow_links, config.images.allow_remote, **config.read.model_dump())
    for where in spans:
        yield ingest.prepare((where, list(where.records())))


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
        counts["written"] += len(good)
        if len(good):
            yield good


def _first(folder: Path) -> str:
    with (folder / REJECTED).open(encoding="utf-8") as file:
        first = json.loads(next(file, '{"error_message": "there is none"}'))
    return f"the first: {first['error_message']}"
