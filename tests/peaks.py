"""The most memory that the processes of a run on a standalone cluster had resident, by what they are."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from types import TracebackType

    from tests.standalone import Standalone

SECONDS = 0.5  # between looks
HIGH_WATER = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


@dataclass
class Peaks:
    """Watches the process tree of a driver, and those of the cluster's executors, while the block lasts.

    The system keeps the peak of each process, so that none between two looks is missed.
    """

    driver: int  # the pid at the root of its tree
    cluster: Standalone
    processes: dict[tuple[str, str, int], int] = field(default_factory=dict)  # side, program, pid -> bytes
    together: int = 0  # bytes that the Python processes of one executor had at one moment
    interpreters: set[str] = field(default_factory=set)  # of executors, as they were called
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Peaks:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def most(self, side: str, program: str) -> int:
        """Bytes of the largest process of the `driver` or of an `executor`: `JVM` or `Python`."""
        return max(found for key, found in self.processes.items() if key[:2] == (side, program))

    def _watch(self) -> None:
        while not self._ended.wait(SECONDS):
            self._look("driver", self.driver)
            for worker in list(self.cluster.workers.values()):
                for executor in _below(worker.pid, recursive=False):
                    self.together = max(self.together, self._look("executor", executor))

    def _look(self, side: str, root: int) -> int:
        """Note the peaks of a tree, and return what its Python processes have now."""
        now = 0
        for pid in (root, *_below(root)):
            try:
                process = psutil.Process(pid)
                program = "JVM" if process.name() == "java" else "Python"
                now += process.memory_info().rss if program == "Python" else 0
                peak = HIGH_WATER.search(Path(f"/proc/{pid}/status").read_text())
                if side == "executor" and "pyspark.daemon" in process.cmdline():
                    self.interpreters.add(process.cmdline()[0])
            except (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
                continue  # it has ended
            if peak is not None:  # a zombie has none
                self.processes[side, program, pid] = int(peak[1]) * 1024
        return now


def _below(pid: int, *, recursive: bool = True) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=recursive)]
    except psutil.NoSuchProcess:
        return []
