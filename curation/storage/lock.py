"""One writer per workspace: a lock that a killed process cannot leave behind."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curation.storage.files import Location, Remote, put
from curation.storage.journal import flush
from schemas.errors import WorkspaceError, WorkspaceLocked

LOG = logging.getLogger(__name__)
# On an object store: how often the holder says that it is alive, and when others believe that it is not.
# Clocks of hosts may differ by what lies between the two.
BEAT = 15.0
STALE = 60.0
# Seconds at least between writing a remote lock and believing in it.
SETTLE = 0.05


@contextmanager
def locked(root: Location, command: str) -> Iterator[None]:
    """Hold the workspace at `root` for writing.

    Raises:
        WorkspaceLocked: another process holds it; the message names host, pid, command and start.
    """
    if isinstance(root, Remote):
        with _remote(root / "lock", command):
            try:
                yield
            finally:
                _flush(root)
    else:
        with _local(root, command):
            yield


@contextmanager
def _local(root: Path, command: str) -> Iterator[None]:
    """The kernel drops the lock with the process, so SIGKILL leaves none; the file says who holds it."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / "lock"
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkspaceLocked(_held(_read(path))) from None
        file.truncate(0)
        file.write(json.dumps(_holder(command)) + "\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


@contextmanager
def _remote(path: Remote, command: str) -> Iterator[None]:
    """A lock that goes stale: with its process on this machine, else a minute after its last sign of life.

    Of two that write it at once the later one wins. Both wait for longer than it takes to look and write, and
    look again, so the earlier one finds out. Should two hold it all the same (a machine that slept for a
    minute), shards are named by their bytes, so neither harms the other.
    """
    start = time.monotonic()
    held = _read(path)
    if held is not None and not _is_stale(held):
        raise WorkspaceLocked(_held(held))
    mine = {**_holder(command), "machine": _machine(), "token": uuid.uuid4().hex}
    _beat(path, mine)
    time.sleep(max(SETTLE, 2 * (time.monotonic() - start)))
    held = _read(path)
    if held is None or held.get("token") != mine["token"]:
        raise WorkspaceLocked(_held(held))
    ended = threading.Event()
    heart = threading.Thread(target=_beat_until, args=(ended, path, mine), name="lock", daemon=True)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()
        _release(path, mine)


def _beat(path: Remote, mine: dict[str, Any]) -> None:
    put(path, (json.dumps({**mine, "heartbeat": time.time()}) + "\n").encode())


def _beat_until(ended: threading.Event, path: Remote, mine: dict[str, Any]) -> None:
    while not ended.wait(BEAT):
        try:
            held = _read(path)
            if held is not None and held.get("token") != mine["token"]:
                LOG.warning("%s; it took this one for dead", _held(held))
                return
            _beat(path, mine)
        except WorkspaceError as error:
            LOG.warning("the lock could not be refreshed: %s", error)


def _release(path: Remote, mine: dict[str, Any]) -> None:
    try:
        held = _read(path)
        if held is not None and held.get("token") == mine["token"]:
            path.unlink()
    except (WorkspaceError, FileNotFoundError) as error:
        LOG.warning("the lock could not be removed; it goes stale in a minute: %s", error)


def _flush(root: Remote) -> None:
    try:
        flush(root)
    except WorkspaceError as error:
        LOG.warning("the last lines of the log are lost: %s", error)


def _is_stale(held: dict[str, Any]) -> bool:
    if held.get("machine") == _machine() and not _is_alive(held.get("pid")):
        return True
    beat = held.get("heartbeat")
    return not isinstance(beat, int | float) or time.time() - beat > STALE


def _is_alive(pid: object) -> bool:
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _machine() -> str:
    """What process numbers are about: this boot of this machine, and the namespace of its processes.

    Containers may share a host name, and have processes of the same numbers all the same.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return socket.gethostname()


def _holder(command: str) -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "time": int(time.time()), "command": command}


def _read(path: Location) -> dict[str, Any] | None:
    """Who holds the lock; None where nobody does. A damaged one is held by nobody known."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _held(holder: dict[str, Any] | None) -> str:
    holder = holder or {}
    try:
        since = time.strftime("%H:%M:%S", time.localtime(holder["time"]))
        who = f"process {holder['pid']} on {holder['host']} ({holder['command']}, since {since})"
    except KeyError:
        who = "another process"
    return f"this workspace is in use by {who}; wait until it ends, or stop it: what it has done is kept"
