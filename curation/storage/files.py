"""Where a workspace lies: a local folder, or a URL that fsspec knows (s3, gs, abfs, hdfs, memory, …).

A local place is a plain `pathlib.Path`, and fsspec is not even imported for it. A `Remote` has the few
methods of a Path that the store needs, so that most code does not care which it holds. Nothing here relies on
rename, append or exclusive create on an object store, and no listing is remembered.
"""

from __future__ import annotations

import os
import re
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from schemas.errors import CurateError, WorkspaceError

if TYPE_CHECKING:
    import pyarrow as pa

# A workspace is a folder with these two.
CONFIG_FILE, FOLDER = "curate.toml", ".curate"
# Where one PUT is there whole or not at all. Anywhere else a file is written aside and renamed.
OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"})
# Requests under way at once: each waits for a round trip, not for work.
AHEAD = 16
# Bytes up to which a Parquet file is fetched whole: one request, not one for the footer and one a row group.
WHOLE = 1 << 20
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# Connections of this process: a child that was forked must not go on with its parent's.
_CONNECTED: dict[tuple[int, str], Any] = {}

Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True, order=True)
class Remote:
    """A file or folder behind fsspec. Holds its URL alone, so it travels to other processes."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.rpartition("/")[2]

    @property
    def parent(self) -> Remote:
        """The folder that holds it."""
        return Remote(self.url.rpartition("/")[0])

    def read_bytes(self) -> bytes:
        """Its bytes, by one request."""
        with reached(self) as (system, path):
            # Told where to start, s3fs does not ask for the size first.
            data: bytes = system.cat_file(path, start=0)
        return data

    def read_text(self, encoding: str = "utf-8") -> str:
        """Its bytes as text."""
        return self.read_bytes().decode(encoding)

    def exists(self) -> bool:
        """Is there such a file?"""
        with reached(self) as (system, path):
            return bool(system.exists(path))

    def unlink(self) -> None:
        """Remove the file."""
        with reached(self) as (system, path):
            system.rm_file(path)


Location = Path | Remote


def is_url(text: str) -> bool:
    """Does `text` name a scheme? `file://` counts too."""
    return URL.match(text) is not None


def locate(text: str | Location) -> Location:
    """What a user calls a place, as a Path where it is local, else as a Remote."""
    if isinstance(text, Path | Remote):
        return text
    if text.startswith("file://"):
        return Path(text.removeprefix("file://"))
    return Remote(text.rstrip("/")) if is_url(text) else Path(text)


def put(path: Location, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    if isinstance(path, Remote):
        return _put_remote(path, data)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{_nonce()}.tmp")
    partial.write_bytes(data)
    partial.replace(path)
    return None


def upload(path: Path, to: Remote) -> None:
    """Copy a file of any size to a place behind fsspec."""
    with reached(to) as (system, there):
        system.put_file(str(path), there)


def _nonce() -> str:
    """In no other name: processes of two containers may have one number, and a process has threads."""
    return f"{os.getpid()}-{uuid.uuid4().hex[:12]}"


def names(folder: Location) -> list[str]:
    """The files and folders in `folder` that are not hidden; none where it does not exist."""
    try:
        if isinstance(folder, Remote):
            with reached(folder) as (system, path):
                # An object store may hold an empty object that stands for the folder itself.
                held = {str(name).rstrip("/") for name in system.ls(path, detail=False)} - {path}
                found = [name.rpartition("/")[2] for name in held]
        else:
            found = os.listdir(folder)  # noqa: PTH208  # ten times as fast, and a ledger is long
    except FileNotFoundError:
        return []
    return [name for name in found if not name.startswith(".")]


def walk(folder: Location) -> list[tuple[Location, int]]:
    """Every file below `folder`, hidden ones too, with its size in bytes. One listing on an object store."""
    if isinstance(folder, Remote):
        with reached(folder) as (system, path):
            found = system.find(path, detail=True)
        root = str(path).rstrip("/") + "/"
        return [(folder / name.removeprefix(root), held["size"]) for name, held in sorted(found.items())]
    paths = [Path(parent, name) for parent, _, files in os.walk(folder) for name in sorted(files)]
    return [(path, path.stat().st_size) for path in paths]


def each(call: Callable[[Item], Found], items: Iterable[Item], *, remote: bool) -> Iterator[Found]:
    """`call(item)` for each item, in order; AHEAD at a time where each of them is a request."""
    if not remote:
        yield from map(call, items)
        return
    window: deque[Future[Found]] = deque()
    with ThreadPoolExecutor(AHEAD, thread_name_prefix="fetch") as pool:
        for item in items:
            window.append(pool.submit(call, item))
            if len(window) >= AHEAD:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()


@contextmanager
def opened(path: str) -> Iterator[str | pa.NativeFile]:
    """What pyarrow reads a file at a path or URL from. Of a large remote one it fetches what it needs.

    Raises:
        FileNotFoundError: there is none.
    """
    location = locate(path)
    if isinstance(location, Path):
        yield str(location)
        return
    import pyarrow as pa

    with reached(location) as (system, inside), system.open(inside, "rb", cache_type="none") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if size <= WHOLE:
            yield pa.BufferReader(file.read())
        else:
            with pa.PythonFile(file, mode="r") as source:
                yield source


def _put_remote(path: Remote, data: bytes) -> None:
    with reached(path) as (system, inside):
        try:
            if path.url.partition("://")[0] in OBJECT_STORES:
                system.pipe_file(inside, data)
                return
            folder, _, name = inside.rpartition("/")
            partial = f"{folder}/.{name}.{_nonce()}.tmp"
            system.makedirs(folder, exist_ok=True)
            system.pipe_file(partial, data)
            system.mv(partial, inside)
        except FileNotFoundError as error:
            raise WorkspaceError(f"{path} cannot be written: {error}") from error


@contextmanager
def reached(remote: Remote) -> Iterator[tuple[Any, str]]:
    """The file system of a URL and the path in it. What its client raises becomes a sentence.

    Raises:
        FileNotFoundError: there is no such file.
        WorkspaceError: the store cannot be reached, or refuses.
    """
    try:
        system = _connect(remote.url)
        yield system, system._strip_protocol(remote.url)
    except (FileNotFoundError, CurateError):
        raise
    except ImportError as error:
        raise WorkspaceError(
            f"{remote} needs a package that is not installed: {error} (s3: pip install 'curate[s3]')"
        ) from error
    except Exception as error:  # each store's client has errors of its own, few of them OSErrors
        raise WorkspaceError(f"{remote}: {str(error) or type(error).__name__}") from error


def _connect(url: str) -> Any:
    scheme, _, rest = url.partition("://")
    key = os.getpid(), f"{scheme}://{rest.partition('/')[0]}"
    if key not in _CONNECTED:
        from fsspec.core import url_to_fs

        # Another process may have written since a listing was made.
        _CONNECTED[key], _ = url_to_fs(url, use_listings_cache=False)
    return _CONNECTED[key]
