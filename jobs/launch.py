"""Runs spark-submit: its output and exit code are ours, and Ctrl-C stops it with all that it started."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from schemas.errors import EngineUnavailable

# What is sent to stop it, and how many seconds that gets.
STEPS_TO_STOP = ((signal.SIGINT, 15.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


def spark_submit() -> Path:
    """`spark-submit` of SPARK_HOME, else that of the installed pyspark.

    Raises:
        EngineUnavailable: neither has one.
    """
    home = os.environ.get("SPARK_HOME")
    if home is None:
        spec = find_spec("pyspark")
        home = str(Path(spec.origin).parent) if spec and spec.origin else None
    if home is None:
        raise EngineUnavailable("there is no Spark here: set SPARK_HOME, or `pip install pyspark`")
    found = Path(home) / "bin" / "spark-submit"
    if not found.is_file():
        raise EngineUnavailable(f"there is no {found}; SPARK_HOME must be the folder of a Spark distribution")
    return found


def run(command: Sequence[str]) -> int:
    """Run `command` to its end, and return its exit code.

    Raises:
        KeyboardInterrupt: Ctrl-C, SIGTERM or SIGHUP; everything that it had started is gone.
    """
    # The driver opens our stderr anew (jobs/app.py): in a file both must append, or one overwrites the other.
    fcntl.fcntl(2, fcntl.F_SETFL, fcntl.fcntl(2, fcntl.F_GETFL) | os.O_APPEND)
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    # A session of its own: Ctrl-C reaches us alone, and we pass it on to the whole group.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return child.wait()
    except KeyboardInterrupt:
        _stop(child)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _stop(child: subprocess.Popen[bytes]) -> None:
    for number, seconds in STEPS_TO_STOP:
        _signal(child, number)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not _signal(child, 0):
                return
            time.sleep(0.1)


def _signal(child: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to the group of `child` (0 only asks). False when nobody is left in it."""
    child.poll()  # reap it, or it counts as one who is left
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return False
    return True
