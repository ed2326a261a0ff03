"""Findings by code: how many there are, and where the first few stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from curation.readers.compressed import opened
from curation.readers.sources import SpanOfFile
from schemas.protocols import Record

# Readers whose spans are bytes of text, in which a record's bytes can be found again.
_ROWS = ("parquet", "hf", "images", "webdataset")


@dataclass
class Tally:
    """What was found, by code. All of it is held where `limit` is None, else the first of each."""

    limit: int | None
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, code: str, place: Place, message: str) -> None:
        """One finding more."""
        self.counts[code] = self.counts.get(code, 0) + 1
        held = self.first.setdefault(code, [])
        if self.limit is None or len(held) < self.limit:
            held.append({**place.tree(), "message": message})

    def tree(self) -> dict[str, Any]:
        """By code, the most frequent first: `n`, and `first`."""
        codes = sorted(self.counts, key=lambda code: (-self.counts[code], code))
        return {code: {"n": self.counts[code], "first": self.first[code]} for code in codes}


@dataclass
class SpanPlaces:
    """Where the records of a span begin; looked up when it is asked first."""

    where: SpanOfFile
    records: list[Record]
    offsets: list[int | None] | None = None

    def byte(self, at: int) -> int | None:
        """The byte of the file, or of the text that is packed in it, at which record `at` begins."""
        if self.offsets is None:
            self.offsets = self._found()
        return self.offsets[at]

    def _found(self) -> list[int | None]:
        span = self.where.span
        if self.where.reader in _ROWS:
            return [None] * len(self.records)
        with opened(self.where.path) as handle:
            handle.seek(span.offset)
            data = handle.read(span.length)
        found: list[int | None] = []
        behind = 0
        for record in self.records:
            at = data.find(record.raw, behind) if record.raw else behind
            found.append(None if at < 0 else span.offset + at)
            behind = behind if at < 0 else at + len(record.raw)
        return found


@dataclass
class Place:
    """A record of a span, as a finding names it."""

    span: SpanPlaces
    at: int

    def tree(self) -> dict[str, Any]:
        """File, line and byte where there are any, the record's number or name in the file, and its id."""
        record = self.span.records[self.at]
        return {
            "file": self.span.where.file,
            "line": record.line,
            "byte": self.span.byte(self.at),
            "record": record.key,
            "id": record.record_id,
        }
