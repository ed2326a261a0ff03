"""Records in, `samples` out: ids, canonical turns, image hashes, and a code for each record that is bad."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import pyarrow as pa

from curation.readers.images import BadImage, ImageRoots, Place, fetch
from curation.readers.sources import SpanOfFile
from curation.steps.ingest import repairs
from schemas import errors
from schemas.columns import SAMPLES
from schemas.protocols import ImageAt, Record
from schemas.stages import Input, Prepared, Task
from scorers.hygiene import count_tokens

# Images hashed at once: bounds the bytes in memory.
FETCH = 32


@dataclass(frozen=True)
class Spans:
    """Source of `samples`: the records of one span, read and parsed in a thread."""

    inputs: ClassVar[tuple[Input, ...]] = ()

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"record": pa.array(range(task.rows), pa.int64())})

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[tuple[SpanOfFile, list[Record]]]:
        where: SpanOfFile = task.value
        yield where, list(where.records())


@dataclass(frozen=True)
class Ingest(Prepared):
    """One row a record, bad ones too."""

    follow_links: bool
    allow_remote: bool
    image_token: str = "strict"
    roles: str = "strict"
    spelling: str = "any"

    name: ClassVar[str] = "samples"
    version: ClassVar[int] = 2
    source: ClassVar[Spans] = Spans()
    writes: ClassVar[pa.Schema] = SAMPLES

    def params(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def prepare(self, piece: tuple[SpanOfFile, list[Record]]) -> pa.RecordBatch:
        where, records = piece
        roots = image_roots(where, self.follow_links, self.allow_remote, self.spelling)
        rows = [self._row(where, record, roots) for record in records]
        _hash_images(rows)
        return pa.RecordBatch.from_pylist([row.finish() for row in rows], schema=SAMPLES)

    def _row(self, where: SpanOfFile, record: Record, roots: ImageRoots) -> _Row:
        """`record` on its way into the table, repaired as the settings say."""
        turns = record.turns
        codes: list[str] = []
        if record.error is None:
            turns, codes = repairs.repaired(turns, len(record.images), self.image_token, self.roles)
        return _Row(where, replace(record, turns=turns), roots, codes)


def image_roots(where: SpanOfFile, follow_links: bool, allow_remote: bool, spelling: str) -> ImageRoots:
    """Where the images of a file's records may lie."""
    # Where no folder of images is given, those beside the file itself count as well.
    beside = "" if where.images else os.path.dirname(where.file)  # noqa: PTH120  # a str, as roots are
    roots = where.images or (where.root,)
    return ImageRoots(roots, follow_links, allow_remote, beside, any_spelling=spelling == "any")


class _Row:
    """A record on its way into the table, and the codes of what was repaired."""

    def __init__(self, where: SpanOfFile, record: Record, roots: ImageRoots, repaired: list[str]) -> None:
        self.where, self.record, self.repaired = where, record, repaired
        self.error = record.error or bad_structure(record)
        self.refs: list[dict[str, Any]] = []
        if self.error is None:
            try:
                self.refs = [self._reference(image, roots) for image in record.images]
            except BadImage as error:
                self.error = (error.code, str(error))

    def _reference(self, image: ImageAt, roots: ImageRoots) -> dict[str, Any]:
        if image.container is None:
            place = roots.find(image)
        else:
            place = Place(image.container, image.path, respelled=False)
        if place.respelled and repairs.SPELLING not in self.repaired:
            self.repaired.append(repairs.SPELLING)
        return {
            "path": place.path,
            "offset": image.offset,
            "length": image.length,
            "column": image.column,
            "row": image.row,
            "name": place.name,
            "sha256": b"",
            "n_bytes": 0,
        }

    def finish(self) -> dict[str, Any]:
        record, key = self.record, f"{self.where.file}#{self.record.key}"
        code, message = self.error or (None, None)
        return {
            "uid": hashlib.blake2b(f"{self.where.dataset}\0{key}".encode(), digest_size=16).digest(),
            "dataset": self.where.dataset,
            "key": key,
            "file": self.where.file,
            "line": record.line,
            "record_id": record.record_id,
            "record": record.raw,
            "turns": [{"role": role, "text": text} for role, text in record.turns],
            "images": [] if self.error else self.refs,
            "n_images": len(record.images),
            "n_turns": len(record.turns),
            "n_tokens": sum(count_tokens(text) for _, text in record.turns),
            "source": record.source or self.where.dataset,
            "repaired": [] if self.error else self.repaired,
            "content_hash": self._content_hash(),
            "error": code,
            "error_message": message,
        }

    def _content_hash(self) -> bytes:
        """Canonical text and image bytes; of a bad record, what was read."""
        digest = hashlib.blake2b(digest_size=16)
        if self.error:
            digest.update(self.record.raw)
        else:
            digest.update(json.dumps(self.record.turns, ensure_ascii=False).encode("utf-8", "surrogatepass"))
            for ref in self.refs:
                digest.update(ref["sha256"])
        return digest.digest()


def bad_structure(record: Record) -> tuple[str, str] | None:
    """What a trainer would crash on: roles out of order, image placeholders that do not match the images."""
    roles = [role for role, _ in record.turns]
    if roles[:1] == ["system"]:
        roles = roles[1:]
    if not roles:
        return errors.NO_TURNS, "the record has no turns"
    for place, role in enumerate(roles):
        expected = ("user", "assistant")[place % 2]
        if role != expected:
            return (
                errors.BAD_ROLES,
                f"turn {place + 1} is by {role!r}, expected {expected!r}; roles must alternate "
                "(--roles merges or drops such turns)",
            )
    if len(roles) % 2:
        return (
            errors.BAD_ROLES,
            "the record ends with a question; add the answer, or drop the turn (--roles drop)",
        )
    tokens = sum(text.count("<image>") for _, text in record.turns)
    if tokens != len(record.images):
        sentence = (
            f"<image> in the text: {tokens}, images in the record: {len(record.images)}; make them equal"
        )
        if not tokens:
            sentence += ", or insert them before the first question with --image-token insert"
        return errors.IMAGE_TOKEN_COUNT, sentence
    return None


def _hash_images(rows: list[_Row]) -> None:
    """Read every image of the good rows once and enter its sha256; an unreadable one makes its record bad."""
    wanted = [(row, ref) for row in rows if row.error is None for ref in row.refs]
    for start in range(0, len(wanted), FETCH):
        part = wanted[start : start + FETCH]
        for (row, ref), data in zip(part, fetch([ref for _, ref in part]), strict=True):
            if isinstance(data, BadImage):
                row.error = row.error or (data.code, str(data))
            else:
                ref["sha256"] = hashlib.sha256(data).digest()
                ref["n_bytes"] = len(data)
