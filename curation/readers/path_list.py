"""A text file with the path of an image in each line. Each is a record, as in a folder of images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

from curation.readers.compressed import opened, packed
from curation.readers.listing import IMAGE_SUFFIXES
from curation.readers.records import PLACEHOLDER
from schemas.errors import BAD_IMAGE_FIELD, ReadError
from schemas.protocols import ImageAt, Record, Span

SUFFIXES = packed(".txt", ".lst", ".list")
_HEAD_BYTES = 1 << 16
_LINE_BYTES = 1 << 16


@dataclass(frozen=True)
class PathList:
    """Lines that are paths or URLs of images; blank ones and those that begin with # are left out.

    A record is one question that is the image, and an empty answer. Spans count bytes.
    """

    name: ClassVar[str] = "paths"
    version: ClassVar[int] = 1

    def files(self, path: Path) -> list[Path]:
        return [path] if path.is_file() else []

    def spans(self, file: Path, rows: int) -> Iterator[Span]:
        if rows < 1:
            raise ValueError(f"rows is {rows}, and a span has at least one record")
        with opened(file) as handle:
            begin = end = n = record = 0
            first = 1
            for at, number, raw in _lines(handle, 0, 1):
                if n == rows:
                    yield Span(begin, end - begin, record, n, first)
                    record, n = record + n, 0
                if not n:
                    begin, first = at, number
                end, n = at + len(raw), n + 1
            if n:
                yield Span(begin, end - begin, record, n, first)

    def read(self, file: Path, span: Span) -> Iterator[Record]:
        n = 0
        with opened(file) as handle:
            for at, number, raw in _lines(handle, span.offset, span.first_line or 1):
                if at >= span.offset + span.length:
                    break
                yield _record(raw.strip(), str(span.first_record + n), number)
                n += 1
        if n != span.n_records:
            raise ReadError(
                f"{file} has changed since it was indexed; run the command again to index it anew"
            )


def lists_images(head: bytes) -> bool:
    """Does a text that begins with `head` name an image in each of its lines?"""
    lines = [line.strip() for line in head.split(b"\n")[:-1] or [head]]
    named = [line for line in lines if line and not line.startswith(b"#")]
    endings = tuple(suffix.encode() for suffix in IMAGE_SUFFIXES)
    return bool(named) and all(line.lower().endswith(endings) for line in named)


def _record(raw: bytes, key: str, line: int) -> Record:
    try:
        path = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        sentence = f"the path is not UTF-8 at its byte {error.start}"
        return Record(key=key, raw=raw, line=line, error=(BAD_IMAGE_FIELD, sentence))
    record = json.dumps({"id": path, "image": path}, ensure_ascii=False, separators=(",", ":"))
    turns = (("user", PLACEHOLDER), ("assistant", ""))
    return Record(
        key=key, raw=record.encode(), line=line, record_id=path, turns=turns, images=(ImageAt(path),)
    )


def _lines(handle: IO[bytes], begin: int, line: int) -> Iterator[tuple[int, int, bytes]]:
    """Offset, number and bytes of each line that names something, from `begin` on."""
    handle.seek(begin)
    while raw := handle.readline(_LINE_BYTES):
        if raw.strip() and not raw.lstrip().startswith(b"#"):
            yield begin, line, raw
        begin += len(raw)
        line += raw.count(b"\n")
