"""Which engine runs the stages. The one place where `curation` looks up to `jobs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curation.local import LocalEngine
from curation.memory import Limit
from schemas.config import parse_bytes

if TYPE_CHECKING:
    from curation.store import Store
    from schemas.config import Run
    from schemas.protocols import Engine


def engine(run: Run, store: Store) -> Engine:
    """The engine that `run` names. Starts nothing yet: no worker, no session."""
    memory = Limit(parse_bytes(run.memory))
    if run.engine == "spark":
        from jobs.spark import SparkEngine

        return SparkEngine(store, memory, run.master, run.spark_conf, run.partitions)
    return LocalEngine(store, memory, run.workers)
