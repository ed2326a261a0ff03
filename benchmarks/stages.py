"""Stages on a stored pool, timed one by one, in a process of their own so that its memory is theirs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from curation.executor.local import LocalEngine
from curation.executor.memory import MemoryLimit, peak_gb
from curation.executor.planner import Planner
from curation.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from curation.storage.store import Store
    from schemas.stages import Stage

MEMORY = 4 * 10**9


def figures_of(store: Store, stages: Sequence[Stage]) -> dict[str, float]:
    """Seconds of each stage and of all, and the memory of this process at most."""
    planner = Planner(store, LocalEngine(store, MemoryLimit(MEMORY)), Silent(), [], 1.0)
    figures: dict[str, float] = {}
    for stage in stages:
        before = time.perf_counter()
        planner.run([stage])
        figures[f"{stage.name}_seconds"] = time.perf_counter() - before
    return {**figures, "seconds": sum(figures.values()), "peak_gb": peak_gb(1)}


def in_own_process(
    module: str, options: Mapping[str, object], environment: Mapping[str, str] | None = None
) -> dict[str, float]:
    """What a benchmark prints as JSON when it is started again with these options.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", module, *flags]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found
