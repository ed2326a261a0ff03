"""COCO's captions: one JSON object with `images` and `annotations`, of which each caption is a record."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, ClassVar

from curation.readers import scanner
from curation.readers.building import json_record
from curation.readers.compressed import opened
from curation.readers.json_records import SUFFIXES
from curation.readers.listing import data_files
from curation.readers.records import BadRecord, Images, Shape, Turns, always, captioned, never, parse
from curation.readers.row_groups import identity
from curation.readers.scanner import Commas, Piece
from schemas.errors import BAD_TURN, MISSING_IMAGE, ReadError
from schemas.protocols import ImageAt, Record, Span

_SPAN_BYTES = 16 << 20
_HEAD_BYTES = 1 << 16
_LISTS = re.compile(
    rb'"images"\s*:\s*\[\s*\{[^{}]*"file_name"\s*:|"annotations"\s*:\s*\[\s*\{[^{}]*"image_id"\s*:'
)
_MEMBER = re.compile(rb'\s*"([^"\\]{1,100})"\s*:\s*')
_OBJECT = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{")
_BROKEN_BYTES = 1 << 20  # kept of what is left of a list that is not closed


@dataclass(frozen=True)
class Coco:
    """A caption answers CAPTION_QUESTION; images are found by their `file_name`. Spans count bytes."""

    name: ClassVar[str] = "coco"
    version: ClassVar[int] = 1

    def files(self, path: Path) -> list[Path]:
        if path.is_file():
            return [path] if is_coco(path) else []
        return [file for file in data_files(path, SUFFIXES) if is_coco(file)]

    def spans(self, file: Path, rows: int) -> Iterator[Span]:
        if rows < 1:
            raise ValueError(f"rows is {rows}, and a span has at least one record")
        begin = end = n = record = 0
        line: int | None = None
        with opened(file) as handle:
            for piece in _elements(handle, file, b"annotations"):
                if n and (n == rows or not piece.whole or piece.end - begin > _SPAN_BYTES):
                    yield Span(begin, end - begin, record, n, line)
                    record, n = record + n, 0
                if not n:
                    begin, line = piece.begin, piece.line
                end, n = piece.end, n + 1
            if n:
                yield Span(begin, end - begin, record, n, line)

    def read(self, file: Path, span: Span) -> Iterator[Record]:
        names = _names(identity(file), file)
        with opened(file) as handle:
            handle.seek(span.offset)
            data = handle.read(span.length)
            found = list(scanner.whole_pieces(io.BytesIO(data + b"]"), Commas(), span.first_line or 1))
            found = found or [Piece(0, len(data), span.first_line or 1, False)]
            if len(found) != span.n_records or len(data) != span.length:
                raise ReadError(
                    f"{file}: {len(found)} annotations at byte {span.offset} where {span.n_records} were "
                    "indexed; the file has changed, run the command again to index it anew"
                )
            for index, piece in enumerate(found, span.first_record):
                raw = data[piece.begin : piece.end].rstrip()
                yield json_record(raw, Shape(never, _of(names), always), key=str(index), line=piece.line)


def is_coco(file: Path) -> bool:
    """Is `file` one object, which begins as COCO's do?"""
    with opened(file) as handle:
        head = handle.read(_HEAD_BYTES)
    return bool(_OBJECT.match(head) and _LISTS.search(head))


def _of(names: dict[Any, str]) -> Any:
    def read(annotation: dict[str, Any]) -> tuple[Turns, Images]:
        caption, image = annotation.get("caption"), annotation.get("image_id")
        if not isinstance(caption, str) or not caption.strip():
            raise BadRecord(
                BAD_TURN, "the annotation has no 'caption'; COCO's captions are read, not its boxes"
            )
        if not isinstance(image, (str, int)) or image not in names:
            raise BadRecord(MISSING_IMAGE, f"there is no image with the annotation's image_id, {image!r:.80}")
        return captioned(caption), (ImageAt(names[image]),)

    return read


@lru_cache(maxsize=2)
def _names(_: object, file: Path) -> dict[Any, str]:
    """File names by the ids of the images; the one thing of the file that is held."""
    found: dict[Any, str] = {}
    with opened(file) as handle:
        places = list(_elements(handle, file, b"images"))
        for piece in places:
            handle.seek(piece.begin)
            try:
                image = parse(handle.read(piece.end - piece.begin))
            except BadRecord:
                continue
            if isinstance(image, dict) and isinstance(image.get("file_name"), str):
                found[image.get("id")] = image["file_name"]
    return found


def _elements(handle: IO[bytes], file: Path, name: bytes) -> Iterator[Piece]:
    """The elements of the list `name` of the object in `file`."""
    where = _lists(identity(file), file)
    if name not in where:
        raise ReadError(f"{file} has no list {name.decode()!r}, or is cut before it; COCO's captions have it")
    begin, line = where[name]
    handle.seek(begin)
    separators = Commas()
    broken = yield from scanner.whole_pieces(handle, separators, line)
    if broken is not None and separators.ended is None:
        end = min(handle.seek(0, 2), broken[0] + _BROKEN_BYTES)
        if end > broken[0]:
            yield Piece(broken[0], end, broken[1], False)


@lru_cache(maxsize=64)
def _lists(_: object, file: Path) -> dict[bytes, tuple[int, int]]:
    """Offset and line of what is behind the bracket of each list in the object of `file`."""
    found: dict[bytes, tuple[int, int]] = {}
    with opened(file) as handle:
        start = _OBJECT.match(handle.read(_HEAD_BYTES))
        if start is None:
            raise ReadError(f"{file} is no JSON object; COCO's captions are one")
        for begin, line in list(_members(handle, start.end(), 1 + start[0].count(b"\n"))):
            handle.seek(begin)
            head = handle.read(512)
            named = _MEMBER.match(head)
            if named and head[named.end() : named.end() + 1] == b"[":
                line += head.count(b"\n", 0, named.end())
                found[named[1]] = (begin + named.end() + 1, line)
    return found


def _members(handle: IO[bytes], begin: int, line: int) -> Iterator[tuple[int, int]]:
    """Offset and line of each member, however long, of an object that is open before `begin`."""
    yield begin, line
    separators, base = Commas(), begin
    handle.seek(begin)
    while separators.ended is None and (chunk := handle.read(scanner.CHUNK_BYTES)):
        for comma in separators.feed(chunk):
            yield base + comma + 1, line + chunk.count(b"\n", 0, comma)
        line += chunk.count(b"\n")
        base += len(chunk)
