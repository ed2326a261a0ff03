"""CSV and TSV with a header: a row is a record, as the shapes of JSON read it. Fields may hold lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, ClassVar, NamedTuple

from curation.readers.building import record_of
from curation.readers.compressed import damage, opened, packed, plain_suffix
from curation.readers.data_urls import placed
from curation.readers.keys import NO_KEYS, Keys
from curation.readers.listing import IMAGE_SUFFIXES, data_files
from curation.readers.row_groups import identity
from curation.readers.shapes import SCHEMAS, schema_of
from schemas.errors import BAD_ARCHIVE, BAD_JSON, ReadError
from schemas.protocols import Record, Span

SUFFIXES = packed(".csv", ".tsv")
_SPAN_BYTES = 16 << 20
_ROW_BYTES = 8 << 20  # a row that is longer, or a quote that does not close in so many bytes, is a bad record
_BOM = b"\xef\xbb\xbf"


class _Row(NamedTuple):
    """The bytes [begin, begin + len(raw)) of a row, and its fields; None where they cannot be told."""

    begin: int
    line: int
    raw: bytes
    fields: list[str] | None


@dataclass(frozen=True)
class Table:
    """How a file is laid out: its columns, what parts them, and where the rows begin."""

    names: tuple[str, ...]
    delimiter: str
    begin: int
    line: int


@dataclass(frozen=True)
class Csv:
    """Rows of an image and its text, or of any shape of SHAPES. Spans count bytes."""

    name: ClassVar[str] = "csv"
    version: ClassVar[int] = 1
    keys: Keys = NO_KEYS

    def with_keys(self, keys: Keys) -> Csv:
        """The same for data whose image and text are called otherwise."""
        return replace(self, keys=keys)

    def files(self, path: Path) -> list[Path]:
        return [path] if path.is_file() else data_files(path, SUFFIXES)

    def spans(self, file: Path, rows: int) -> Iterator[Span]:
        if rows < 1:
            raise ValueError(f"rows is {rows}, and a span has at least one record")
        table = self.table(file)
        with opened(file) as handle:
            begin, n, record, line = table.begin, 0, 0, table.line
            for row in _rows(handle, table.begin, table.line, table.delimiter):
                if n == rows or (n and row.begin - begin > _SPAN_BYTES):
                    yield Span(begin, row.begin - begin, record, n, line)
                    begin, n, record, line = row.begin, 0, record + n, row.line
                n, end = n + 1, row.begin + len(row.raw)
            if n:
                yield Span(begin, end - begin, record, n, line)
            if damage(handle):
                yield Span(end if n else begin, 0, record + n, 1, line)

    def read(self, file: Path, span: Span) -> Iterator[Record]:
        table = table_of(file)
        with opened(file) as handle:
            if not span.length:
                handle.seek(0, 2)
                sentence = damage(handle) or f"{file.name} has changed since it was indexed"
                yield Record(key=str(span.first_record), raw=b"", error=(BAD_ARCHIVE, sentence))
                return
            found = _rows(handle, span.offset, span.first_line or 1, table.delimiter)
            index = span.first_record
            for index, row in enumerate(found, span.first_record):
                if index == span.first_record + span.n_records:
                    return
                yield self._record(row, table, str(index), str(file.absolute()))
        if index + 1 < span.first_record + span.n_records:
            raise ReadError(
                f"{file} has changed since it was indexed; run the command again to index it anew"
            )

    def table(self, file: Path) -> Table:
        """How `file` is laid out.

        Raises:
            ReadError: no columns are known to hold image and text.
        """
        table = table_of(file)
        if schema_of(self.keys.renamed(dict.fromkeys(table.names, ""))) is None:
            raise ReadError(
                f"{file} has columns {', '.join(table.names[:12])}; which of them hold image and text? "
                "--image-column and --text-column say it"
            )
        return table

    def _record(self, row: _Row, table: Table, key: str, container: str) -> Record:
        raw = row.raw.rstrip(b"\r\n")
        n = len(table.names)
        if row.fields is None or len(row.fields) != n:
            found = (
                "a quote that does not close, or a field that is too long"
                if row.fields is None
                else f"{len(row.fields)} fields"
            )
            sentence = (
                f"the row has {found}, and the file {n} columns; quote fields that hold {table.delimiter!r}"
            )
            return Record(key=key, raw=raw, line=row.line, error=(BAD_JSON, sentence))
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError as error:
            sentence = f"the row is not UTF-8 at its byte {error.start}"
            return Record(key=key, raw=raw, line=row.line, error=(BAD_JSON, sentence))
        value = self.keys.renamed(
            {name: text for name, text in zip(table.names, row.fields, strict=True) if text}
        )
        # A row without image or text is one of them that lacks it.
        schema = SCHEMAS[schema_of(value) or "pairs"]
        record = record_of(value, schema, key=key, raw=raw, line=row.line)
        return placed(record, container, row.begin)


def table_of(file: Path) -> Table:
    """Columns and delimiter of `file`; without a header the columns are `image` and `caption`, or numbers.

    Raises:
        ReadError: it is empty, or no table.
    """
    return _table_of(identity(file), file)


@lru_cache(maxsize=1024)
def _table_of(_: object, file: Path) -> Table:
    with opened(file) as handle:
        head = handle.readline(_ROW_BYTES)
        begin = len(_BOM) if head.startswith(_BOM) else 0
        line = head[begin:]
        if not line.strip():
            raise ReadError(
                f"{file} is empty, or damaged; a table should begin with the names of its columns"
            )
        delimiter = (
            "\t" if plain_suffix(file) == ".tsv" else max(",;\t|", key=lambda mark: line.count(mark.encode()))
        )
        first = next(_rows(handle, begin, 1, delimiter), None)
        if first is None or first.fields is None or len(first.fields) < 2:
            raise ReadError(f"{file} is no table: its first row has one column")
        if any(_is_place(field) for field in first.fields):
            return Table(_unnamed(first.fields), delimiter, begin, 1)
        line_after = 1 + first.raw.count(b"\n")
        return Table(
            tuple(field.strip() for field in first.fields), delimiter, begin + len(first.raw), line_after
        )


def _is_place(field: str) -> bool:
    """Is it a path or URL of an image, and no name of a column?"""
    return field.lower().endswith(IMAGE_SUFFIXES) or field.startswith(("http://", "https://", "data:"))


def _unnamed(fields: list[str]) -> tuple[str, ...]:
    """Names where there is no header: CC3M has caption and URL."""
    if len(fields) == 2:
        return ("image", "caption") if _is_place(fields[0]) else ("caption", "image")
    return tuple(map(str, range(len(fields))))


def _rows(handle: IO[bytes], begin: int, line: int, delimiter: str) -> Iterator[_Row]:
    """The rows from `begin` on, blank ones left out; of one that does not close the first line."""
    handle.seek(begin)
    while first := handle.readline(_ROW_BYTES):
        row = _row(handle, first, begin, line, delimiter)
        if row.raw.strip(b"\r\n"):
            yield row
        begin += len(row.raw)
        line += row.raw.count(b"\n")
        if row.fields is None:
            handle.seek(begin)


def _row(handle: IO[bytes], first: bytes, begin: int, line: int, delimiter: str) -> _Row:
    if b'"' not in first:
        text = first.rstrip(b"\r\n").decode("utf-8", "replace")
        return _Row(begin, line, first, text.split(delimiter) if len(first) < _ROW_BYTES else None)
    taken = [first]

    def lines() -> Iterator[str]:
        yield first.decode("utf-8", "replace")
        while sum(map(len, taken)) < _ROW_BYTES and (more := handle.readline(_ROW_BYTES)):
            taken.append(more)
            yield more.decode("utf-8", "replace")
        unclosed.append(True)

    unclosed: list[bool] = []
    try:
        fields = next(csv.reader(lines(), delimiter=delimiter), None)
    except csv.Error:  # a field that is too long
        fields = None
    if unclosed or fields is None:
        return _Row(begin, line, first, None)
    return _Row(begin, line, b"".join(taken), fields)
