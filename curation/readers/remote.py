"""Data at a URL that fsspec knows: its files are copied into the workspace once, and read there.

Every reader, those of other packages too, then reads files of this machine. A file is copied anew where its
size, time or tag at the URL is another one.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from curation.readers.inputs import Inputs, expanded
from curation.storage.files import FOLDER, Location, Remote, each, put, reached
from schemas.errors import ReadError
from schemas.protocols import Bar, Progress

_COPIES = "inputs"
# What file systems call that by which a changed file is told; others of their facts change with each look.
_TELLING = frozenset(
    {
        *("size", "etag", "mtime", "lastmodified", "last_modified", "last-modified", "created", "generation"),
        *("blob_id", "content-md5", "digest"),
    }
)
_PATTERN = re.compile(r"[*\[{]")  # a ? begins the query of a URL


@dataclass(frozen=True)
class _File:
    """A file behind fsspec."""

    at: str  # path in its file system
    name: str  # below the folder that was asked for
    size: int  # bytes; 0 where that is not known
    mark: str  # another one when the file has changed


def copies(base: Location) -> Path:
    """Where copies lie: in a workspace in the folder `base`; for one at a URL, in the user's cache."""
    if isinstance(base, Path):
        return base.resolve() / FOLDER / _COPIES
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "curate" / _COPIES


def inputs_at(url: str, into: Path, progress: Progress) -> Inputs:
    """What `url` stands for, a file, a folder or a pattern, as copies in a folder of its own below `into`.

    Raises:
        ReadError: nothing is there, or there is no room for it.
        WorkspaceError: the store cannot be reached, or refuses.
    """
    place = Remote(url.rstrip("/"))
    folder = into / hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
    whole = not _PATTERN.search(url) and _is_folder(place)
    files = _below(place) if whole else _matching(url)
    _remove_others(folder, {file.name for file in files})
    missing = [file for file in files if not _is_here(folder, file)]
    _check_room(url, folder, sum(file.size for file in missing))
    if missing:
        with progress.bar(f"copy {url}", sum(file.size for file in missing), "bytes") as bar:
            for _ in each(partial(_copy, place, folder, bar), missing, remote=True):
                pass
    if whole:
        return Inputs(folder, (folder,))
    return Inputs(folder, tuple(folder / file.name for file in files), origin=_folder_of(url))


def _is_folder(place: Remote) -> bool:
    try:
        with reached(place) as (system, path):
            return bool(system.info(path)["type"] == "directory")
    except FileNotFoundError:
        raise ReadError(f"{place} does not exist") from None


def _below(place: Remote) -> list[_File]:
    with reached(place) as (system, path):
        found = system.find(path, detail=True)
    root = str(path).rstrip("/") + "/"
    files = [_file(at, at.removeprefix(root), facts) for at, facts in sorted(found.items())]
    return [file for file in files if not _is_hidden(file.name)]


def _matching(url: str) -> list[_File]:
    """The files that a URL names, in the order of its braces, each pattern's sorted."""
    files: dict[str, _File] = {}
    for each_url in expanded(url):
        with reached(Remote(each_url)) as (system, path):
            if _PATTERN.search(each_url):
                found = system.glob(path, detail=True)
            else:
                found = {path: system.info(path)} if system.exists(path) else {}
            root = str(system._strip_protocol(_folder_of(url))).rstrip("/") + "/"
        found = {at: facts for at, facts in found.items() if facts["type"] != "directory"}
        if not found:
            raise ReadError(f"{url} stands for {each_url}, and there is no such file")
        names = {at: at.removeprefix(root).partition("?")[0] for at in found}
        files |= {at: _file(at, names[at], found[at]) for at in sorted(found)}
    return list(files.values())


def _file(at: str, name: str, facts: dict[str, Any]) -> _File:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise ReadError(f"{at} cannot be copied: its name leads elsewhere; rename it")
    told = sorted((key, str(value)) for key, value in facts.items() if key.lower() in _TELLING)
    return _File(at, name, int(facts.get("size") or 0), hashlib.blake2b(repr(told).encode()).hexdigest()[:32])


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def _folder_of(url: str) -> str:
    """The folder before the first part of a URL that is a pattern, or the file's."""
    scheme, _, rest = url.partition("://")
    fixed = rest[: found.start()] if (found := _PATTERN.search(rest)) else rest.partition("?")[0]
    return f"{scheme}://{fixed.rpartition('/')[0]}"


def _mark_of(copy: Path) -> Path:
    return copy.with_name(f".{copy.name}.mark")


def _is_here(folder: Path, file: _File) -> bool:
    copy = folder / file.name
    return copy.is_file() and _mark_of(copy).is_file() and _mark_of(copy).read_text("utf-8") == file.mark


def _copy(place: Remote, folder: Path, bar: Bar, file: _File) -> None:
    copy = folder / file.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    partial_copy = copy.with_name(f".{copy.name}.{uuid.uuid4().hex[:12]}.part")
    _mark_of(copy).unlink(missing_ok=True)
    with reached(place) as (system, _):
        system.get_file(file.at, str(partial_copy))
    # The time is part of what follows from the file: the same again where a copy is lost and made anew.
    changed = int(file.mark[:12], 16)
    os.utime(partial_copy, ns=(changed, changed))
    partial_copy.replace(copy)
    put(_mark_of(copy), file.mark.encode())
    bar.advance(file.size)


def _remove_others(folder: Path, names: set[str]) -> None:
    """Remove copies of what is at the URL no more, and what a run that was stopped left."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        name = path.relative_to(folder).as_posix()
        of = path.with_name(path.name[1:].removesuffix(".mark")) if path.name.endswith(".mark") else path
        if path.is_file() and name not in names and of.relative_to(folder).as_posix() not in names:
            path.unlink()


def _check_room(url: str, folder: Path, size: int) -> None:
    there = next(parent for parent in folder.parents if parent.is_dir())
    free = shutil.disk_usage(there).free
    if size > free:
        raise ReadError(
            f"{url} has {size / 1e9:.1f} GB to copy, and {there} has room for {free / 1e9:.1f}; "
            "make room, or name less by a pattern"
        )
