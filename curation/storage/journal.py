"""What was computed and when, a line of JSON an event. Estimates read it; nothing is decided by it.

A local workspace has one file that every process appends to. An object store cannot append: there each
process writes objects of its own, some seconds of events in each. Who holds the lock writes the rest at its
end; a worker, and whoever is killed, takes its last seconds along.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from curation.storage.files import Location, Remote, each, names, put

# Seconds of events that wait in memory for the next object.
WAIT = 5.0
# Objects that are read back, the newest: a large run leaves one for every few shards.
NEWEST = 500


def note(root: Location, event: str, details: dict[str, Any]) -> None:
    """Add one event to the log of the workspace at `root`."""
    line = json.dumps({"time": round(time.time(), 3), "pid": os.getpid(), "event": event, **details}) + "\n"
    if isinstance(root, Remote):
        _journal(root).add(line)
        return
    root.mkdir(parents=True, exist_ok=True)
    with (root / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(line)


def flush(root: Location) -> None:
    """Write what waits in this process."""
    if isinstance(root, Remote):
        _journal(root).flush()


def entries(root: Location) -> Iterator[dict[str, Any]]:
    """The events, those of one process in order; of an object store the newest."""
    for line in _lines(root):
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue  # the line that a killed process did not finish


def _lines(root: Location) -> Iterator[str]:
    if isinstance(root, Remote):
        paths = [root / "log" / name for name in sorted(names(root / "log"))[-NEWEST:]]
        for text in each(Remote.read_text, paths, remote=True):
            yield from text.splitlines()
        return
    path = root / "log.jsonl"
    if path.exists():
        with path.open(encoding="utf-8") as file:
            yield from file


@dataclass
class _Journal:
    """The events of this process on one object store."""

    folder: Remote
    name: str = field(default_factory=lambda: f"{time.time():.3f}-{socket.gethostname()}-{os.getpid()}")
    lines: list[str] = field(default_factory=list)
    written: int = 0
    last: float = -WAIT
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, line: str) -> None:
        with self.lock:
            self.lines.append(line)
        if time.monotonic() - self.last >= WAIT:
            self.flush()

    def flush(self) -> None:
        with self.lock:
            lines, self.lines = self.lines, []
            number, self.last = self.written, time.monotonic()
            self.written += 1 if lines else 0
        if lines:
            put(self.folder / f"{self.name}-{number:05d}.jsonl", "".join(lines).encode())


_JOURNALS: dict[tuple[int, Remote], _Journal] = {}


def _journal(root: Remote) -> _Journal:
    return _JOURNALS.setdefault((os.getpid(), root), _Journal(root / "log"))
