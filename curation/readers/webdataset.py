"""WebDataset: tar files whose members share the record's key. Images stay in the tar, at an offset."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, ClassVar

from curation.readers.building import record_of
from curation.readers.compressed import opened
from curation.readers.data_urls import placed
from curation.readers.keys import NO_KEYS, Keys
from curation.readers.listing import data_files
from curation.readers.records import (
    PLACEHOLDER,
    BadRecord,
    Images,
    Shape,
    Turns,
    always,
    captioned,
    never,
    parse,
)
from curation.readers.shapes import SCHEMAS, schema_of
from curation.readers.tar_groups import BLOCK, CAPTIONS, IMAGES, Group, groups
from curation.readers.unsupported import MEDIA_SUFFIXES, media
from schemas.errors import BAD_ARCHIVE, BAD_JSON, NO_TURNS, ReadError
from schemas.protocols import ImageAt, Record, Span

SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.zst", ".tar.bz2")
_IMAGE = re.compile(rf"(?:(?P<number>\d+)\.)?(?:{'|'.join(IMAGES)})")
_TEXT_BYTES = 64 << 20  # of a .json or .txt member


@dataclass(frozen=True)
class WebDataset:
    """Tar: KEY.json is the whole record or has its caption, KEY.txt is a caption. Spans count bytes."""

    name: ClassVar[str] = "webdataset"
    version: ClassVar[int] = 2
    keys: Keys = NO_KEYS

    def with_keys(self, keys: Keys) -> WebDataset:
        """The same for data whose image and text are called otherwise."""
        return replace(self, keys=keys)

    def files(self, path: Path) -> list[Path]:
        return [path] if path.is_file() else data_files(path, SUFFIXES)

    def spans(self, file: Path, rows: int) -> Iterator[Span]:
        if rows < 1:
            raise ValueError(f"rows is {rows}, and a span has at least one record")
        with opened(file) as handle:
            _check(handle, file)
            begin = end = n = record = 0
            seen: set[str] = set()
            for group in groups(handle, 0, handle.seek(0, 2)):
                if group.damage and not record and not n:
                    raise ReadError(f"{file} cannot be read as a tar: {group.damage}")
                if group.key in seen:
                    raise ReadError(
                        f"{file}: the members of {group.key!r} lie apart; write the tar sorted by name"
                    )
                seen.add(group.key)
                if n == rows or (n and group.damage):
                    yield Span(begin, end - begin, record, n)
                    record, n = record + n, 0
                begin, end, n = group.begin if not n else begin, group.end, n + 1
            if n:
                yield Span(begin, end - begin, record, n)

    def read(self, file: Path, span: Span) -> Iterator[Record]:
        # Two, so that each goes forward alone: going back in a packed file is dear.
        with opened(file) as headers, opened(file) as contents:
            n = 0
            for group in groups(headers, span.offset, span.offset + span.length):
                n += 1
                yield _record(contents, group, str(file.absolute()), self.keys)
        if n != span.n_records:
            raise ReadError(
                f"{file}: {n} records at byte {span.offset} where {span.n_records} were indexed; "
                "the file has changed, run the command again to index it anew"
            )


def _record(handle: IO[bytes], group: Group, container: str, keys: Keys) -> Record:
    named = next((suffix for suffix in keys.texts if suffix in group.members and suffix != "json"), None)
    # A text that is asked for by name is not looked for elsewhere.
    text = None if named else _content(handle, group.members.get("json"))
    captions = (named,) if named else () if keys.texts else CAPTIONS
    caption = next((found for end in captions if (found := _content(handle, group.members.get(end)))), None)
    raw = next((found for found in (text, caption) if found is not None), b"")
    error = _error_of(group)
    if error is not None:
        return Record(key=group.key, raw=raw, error=error)
    images = _images(group, container, keys)
    if text is None:
        return record_of({}, _of_caption(caption, images), key=group.key, raw=raw, images=images)
    try:
        value = keys.renamed(parse(text))
    except BadRecord as bad:
        return Record(key=group.key, raw=raw, error=(bad.code, bad.sentence))
    schema = _schema(value, caption, images)
    record = record_of(value, schema, key=group.key, raw=raw, images=images or None)
    return placed(record, container, group.members["json"].offset_data)


def _error_of(group: Group) -> tuple[str, str] | None:
    if group.damage:
        return BAD_ARCHIVE, group.damage
    if group.twice:
        return BAD_ARCHIVE, f"the key {group.key!r} has two members like {group.twice!r}; rename one of them"
    heard = next((suffix for suffix in group.members if f".{suffix}".endswith(MEDIA_SUFFIXES)), None)
    return None if heard is None else media(f"the record has a member .{heard}")


def _schema(value: Any, caption: bytes | None, images: Images) -> Shape:
    """How to read the JSON of a record: as one of SHAPES, or as what tells of the image of a .txt."""
    if not isinstance(value, dict):
        return _as_shape(SCHEMAS["llava"])
    name = schema_of({**value, "images": [PLACEHOLDER]} if images else value)
    if caption is not None and name in (None, "pairs"):
        return _of_caption(caption, images)
    return _as_shape(SCHEMAS[name or "llava"])


def _of_caption(caption: bytes | None, images: Images) -> Shape:
    return Shape(never, lambda _: (_caption(caption, images), ()), always)


def _as_shape(schema: Any) -> Shape:
    return schema if isinstance(schema, Shape) else Shape(never, schema)


def _caption(caption: bytes | None, images: Images) -> Turns:
    if caption is None or not images:
        found = "images" if images else "a text" if caption is not None else "other members"
        sentence = f"the record is {found} only; a .json, or a .txt and an image, is needed; "
        raise BadRecord(NO_TURNS, sentence + "--text-key and --image-key say how they are called")
    try:
        return captioned(caption.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadRecord(BAD_JSON, f"the .txt is not UTF-8 at its byte {error.start}") from None


def _images(group: Group, container: str, keys: Keys) -> Images:
    """The image members: KEY.jpg, then KEY.0.jpg, KEY.1.jpg, … by number. KEY.seg.png is something else.

    Those that `keys` names instead, in the order of their names there.
    """
    if keys.images:
        named = [group.members[name.lower()] for name in keys.images if name.lower() in group.members]
    else:
        named = _numbered(group.members)
    return tuple(
        ImageAt(path=member.name, container=container, offset=member.offset_data, length=member.size)
        for member in named
    )


def _numbered(members: Mapping[str, tarfile.TarInfo]) -> list[tarfile.TarInfo]:
    found: list[tuple[int, int, tarfile.TarInfo]] = []
    for suffix, member in members.items():
        if named := _IMAGE.fullmatch(suffix):
            found.append((int(named["number"] or -1), member.offset, member))
    return [member for _, _, member in sorted(found, key=lambda item: item[:2])]


def _content(handle: IO[bytes], member: tarfile.TarInfo | None) -> bytes | None:
    if member is None:
        return None
    handle.seek(member.offset_data)
    return handle.read(min(member.size, _TEXT_BYTES))


def _check(handle: IO[bytes], file: Path) -> None:
    """Raise ReadError if there is nothing, or something packed that cannot be read."""
    head = handle.read(BLOCK)
    if head.startswith(b"\xfd7zXZ"):
        raise ReadError(f"{file} is compressed with xz; unpack it to a plain .tar first")
    if not head:
        raise ReadError(f"{file} is empty")
