"""One writer per workspace: a lock that a killed process cannot leave behind."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from schemas.errors import WorkspaceLocked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def writer(root: Path, command: str) -> Iterator[None]:
    """Hold the workspace at `root` for writing.

    The kernel drops the lock with the process, so SIGKILL leaves none; the file says who holds it.

    Raises:
        WorkspaceLocked: another process holds it; the message names host, pid, command and start.
    """
    root.mkdir(parents=True, exist_ok=True)
    path = root / "lock"
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkspaceLocked(_held(path)) from None
        file.truncate(0)
        holder = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "time": int(time.time()),
            "command": command,
        }
        file.write(json.dumps(holder) + "\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _held(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        since = time.strftime("%H:%M:%S", time.localtime(holder["time"]))
        who = f"process {holder['pid']} on {holder['host']} ({holder['command']}, since {since})"
    except (json.JSONDecodeError, KeyError):
        who = "another process"
    return f"this workspace is in use by {who}; wait until it ends, or stop it: what it has done is kept"
