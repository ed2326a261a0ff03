"""`curate validate`: what there is in some data, what is wrong with it and where, without a workspace.

Reads a span at a time and holds no more than one, besides counts, the first findings of each kind, and what
it remembers of images.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from curation.commands.validate_estimate import estimate
from curation.commands.validate_images import Fault, Pictures
from curation.commands.validate_tally import Place, SpanPlaces, Tally
from curation.commands.validate_trainers import (
    Judges,
    Read,
    container_of,
    image_columns_of,
    values_of,
)
from curation.progress import Silent
from curation.readers.images import BadImage, ImageRoots
from curation.readers.images import Place as Found
from curation.readers.llama_factory import LlamaFactory, entry_of_file
from curation.readers.sources import Source, SpanOfFile, roots_of, source_of
from curation.steps.ingest import repairs
from curation.steps.ingest.records import bad_structure, image_roots
from curation.storage.files import is_url
from curation.trainers import CRASH
from schemas.config import Config, parse
from schemas.errors import IMAGE_OUTSIDE_ROOTS, MISSING_IMAGE, REMOTE_IMAGE, ReadError
from schemas.protocols import ImageAt, Progress, Record
from schemas.settings import Dataset
from scorers.hygiene import count_tokens

# Records in memory at once.
SPAN_ROWS = 512
NAME = "data"
# What is wrong with an image and leaves it where trainers find it.
_FOUND_ALL_THE_SAME = (IMAGE_OUTSIDE_ROOTS, REMOTE_IMAGE)


def validate(
    data: str,
    *,
    source: Dataset | None = None,
    trainers: Sequence[str] = (),
    decode: bool = True,
    limit: int | None = 3,
    overrides: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Read `data` once, and say what `curate ingest` and the trainers would say.

    Args:
        data: a file, a folder or a pattern.
        source: format, image folders and keys of `data`, where they are not what they would be taken for.
        trainers: names of `curation.trainers.TRAINERS`; default: those that are made for records like these.
        decode: open every image; else each is only looked up.
        limit: findings of each kind to list; None lists all, which then are held in memory.
        overrides: settings of [images], [read] and [embed], by dotted key.
        progress: where it says how far it is.

    Returns:
        `format`, `files`, `records`, `errors`, `images`, `trainers`, `estimate`, and `crashes`, a sentence
        for each reason to exit with 1.

    Raises:
        ConfigError: there is no such trainer.
        ReadError: `data` does not exist, or is of no known format.
    """
    given = source or Dataset(path=data)
    dataset = given.model_copy(
        update={"path": _absolute(data), "images": tuple(_absolute(root) for root in given.images)}
    )
    config = parse({"datasets": {NAME: dataset.model_dump()}}).override(dict(overrides or {}))
    judges, said = Judges(trainers, limit), progress or Silent()
    # What lies at a URL is copied to where it is read.
    with TemporaryDirectory() if is_url(data) else nullcontext(".") as base:
        found = source_of(NAME, dataset, Path(base), said)
        roots = roots_of(found, dataset, Path(base))
        pictures = Pictures(decode, config.images.max_pixels)
        return Check(found, roots, config, judges, pictures, Tally(limit)).run(said)


def _absolute(path: str) -> str:
    return path if is_url(path) else os.path.abspath(path)  # noqa: PTH100


@dataclass
class Check:
    """One pass over the files of a source."""

    source: Source
    roots: tuple[str, ...]
    config: Config
    judges: Judges
    pictures: Pictures
    errors: Tally
    counts: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    unread: list[dict[str, str]] = field(default_factory=list)  # files that cannot be read on
    container: str = ""  # of the first file
    entry: dict[str, Any] | None = None  # of the file that is read, in a dataset_info.json

    def run(self, progress: Progress) -> dict[str, Any]:
        start = time.monotonic()
        sizes = {file: file.stat().st_size for file in self.source.files}
        with progress.bar("validate", sum(sizes.values()), "bytes") as bar:
            for file, size in sizes.items():
                told = 0
                for step in self._file(file):
                    step = min(step, size - told)  # of packed files, and of rows, a guess
                    told += step
                    bar.advance(step)
                bar.advance(size - told)
        return self._tree(sum(sizes.values()), time.monotonic() - start)

    def _file(self, file: Path) -> Iterator[int]:
        """Check the records of one file; yields the lengths of its spans."""
        source, relative = self.source, file.relative_to(self.source.folder).as_posix()
        try:
            container = container_of(source.reader.name, file)
            self.container = self.container or container
            columns = image_columns_of(container, file, source.keys)
            self.entry = entry_of_file(file) if source.reader.name == LlamaFactory.name else None
            for span in source.reader.spans(file, SPAN_ROWS):
                where = SpanOfFile(
                    NAME, source.reader.name, str(source.folder), relative, span, self.roots, source.keys
                )
                records = list(where.records())
                values = list(values_of(records, container, columns))
                self.judges.peek(container, values)
                self._span(where, records, values, container, first=file == source.files[0])
                yield span.length
        except ReadError as error:
            self.unread.append({"file": relative, "message": str(error)})

    def _span(
        self, where: SpanOfFile, records: list[Record], values: list[Any], container: str, *, first: bool
    ) -> None:
        images = self.config.images
        roots = image_roots(where, images.follow_links, images.allow_remote, self.config.read.spelling)
        places = SpanPlaces(where, records)
        looked = [_Looked(record, roots) for record in records]
        faults = iter(self.pictures.look([ref for each in looked for ref in each.refs]))
        for at, each in enumerate(looked):
            each.enter([next(faults) for _ in each.refs])
            self.pictures.n_missing += each.n_missing
            place, read = Place(places, at), Read(each.record, values[at], each.lost, self.entry)
            self._record(each, place)
            self.judges.judge(read, place, container, first=first)

    def _record(self, looked: _Looked, place: Place) -> None:
        """Count one record, as `curate ingest` would enter it."""
        record, counts, read = looked.record, self.counts, self.config.read
        codes: list[str] = []
        if record.error is None:
            turns, codes = repairs.repaired(record.turns, len(record.images), read.image_token, read.roles)
            record = replace(record, turns=turns)
        error = record.error or bad_structure(record) or looked.error
        counts["records"] += 1
        if error is not None:
            self.errors.add(error[0], place, error[1])
            return
        counts["samples"] += 1
        counts["turns"] += len(record.turns)
        counts["tokens"] += sum(count_tokens(text) for _, text in record.turns)
        counts["images"] += len(record.images)
        counts["text_only"] += not record.images
        counts["several_images"] += len(record.images) > 1
        counts["chunks"] += sum(role == "user" for role, _ in record.turns)
        self.repaired.update([*codes, *([repairs.SPELLING] if looked.respelled else [])])

    def _tree(self, n_bytes: int, seconds: float) -> dict[str, Any]:
        source, counts = self.source, self.counts
        names = ("records", "samples", "turns", "tokens", "images", "text_only", "several_images")
        distinct = self.pictures.n if self.pictures.complete else counts["images"]
        tree = {
            "format": source.told.name,
            "told_by": source.told.how,
            "container": self.container,
            "files": {
                "n": len(source.files),
                "bytes": n_bytes,
                "left_aside": [str(file.relative_to(source.folder)) for file in source.told.passed],
                "unread": self.unread,
            },
            "records": {name: counts[name] for name in names},
            "repaired": dict(sorted(self.repaired.items())),
            "errors": self.errors.tree(),
            "images": self.pictures.tree(),
            "trainers": self.judges.tree(self.container),
            "estimate": estimate(
                self.config,
                n_samples=counts["samples"],
                n_images=distinct,
                n_chunks=counts["chunks"],
                reading=seconds - self.pictures.seconds,
            ),
            "seconds": round(seconds, 2),
        }
        return {**tree, "crashes": list(_crashes(tree))}


@dataclass
class _Looked:
    """A record whose images were looked up, and what is wrong with them."""

    record: Record
    roots: ImageRoots
    refs: list[dict[str, Any]] = field(default_factory=list)  # of the images that are there
    numbers: list[int] = field(default_factory=list)  # which of the record's images each of them is
    lost: dict[str, str] = field(default_factory=dict)  # what trainers cannot open, by path, and why
    error: tuple[str, str] | None = None  # of the first bad image
    n_missing: int = 0
    respelled: bool = False

    def __post_init__(self) -> None:
        for number, image in enumerate(self.record.images if self.record.error is None else ()):
            try:
                found = _found(image, self.roots)
            except BadImage as bad:
                self.error = self.error or (bad.code, str(bad))
                self.n_missing += bad.code == MISSING_IMAGE
                if bad.code not in _FOUND_ALL_THE_SAME:
                    self.lost[image.path] = str(bad)
                continue
            if found.respelled:
                self.respelled = True
                self.lost[image.path] = f"{image.path!r} is there under another spelling only: {found.name!r}"
            self.refs.append(_reference(image, found))
            self.numbers.append(number)

    def enter(self, faults: Sequence[Fault | None]) -> None:
        """What is wrong with each of `refs`."""
        for number, fault in zip(self.numbers, faults, strict=True):
            if fault is None:
                continue
            self.error = self.error or (fault.code, f"image {number + 1}: {fault.sentence}")
            if not fault.opens:
                self.lost[self.record.images[number].path] = fault.sentence


def _found(image: ImageAt, roots: ImageRoots) -> Found:
    if image.container is not None:
        return Found(image.container, image.path, respelled=False)
    return roots.find(image)


def _reference(image: ImageAt, found: Found) -> dict[str, Any]:
    place = {"path": found.path, "offset": image.offset, "length": image.length, "name": found.name}
    return {**place, "column": image.column, "row": image.row, "sha256": b"", "n_bytes": 0}


def _crashes(tree: Mapping[str, Any]) -> Iterator[str]:
    """Why to exit with 1: no sample, a file that cannot be read, a trainer that would stop."""
    for unread in tree["files"]["unread"]:
        yield f"{unread['file']} cannot be read"
    if not tree["records"]["samples"]:
        yield "no record can be read"
    for trainer in tree["trainers"]:
        if not trainer["judged"]:
            continue
        n = trainer["records"][CRASH]
        if not trainer["opens_the_file"]:
            yield f"{trainer['title']} reads {trainer['reads']}, and this is {tree['container']}"
        elif n:
            yield f"{trainer['title']} would crash on {n:,} of {tree['records']['records']:,} records"
