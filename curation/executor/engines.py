"""Which engine runs the stages: one of these, one that the caller passes in, or one of another package."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from curation.executor.local import LocalEngine
from curation.executor.memory import MemoryLimit
from curation.plugins import offered
from curation.storage.store import Store
from schemas.config import parse_bytes
from schemas.errors import EngineUnavailable
from schemas.settings import Run
from schemas.stages import Engine

EngineOf = Callable[[Run, Store], Engine]

GROUP = "curation.engines"


def local(run: Run, store: Store) -> LocalEngine:
    """This machine alone."""
    return LocalEngine(store, MemoryLimit(parse_bytes(run.memory)), run.workers)


ENGINES: dict[str, EngineOf] = {"local": local}


def engine(run: Run, store: Store, passed: Mapping[str, EngineOf]) -> Engine:
    """The engine that `run` names. Starts nothing yet: no worker, no session.

    Raises:
        EngineUnavailable: there is none of that name.
    """
    known = {**ENGINES, **passed}
    if run.engine in known:  # without a look at what is installed
        return known[run.engine](run, store)
    others = offered(GROUP)
    if run.engine not in others:
        raise EngineUnavailable(
            f"there is no engine {run.engine!r}; there are {', '.join(sorted({*known, *others}))}"
        )
    found: EngineOf = others[run.engine].load()
    return found(run, store)
