"""Files of JSON records: an array, or one record a line (JSONL). Schemas say what a record means."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from curation.readers import scanner
from curation.readers.building import json_record
from curation.readers.compressed import damage, opened, packed, plain_suffix
from curation.readers.data_urls import placed
from curation.readers.keys import NO_KEYS, Keys
from curation.readers.listing import data_files
from curation.readers.records import Schema
from curation.readers.scanner import CHUNK_BYTES, MAX_RECORD_BYTES, Commas, Newlines, Piece, Separators
from schemas.errors import BAD_ARCHIVE, BAD_JSON, ReadError
from schemas.protocols import Record, Span

SUFFIXES = packed(".json", ".jsonl", ".ndjson")
_LINE_SUFFIXES = (".jsonl", ".ndjson")
_SPAN_BYTES = 16 << 20  # a span is held in memory while it is read, some five times over
_HEAD_BYTES = 1 << 16
_KEPT_BYTES = 1 << 20  # of a piece too long to be a record
_NEWLINE = re.compile(rb"\n")
_FIRST_KEY = re.compile(rb'[\[\s]*\{\s*("(?:[^"\\]|\\.){0,200}")\s*:')
_FOREIGN = (  # first bytes of a file that is no JSON text, and what to do about it
    (b"\xff\xfe", "is UTF-16; convert it: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "is UTF-16; convert it: iconv -f UTF-16 -t UTF-8"),
    (b"PK\x03\x04", "is a zip archive; unpack it"),
    (b"\xfd7zXZ", "is compressed with xz; unpack it: unxz"),
    (b"PAR1", "is a Parquet file; give it with --format parquet"),
)


@dataclass(frozen=True)
class Layout:
    """How the records of one file are set apart, and where the first may begin."""

    lines: bool
    begin: int = 0
    line: int = 1
    restart: re.Pattern[bytes] = _NEWLINE  # behind a match a record begins, whatever is broken before it

    @property
    def end(self) -> bytes:
        """What the text ends with."""
        return b"" if self.lines else b"]"

    def separators(self) -> Separators:
        return Newlines() if self.lines else Commas()


@dataclass(frozen=True)
class JsonReader:
    """Records in JSON arrays or JSONL, as a schema reads them; see `schemas.protocols.Reader`."""

    name: str
    schema: Schema
    version: int = 2
    keys: Keys = NO_KEYS

    def with_keys(self, keys: Keys) -> JsonReader:
        """The same for data whose image and text are called otherwise."""
        return replace(self, keys=keys)

    def files(self, path: Path) -> list[Path]:
        return files(path)

    def spans(self, file: Path, rows: int) -> Iterator[Span]:
        return spans(file, rows)

    def read(self, file: Path, span: Span) -> Iterator[Record]:
        return read(file, span, self.schema, self.keys)


def files(path: Path) -> list[Path]:
    """The JSON files at `path`; a file given by name is taken whatever its name."""
    return [path] if path.is_file() else data_files(path, SUFFIXES)


def spans(file: Path, rows: int, *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[Span]:
    """Runs of at most `rows` records and about 16 MB. What is broken or too long has a span of its own.

    Raises:
        ReadError: the file is no JSON array and no JSONL.
    """
    if rows < 1:
        raise ValueError(f"rows is {rows}, and a span has at least one record")
    with opened(file) as handle:
        layout = layout_of(handle, file)
        handle.seek(layout.begin)
        pieces = scanner.pieces(
            handle, layout.separators(), layout.line, restart=layout.restart, chunk_bytes=chunk_bytes
        )
        last = Span(0, 0, 0, 0, layout.line)
        for last in _runs(pieces, rows):
            yield last
        if damage(handle) and (last.length or not last.n_records):
            yield Span(last.offset + last.length, 0, last.first_record + last.n_records, 1, last.first_line)


def read(file: Path, span: Span, schema: Schema, keys: Keys = NO_KEYS) -> Iterator[Record]:
    """The records of `span`, each with its exact bytes; keys are record indices.

    Raises:
        ReadError: the file does not hold the span's records: it has changed since it was indexed.
    """
    with opened(file) as handle:
        layout = layout_of(handle, file)
        handle.seek(span.offset)
        data = handle.read(
            span.length if span.length <= MAX_RECORD_BYTES or span.n_records > 1 else _KEPT_BYTES
        )
        broken = None if span.length or handle.read(1) else damage(handle)
    first_line = span.first_line or 1
    if span.n_records == 1:
        record = _alone(data, span, schema, broken, keys)
        yield placed(record, str(file.absolute()), span.offset)
        return
    found = list(scanner.whole_pieces(io.BytesIO(data + layout.end), layout.separators(), first_line))
    if len(found) != span.n_records or len(data) != span.length:
        raise ReadError(
            f"{file}: {len(found)} records at byte {span.offset} where {span.n_records} were indexed; "
            "the file has changed, run the command again to index it anew"
        )
    for index, piece in enumerate(found, span.first_record):
        raw = data[piece.begin : piece.end].rstrip()
        record = json_record(raw, schema, key=str(index), line=piece.line, keys=keys)
        yield placed(record, str(file.absolute()), span.offset + piece.begin)


def layout_of(handle: IO[bytes], file: Path) -> Layout:
    """How the records of the file open at `handle` are set apart.

    Raises:
        ReadError: it holds something else, or one object where an array should be.
    """
    head = _head(handle)
    if not head and (broken := damage(handle)):
        raise ReadError(f"{file} is damaged: {broken}")
    for magic, advice in _FOREIGN:
        if head.startswith(magic):
            raise ReadError(f"{file} {advice}")
    if b"\0" in head[:4]:
        raise ReadError(f"{file} holds binary data or UTF-16 and no JSON text; JSON must be UTF-8")
    body = head.removeprefix(b"\xef\xbb\xbf")
    start = len(head) - len(body.lstrip())
    line = 1 + head.count(b"\n", 0, start)
    by_line = plain_suffix(file) in _LINE_SUFFIXES
    first, _, rest = head[start:].partition(b"\n")
    if not first.strip():
        if by_line:
            return Layout(lines=True, begin=start, line=line)
        raise ReadError(f"{file} is empty; a JSON file should hold an array of records")
    if first.startswith(b"[") and not (by_line and rest.strip() and _is_whole(first)):
        return Layout(lines=False, begin=start + 1, line=line, restart=_restart(head[start:]))
    if by_line:
        _check_lines(file, head[start:])
    else:
        _check_objects(file, first, rest, bool(handle.read(1)))
    return Layout(lines=True, begin=start, line=line)


def _runs(found: Iterator[Piece], rows: int) -> Iterator[Span]:
    first: Piece | None = None
    end = n = record = 0
    for piece in found:
        alone = not piece.whole or piece.end - piece.begin > MAX_RECORD_BYTES
        if first and (alone or n == rows or piece.end - first.begin > _SPAN_BYTES):
            yield Span(first.begin, end - first.begin, record, n, first.line)
            first, n, record = None, 0, record + n
        if alone:
            yield Span(piece.begin, piece.end - piece.begin, record, 1, piece.line)
            record += 1
            continue
        first, n, end = first or piece, n + 1, piece.end
    if first:
        yield Span(first.begin, end - first.begin, record, n, first.line)


def _alone(data: bytes, span: Span, schema: Schema, broken: str | None, keys: Keys) -> Record:
    """The record of a span of one, which may be what is left of a file that is broken."""
    key, line = str(span.first_record), span.first_line
    if broken:
        return Record(key=key, raw=b"", line=line, error=(BAD_ARCHIVE, broken))
    if not span.length:
        sentence = "the file ends here and the array is not closed by ]; is the file truncated?"
        return Record(key=key, raw=b"", line=line, error=(BAD_JSON, sentence))
    if len(data) < span.length:
        sentence = (
            f"no record ends in these {span.length} bytes (a quote or a bracket is missing early in them); "
            f"the first {len(data)} are kept"
        )
        return Record(key=key, raw=data, line=line, error=(BAD_JSON, sentence))
    return json_record(data.rstrip(), schema, key=key, line=line, keys=keys)


def _head(handle: IO[bytes]) -> bytes:
    """The beginning of the file, to the end of its first line at least, if that may be a record."""
    head = handle.read(_HEAD_BYTES)
    while b"\n" not in head.lstrip() and len(head) < MAX_RECORD_BYTES and not _is_array(head):
        more = handle.read(CHUNK_BYTES)
        if not more:
            break
        head += more
    return head


def _is_array(head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _is_whole(text: bytes) -> bool:
    """Is `text` one value with balanced brackets? Whether it is valid is another question."""
    separators = Commas()
    return not separators.feed(text) and not separators.inside() and separators.ended is None


def _restart(head: bytes) -> re.Pattern[bytes]:
    """Before a record of this array: a comma and an object whose first key is that of the first record.

    Programs write every record with the same first key; inside a string its quotes would be escaped.
    """
    key = _FIRST_KEY.match(head)
    if key is None:
        return re.compile(rb"(?!)")
    space = rb"[ \t\r\n]{0,1000}"
    return re.compile(rb",(?=" + space + rb"\{" + space + re.escape(key[1]) + space + rb":)")


def _check_lines(file: Path, head: bytes) -> None:
    if not any(line.lstrip().startswith(b"{") for line in head.split(b"\n")):
        raise ReadError(f"{file} begins with {_shown(head)} and is no JSONL; each line should be an object")


def _check_objects(file: Path, first: bytes, rest: bytes, longer: bool) -> None:
    """A file that begins with { and is not named as JSONL must still be one record a line."""
    if not first.startswith(b"{"):
        raise ReadError(
            f"{file} begins with {_shown(first)} and is no JSON; an array of records or JSONL is read"
        )
    follows = rest.lstrip()
    if not (_is_whole(first) and (follows or longer)) and not follows.startswith(b"{"):
        raise ReadError(
            f"{file} is one object; the records should be an array [...], or one object a line in a file "
            "named .jsonl"
        )


def _shown(head: bytes) -> str:
    return repr(head[:20].decode("utf-8", "replace"))
