"""WebDataset: tar files whose members share the record's key. Images stay in the tar, at an offset."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, ClassVar

from curation.readers.listing import data_files, legible
from curation.readers.records import PLACEHOLDER, BadRecord, Images, Turns, parse, record_of
from curation.readers.shapes import SCHEMAS, schema_of
from schemas.errors import BAD_ARCHIVE, BAD_JSON, NO_TURNS, ReadError
from schemas.protocols import ImageAt, Record, Span

_BLOCK = tarfile.BLOCKSIZE
_NAME = re.compile(r"(?:\./)*(?P<key>(?:.*/)?[^./][^./]*)\.(?P<suffix>[^/]+)", re.DOTALL)
_IMAGE = re.compile(r"(?:(?P<number>\d+)\.)?(?:jpe?g|png|webp|gif|bmp)", re.IGNORECASE)
_COMPRESSED = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))
_TEXT_BYTES = 64 << 20  # of a .json or .txt member


@dataclass
class Group:
    """The members of one key: [begin, end) in the tar, headers included."""

    key: str
    begin: int
    end: int = 0
    members: dict[str, tarfile.TarInfo] = field(default_factory=dict)  # by suffix
    damage: str | None = None


@dataclass(frozen=True)
class WebDataset:
    """Uncompressed tar: KEY.json is the whole record, KEY.txt alone a caption. Spans count bytes."""

    name: ClassVar[str] = "webdataset"
    version: ClassVar[int] = 1

    def files(self, path: Path) -> list[Path]:
        return [path] if path.is_file() else data_files(path, (".tar", ".tar.gz", ".tgz", ".tar.zst"))

    def spans(self, file: Path, rows: int) -> Iterator[Span]:
        if rows < 1:
            raise ValueError(f"rows is {rows}, and a span has at least one record")
        with file.open("rb") as handle:
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
        with file.open("rb") as handle:
            n = 0
            for group in groups(handle, span.offset, span.offset + span.length):
                n += 1
                yield _record(handle, group, str(file.absolute()))
        if n != span.n_records:
            raise ReadError(
                f"{file}: {n} records at byte {span.offset} where {span.n_records} were indexed; "
                "the file has changed, run the command again to index it anew"
            )


def groups(handle: IO[bytes], begin: int, end: int) -> Iterator[Group]:
    """The records whose first header lies in [begin, end), in order; what is damaged is the last group."""
    size = handle.seek(0, 2)
    group: Group | None = None
    for member in _members(handle, begin, end):
        if isinstance(member, Group):
            if group:
                yield group
            yield member
            return
        member.name = legible(member.name)
        named = _NAME.fullmatch(member.name) if member.isreg() else None
        if named is None:
            continue
        if group is None or group.key != named["key"]:
            if group:
                yield group
            group = Group(named["key"], member.offset)
        group.members.setdefault(named["suffix"].lower(), member)
        group.end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
        if member.offset_data + member.size > size:
            missing = member.offset_data + member.size - size
            group.damage = (
                f"the tar is truncated: {missing} of {member.size} bytes of {member.name!r} are missing"
            )
            yield group
            return
    if group:
        yield group


def _members(handle: IO[bytes], begin: int, end: int) -> Iterator[tarfile.TarInfo | Group]:
    """The members whose header lies in [begin, end); a Group instead where a header is damaged."""
    while begin < end:
        handle.seek(begin)
        try:
            with tarfile.open(fileobj=handle, mode="r:") as archive:
                while (member := archive.next()) is not None:
                    if member.offset >= end:
                        return
                    yield member
                    begin = archive.offset
                    archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every header it has seen
        except tarfile.TarError as error:
            if not _is_blank(handle, begin, end):
                yield Group(f"@{begin}", begin, end, damage=f"the tar is damaged at byte {begin}: {error}")
            return
        following = _after_zeros(handle, begin, end)
        if following == begin < end:  # tarfile stops without a word at a header that is none
            yield Group(
                f"@{begin}", begin, end, damage=f"the tar is damaged at byte {begin}: no header there"
            )
            return
        begin = following  # behind the end mark another tar may follow: `cat a.tar b.tar`


def _after_zeros(handle: IO[bytes], begin: int, end: int) -> int:
    """Where the next block begins that is not all zeros, or `end`."""
    handle.seek(begin)
    while begin < end and (chunk := handle.read(min(1 << 20, end - begin))):
        content = len(chunk) - len(chunk.lstrip(b"\0"))
        if content < len(chunk):
            return begin + content // _BLOCK * _BLOCK
        begin += len(chunk)
    return end


def _is_blank(handle: IO[bytes], begin: int, end: int) -> bool:
    return _after_zeros(handle, begin, end) >= end


def _record(handle: IO[bytes], group: Group, container: str) -> Record:
    text, caption = (_content(handle, group.members.get(suffix)) for suffix in ("json", "txt"))
    raw = next((found for found in (text, caption) if found is not None), b"")
    if group.damage:
        return Record(key=group.key, raw=raw, error=(BAD_ARCHIVE, group.damage))
    images = _images(group, container)
    if text is None:
        return record_of({}, lambda _: (_caption(caption, images), ()), key=group.key, raw=raw, images=images)
    try:
        value = parse(text)
    except BadRecord as bad:
        return Record(key=group.key, raw=raw, error=(bad.code, bad.sentence))
    schema = schema_of(value)
    if (
        schema is None and caption is not None and isinstance(value, dict)
    ):  # img2dataset: metadata and a caption
        return record_of(
            value, lambda _: (_caption(caption, images), ()), key=group.key, raw=raw, images=images
        )
    return record_of(value, SCHEMAS[schema or "llava"], key=group.key, raw=raw, images=images or None)


def _caption(caption: bytes | None, images: Images) -> Turns:
    if caption is None or not images:
        found = "images" if images else "a .txt" if caption is not None else "other members"
        raise BadRecord(NO_TURNS, f"the record is {found} only; a .json, or a .txt and an image, is needed")
    try:
        answer = caption.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise BadRecord(BAD_JSON, f"the .txt is not UTF-8 at its byte {error.start}") from None
    return ("user", "\n".join([PLACEHOLDER] * len(images))), ("assistant", answer)


def _images(group: Group, container: str) -> Images:
    """The image members: KEY.jpg, then KEY.0.jpg, KEY.1.jpg, … by number. KEY.seg.png is something else."""
    found: list[tuple[int, tarfile.TarInfo]] = []
    for suffix, member in group.members.items():
        if named := _IMAGE.fullmatch(suffix):
            found.append((int(named["number"] or -1), member))
    found.sort(key=lambda item: (item[0], item[1].offset))
    return tuple(
        ImageAt(path=member.name, container=container, offset=member.offset_data, length=member.size)
        for _, member in found
    )


def _content(handle: IO[bytes], member: tarfile.TarInfo | None) -> bytes | None:
    if member is None:
        return None
    handle.seek(member.offset_data)
    return handle.read(min(member.size, _TEXT_BYTES))


def _check(handle: IO[bytes], file: Path) -> None:
    """Raise ReadError if the file is compressed: no image could be read at its offset."""
    head = handle.read(_BLOCK)
    for magic, name in _COMPRESSED:
        if head.startswith(magic):
            raise ReadError(f"{file} is compressed with {name}; unpack it to a plain .tar first")
    if not head:
        raise ReadError(f"{file} is empty")
