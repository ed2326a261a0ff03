"""What spark-submit runs: the command line, in the driver that Spark has started.

A script, so that Python puts this very folder on its path, where modules have names of the steps; and Spark's
launcher joins its stderr with its stdout. Both are put right before anything else is imported.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

UNPACKED = "curate_src"  # as jobs.pack has it, which cannot be imported yet


def find_packages() -> None:
    """Replace this script's folder on the path by the one that holds the five packages, if there is one.

    Beside this file where it was submitted from; in the archive where a node runs the driver; nowhere where
    an image has them installed.
    """
    beside, unpacked = Path(__file__).resolve().parents[1], Path.cwd() / UNPACKED
    homes = [home for home in (beside, unpacked) if (home / "jobs" / "cli.py").is_file()]
    sys.path[:1] = [str(home) for home in homes[:1]]


def own_stderr() -> None:
    """Write stderr to that of the launcher, which otherwise prints it on its stdout, among the results."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        return
    try:
        launchers = os.open(f"/proc/{os.getppid()}/fd/2", os.O_WRONLY | os.O_APPEND)
    except OSError:
        return  # a socket, or another user's: stays as Spark has it
    os.dup2(launchers, 2)
    os.close(launchers)


if __name__ == "__main__":
    find_packages()
    own_stderr()
    from jobs.cli import main

    main()
