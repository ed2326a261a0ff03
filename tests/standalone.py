"""A standalone Spark cluster on loopback, from the pip package: a master and workers, each a process each."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import psutil
import pyspark

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from pyspark.sql import SparkSession

Found = TypeVar("Found")

HOME = Path(pyspark.__file__).parent
SECONDS = 180  # that a daemon may take to start or to register, on a machine that is busy


@dataclass
class Standalone:
    """A master and two workers while the block lasts; whatever they started ends with it.

    Workers have loopback addresses of their own, as machines have: Spark never runs a speculative copy on the
    host of the original.
    """

    folder: Path  # of logs and of what executors write
    memory: str = "3g"  # of a worker, for JVMs only
    pinned: bool = False  # hold the workers, and what they start, to a core each
    url: str = ""
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)  # by host
    _master: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Standalone:
        try:
            self._master = self._daemon("master", "127.0.0.1", "master.Master", [])
            self.url = await_value(lambda: self._logged("master", r"Starting Spark master at (spark://\S+)"))
            for number in (1, 2):
                self.add_worker(f"127.0.0.{number}")
            for host in self.workers:
                self._await_registered(host)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def add_worker(self, host: str) -> None:
        """Start a worker; it registers within seconds."""
        flags = ["--cores", "2", "--memory", self.memory, "--work-dir", str(self.folder / "work"), self.url]
        self.workers[host] = self._daemon(f"worker-{host}", host, "worker.Worker", flags)

    def _await_registered(self, host: str) -> None:
        await_value(lambda: self._logged(f"worker-{host}", "(Successfully registered with master)"))

    def lose_worker(self, host: str) -> None:
        """Power off: the worker and all that it runs are gone at once and for good."""
        _kill_tree(self.workers.pop(host))

    def host_of(self, pid: int) -> str:
        """The host of the worker that runs process `pid`."""
        above = {parent.pid for parent in psutil.Process(pid).parents()}
        return next(host for host, worker in self.workers.items() if worker.pid in above)

    def stop(self) -> None:
        """End every process."""
        for host in list(self.workers):
            self.lose_worker(host)
        if self._master is not None:
            _kill_tree(self._master)

    def _daemon(self, name: str, host: str, what: str, flags: list[str]) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "SPARK_LOCAL_IP": host, "SPARK_HOME": str(HOME)}
        environment.pop("PYTHONPATH", None)  # executors find our code where an application says
        # The REST port is fixed, and no test submits through it.
        environment["SPARK_DAEMON_JAVA_OPTS"] = "-Dspark.master.rest.enabled=false"
        environment["SPARK_DAEMON_MEMORY"] = "256m"
        ports = ["--host", host, "--port", "0", "--webui-port", "0"]
        command = [str(HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{what}", *ports, *flags]
        if self.pinned and what == "worker.Worker":
            command = ["taskset", "-c", str(len(self.workers)), *command]
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def _logged(self, name: str, pattern: str) -> str | None:
        found = re.search(pattern, (self.folder / f"{name}.log").read_text(errors="replace"))
        return found[1] if found else None


def await_executors(session: SparkSession, n: int) -> None:
    """Return when `session` has `n` executors."""
    tracker = session.sparkContext.statusTracker()
    await_value(lambda: len(tracker.getExecutorInfos()) == n + 1 or None)  # the driver is one of them


def executor_of(pid: int) -> int:
    """The executor's JVM in which the Python worker `pid` works."""
    java: int = next(p.pid for p in psutil.Process(pid).parents() if p.name() == "java")
    return java


def await_value(look: Callable[[], Found | None], seconds: float = SECONDS) -> Found:
    """What `look` finds, as soon as it finds something.

    Raises:
        TimeoutError: it found nothing for `seconds`.
    """
    end = time.monotonic() + seconds
    while (found := look()) is None:
        if time.monotonic() > end:
            raise TimeoutError(f"nothing after {seconds} s")
        time.sleep(0.02)
    return found


def _kill_tree(daemon: subprocess.Popen[bytes]) -> None:
    """SIGKILL for a daemon and everything below it: executors, and Python workers in groups of their own."""
    try:
        below = psutil.Process(daemon.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        below = []
    for process in (daemon, *below):
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    daemon.wait()
