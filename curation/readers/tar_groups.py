"""The members of a tar that are one sample: those that share a key, and lie together."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from curation.readers.compressed import damage
from curation.readers.listing import IMAGE_SUFFIXES, legible

BLOCK = tarfile.BLOCKSIZE
IMAGES = tuple(suffix.removeprefix(".") for suffix in IMAGE_SUFFIXES)
CAPTIONS = ("txt", "caption", "text", "cap")
_NAME = re.compile(r"(?:\./)*(?P<stem>(?:.*/)?[^./][^/]*)\.(?P<end>[^./]+)", re.DOTALL)
_PART = re.compile(r"\d+|[A-Za-z_][A-Za-z0-9_-]*")
_MOST_PARTS = 1000
_NAMES = (*tarfile.GNU_TYPES[:2], tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_NAME_BYTES = 1 << 20


class _Header(tarfile.TarInfo):
    """A header of a name in a reasonable length: tarfile reads it whole, and packed zeros cost nothing."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _NAMES and self.size > _NAME_BYTES:
            raise tarfile.ReadError(f"a name of {self.size} bytes")
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return member


@dataclass
class Group:
    """The members of one key: [begin, end) in the tar, headers included."""

    key: str
    begin: int
    end: int = 0
    members: dict[str, tarfile.TarInfo] = field(
        default_factory=dict
    )  # by what follows the key, in lower case
    damage: str | None = None
    twice: str | None = None  # a member whose suffix another has


@dataclass
class _Stem:
    """Neighbours whose names are equal up to their last dot."""

    stem: str
    begin: int
    end: int = 0
    members: list[tuple[str, tarfile.TarInfo]] = field(default_factory=list)  # behind the last dot
    damage: str | None = None

    def has(self, ends: tuple[str, ...]) -> bool:
        return any(end.lower() in ends for end, _ in self.members)

    def is_text(self) -> bool:
        return self.has(("json", *CAPTIONS))

    def is_whole(self) -> bool:
        return self.is_text() and self.has(IMAGES)

    def is_under(self, stem: str) -> bool:
        return self.stem.startswith(f"{stem}.")


def groups(handle: IO[bytes], begin: int, end: int) -> Iterator[Group]:
    """The samples whose headers lie in [begin, end), in order; what is damaged is the last one.

    A key ends before the last dot of a name, so that keys may have dots. `a.0.png`, `a.1.png` and `a.seg.png`
    are parts of a neighbour `a`, if they are not samples themselves: an image with a text of its own.
    """
    held: list[_Stem] = []
    for found in _stems(handle, begin, end):
        if isinstance(found, Group):
            yield from _settled(held)
            yield found
            return
        if held and not _joins(held, found):
            yield from _settled(held)
            held = []
        held.append(found)
    yield from _settled(held)


def _joins(held: list[_Stem], new: _Stem) -> bool:
    """Is `new` of the same sample as `held`?"""
    base = _base(held)
    if base is not None:
        return new.is_under(base) and not new.is_whole()
    if held[0].is_under(new.stem):  # and so are all others that are held, as none of them is its base
        return all(part.is_under(new.stem) and not part.is_whole() for part in held)
    if len(held) >= _MOST_PARTS or any(part.is_text() for part in (*held, new)):
        return False
    (parent, dot, name), (other, _, again) = held[0].stem.rpartition("."), new.stem.rpartition(".")
    return bool(dot and parent == other and _PART.fullmatch(name) and _PART.fullmatch(again))


def _base(held: list[_Stem]) -> str | None:
    """The stem that is the key of all; None where only parts of one are held, which it may follow."""
    shortest = min((part.stem for part in held), key=len)
    if len(held) > 1:
        return shortest if all(part.stem == shortest or part.is_under(shortest) for part in held) else None
    is_part = "." in shortest.rpartition("/")[2] and not held[0].is_whole()
    return None if is_part else shortest


def _settled(held: list[_Stem]) -> Iterator[Group]:
    """The sample of what is held; or several, where it was parts of a sample that never came."""
    base = _base(held) if len(held) > 1 else None
    if len(held) > 1 and base is None:
        for part in held:
            yield _group([part], part.stem)
    elif held:
        yield _group(held, base or held[0].stem)


def _group(parts: list[_Stem], key: str) -> Group:
    group = Group(key, parts[0].begin, parts[-1].end, damage=parts[-1].damage)
    for part in parts:
        for end, member in part.members:
            suffix = f"{part.stem}.{end}"[len(key) + 1 :].lower()
            if suffix in group.members:
                group.twice = member.name
            group.members.setdefault(suffix, member)
    return group


def _stems(handle: IO[bytes], begin: int, end: int) -> Iterator[_Stem | Group]:
    current: _Stem | None = None
    for member in _members(handle, begin, end):
        if isinstance(member, Group):
            if current:
                yield current
            yield member
            return
        member.name = legible(member.name)
        named = _NAME.fullmatch(member.name) if member.isreg() else None
        if named is None:
            continue
        if current is None or current.stem != named["stem"]:
            if current:
                yield current
            current = _Stem(named["stem"], member.offset)
        current.members.append((named["end"], member))
        current.end = min(member.offset_data + -(-member.size // BLOCK) * BLOCK, end)
        if member.offset_data + member.size > end:
            missing = member.offset_data + member.size - end
            why = damage(handle) or "the tar is truncated"
            current.damage = f"{why}: {missing} of {member.size} bytes of {member.name!r} are missing"
            yield current
            return
    if current:
        yield current


def _members(handle: IO[bytes], begin: int, end: int) -> Iterator[tarfile.TarInfo | Group]:
    """The members whose header lies in [begin, end); a Group instead where a header is damaged."""
    while begin < end:
        handle.seek(begin)
        try:
            with tarfile.open(fileobj=handle, mode="r:", tarinfo=_Header) as archive:
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
            return begin + content // BLOCK * BLOCK
        begin += len(chunk)
    return end


def _is_blank(handle: IO[bytes], begin: int, end: int) -> bool:
    return _after_zeros(handle, begin, end) >= end
