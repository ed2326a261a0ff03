"""A workspace as commands see it: its settings, its tables, and running the chain as far as asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from curation.endpoint.address import is_asked
from curation.endpoint.dialect import resolve_endpoint
from curation.executor.engines import EngineOf, engine
from curation.executor.memory import peak_gb
from curation.executor.planner import Planner, State
from curation.models.resolve import resolve_model
from curation.models.resolved import Model
from curation.models.vlm import demand_vlm
from curation.pipeline.config_file import write_config
from curation.pipeline.counts import counts
from curation.pipeline.rates import expected
from curation.pipeline.remembered import remember
from curation.progress import Silent
from curation.readers.sources import find_spans, resolved
from curation.steps.chain import chain, may_score, steps_of
from curation.steps.context import Context
from curation.steps.decontaminate.stages import BENCHMARKS, benchmark_paths, needed
from curation.storage.files import CONFIG_FILE, FOLDER, Location, Remote, locate
from curation.storage.lock import locked
from curation.storage.store import Store
from schemas.config import Config, load, parse_bytes
from schemas.errors import ConfigError, ReadError, TooManyErrors, no_workspace
from schemas.protocols import Ahead, Progress
from schemas.stages import STEPS, Stage

Own = TypeVar("Own", bound="Pipeline")

# Settings that decide what a vector or a hash is: those of a benchmark are the pool's.
SHARED = ("images", "read", "run", "embed")


@dataclass
class Pipeline:
    """The folder with curate.toml and .curate/, and whatever is computed there.

    Args:
        path: the folder that holds curate.toml: a path, or a URL such as s3://bucket/work.
        overrides: settings by dotted name that win over curate.toml, such as {"embed.model": "builtin"}.
        progress: where to say what is going on; nothing by default.
        engines: further engines by name, beside those that are built in or installed.
    """

    path: Location | str = "."
    overrides: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress = field(default_factory=Silent)
    engines: Mapping[str, EngineOf] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.path = path = locate(self.path)
        if not (path / CONFIG_FILE).exists():
            where = path if isinstance(path, Remote) else path.resolve()
            raise no_workspace(where)

    @property
    def base(self) -> Location:
        """The folder of curate.toml."""
        assert not isinstance(self.path, str)
        return self.path

    @cached_property
    def config(self) -> Config:
        """curate.toml with the overrides."""
        config = load(self.base / CONFIG_FILE).override(self.overrides)
        if not config.datasets:
            raise ConfigError(f"{CONFIG_FILE} names no dataset; add one with `curate init NAME=PATH`")
        return config

    @cached_property
    def store(self) -> Store:
        return Store(self.base / FOLDER)

    @cached_property
    def model(self) -> Model:
        """The encoder of the settings, resolved once."""
        return resolve_model(self.config.embed.model, self.config.run.device, self.store.root, self.progress)

    @property
    def context(self) -> Context:
        """What the stages of the chain follow from."""
        return Context(self.config, lambda: self.model, self.store.root)

    def with_settings(self: Own, settings: Mapping[str, Any]) -> Own:
        """The same with further overrides by dotted name; None leaves a key as it is."""
        given = {name: value for name, value in settings.items() if value is not None}
        return replace(self, overrides={**self.overrides, **given})

    def planner(self) -> Planner:
        """What walks a chain of stages over the pool as it is."""
        run = self.config.run
        spans = find_spans(self.config, self.store.root, self.base, self.progress)
        chosen = engine(run, self.store, self.engines)
        return Planner(self.store, chosen, self.progress, spans, parse_share(run.max_errors))

    def run(self, until: str = "select") -> dict[str, Any]:
        """Run whatever step `until` still needs, and return its counts.

        Raises:
            CurateError: with one or two sentences that say what to do.
        """
        if until not in STEPS:
            raise ConfigError(f"there is no step {until!r}; there are {', '.join(STEPS)}")
        start = time.monotonic()
        with locked(self.store.root, f"curate {until}"), self.store.snapshot():
            if is_asked(self.config) and may_score(self.config, until):
                # A wrong key or URL should not show after hours of embedding, but at once.
                resolve_endpoint(self.config, self.store.root, self.progress)
            vlm = self.config.vlm.model
            if vlm is not None and may_score(self.config, until) and self.store.find("grounding") is None:
                demand_vlm(vlm)
            if STEPS.index(until) >= STEPS.index("prune"):
                self.compute_benchmarks()
            planner = self.compute(chain(self.context, until))
            if until == "select":
                remember(self.store, self.config)
        found = self.counts(until)
        found["computed"] = planner.computed
        found["retried"] = dict(planner.engine.retried)
        found["seconds"] = round(time.monotonic() - start, 2)
        found["peak_gb"] = peak_gb(self.config.run.workers)
        memory = self.config.run.memory
        if found["peak_gb"] > parse_bytes(memory) / 1e9:
            self.progress.note(
                f"this took {found['peak_gb']:.1f} GB, more than --memory {memory}: libraries and model "
                "alone take most of it, so nothing was read ahead"
            )
        return found

    def compute(self, stages: Sequence[Stage]) -> Planner:
        """Run what of the stages is missing, and return who did. The caller holds the lock."""
        planner = self.planner()
        try:
            with self.progress.course(lambda: self._ahead(planner, stages)):
                planner.run(stages)
        finally:
            planner.engine.close()
        return planner

    def _ahead(self, planner: Planner, stages: Sequence[Stage]) -> list[Ahead]:
        """Those of the stages that have something to do."""
        states = planner.states(stages)
        n_samples = sum(found.value.span.n_records for found in planner.spans)
        # Whose model the log is about is not asked: that may load one.
        found = expected(states, self.store, self.config.embed.model, n_samples, same_model=True)
        steps = steps_of(stages)
        return [
            Ahead(stage.stage, steps[stage.stage], stage.seconds) for stage in found if stage.state != "fresh"
        ]

    def compute_benchmarks(self) -> None:
        """Read every benchmark that the settings name, and embed it where that is compared, if not yet done.

        Each is a workspace of its own in the pool's folder, with the pool's encoder and limits. So it is
        computed once, resumed where it was stopped, and looked at like any other.

        Raises:
            CurateError: one does not exist, is of no known format, or holds no good record.
        """
        tree = self.config.model_dump()
        shared = {f"{section}.{key}": value for section in SHARED for key, value in tree[section].items()}
        shared["run.engine"] = "local"  # a benchmark is small, and vectors are the same on every engine
        images = [resolved(self.base, root) for root in self.config.decontaminate.images]
        for name, path in benchmark_paths(self.config, self.base).items():
            folder = self.store.root / BENCHMARKS / name
            write_config(folder, {name: path}, images=images, anew=True)
            try:
                Pipeline(folder, shared, self.progress).run(needed(self.config))
            except (ReadError, TooManyErrors) as error:
                sentence = str(error).replace("`curate status", f"`curate -C {folder} status")
                raise type(error)(f"benchmark {name}: {sentence}") from None

    def states(self, until: str = "select") -> list[State]:
        """How far each stage up to `until` is; computes nothing."""
        with self.store.snapshot():
            return self.planner().states(chain(self.context, until))

    def counts(self, until: str) -> dict[str, Any]:
        """The counts of a finished step, as `--json` names them."""
        with self.store.snapshot():
            return counts(self.store, self.config, until)


def parse_share(text: str) -> float:
    """`--max-errors`: `5%` or `0.05` is a share below 1; `100` is a count.

    Raises:
        ConfigError: it is neither.
    """
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise ConfigError(
            f"max_errors is {text!r}; write a share such as 5% or a count such as 100"
        ) from None
    if value < 0:
        raise ConfigError(f"max_errors is {text!r}; it cannot be negative")
    # 100 % is "never stop", which as a number would read as one record.
    return float(sys.maxsize) if text.endswith("%") and value >= 1 else value
