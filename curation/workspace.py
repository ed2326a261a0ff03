"""`Workspace`: a folder with curate.toml and .curate/, and the chain from pool to subset as methods."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.chain import STEPS, chain
from curation.files import Remote, is_url, locate
from curation.lock import writer
from curation.memory import peak_gb
from curation.planner import Planner, State
from curation.progress import Progress, Silent
from curation.remembered import remember
from curation.store import Store
from schemas.config import Config, load, parse_bytes
from schemas.errors import ConfigError, ExportError, WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from curation.files import Location
    from curation.keys import Stage
    from curation.models.resolved import Model

CONFIG = "curate.toml"
FOLDER = ".curate"


@dataclass
class Workspace:
    """A pool and everything computed of it.

        ws = Workspace.init("work", {"mix": "mixture.json"}, images=["."], model="builtin")
        ws.select(budget="30%")
        ws.export("subset", format="hf")

    Args:
        path: the folder that holds curate.toml: a path, or a URL such as s3://bucket/work.
        overrides: settings by dotted name that win over curate.toml, such as {"embed.model": "builtin"}.
        progress: where to say what is going on; nothing by default.
    """

    path: Location | str = "."
    overrides: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress = field(default_factory=Silent)

    def __post_init__(self) -> None:
        self.path = path = locate(self.path)
        if not (path / CONFIG).exists():
            where = path if isinstance(path, Remote) else path.resolve()
            raise WorkspaceError(
                f"there is no {CONFIG} in {where}; start with `curate init DATA --images DIR`, "
                "or change to the folder where you did"
            )

    @classmethod
    def init(
        cls,
        path: Location | str,
        datasets: Mapping[str, str | Path],
        *,
        images: Sequence[str | Path] = (),
        model: str | None = None,
        format: str = "auto",
        progress: Progress | None = None,
    ) -> Workspace:
        """Write curate.toml, or add the datasets to the one that is there, and open the workspace.

        Raises:
            ConfigError: a name is taken, or a path does not exist.
            ReadError: there is no such format.
        """
        from curation.readers import reader
        from curation.setup import write_config

        if format != "auto":
            reader(format)
        write_config(locate(path), datasets, images=images, model=model, format=format)
        return cls(path, progress=progress or Silent())

    # --- the pieces ------------------------------------------------------------------------------------

    @property
    def base(self) -> Location:
        assert not isinstance(self.path, str)
        return self.path

    @cached_property
    def config(self) -> Config:
        """curate.toml with the overrides."""
        config = load(self.base / CONFIG).override(self.overrides)
        if not config.datasets:
            raise ConfigError(f"{CONFIG} names no dataset; add one with `curate init NAME=PATH`")
        return config

    @cached_property
    def store(self) -> Store:
        return Store(self.base / FOLDER)

    @cached_property
    def model(self) -> Model:
        from curation.resolve import resolve_model

        return resolve_model(self.config.embed.model, self.config.run.device, self.store.root, self.progress)

    def _planner(self) -> Planner:
        from curation.engines import engine
        from curation.sources import find_spans

        run = self.config.run
        spans = find_spans(self.config, self.store.root, self.base, self.progress)
        return Planner(self.store, engine(run, self.store), self.progress, spans, parse_share(run.max_errors))

    # --- the chain -------------------------------------------------------------------------------------

    def run(self, until: str = "select") -> dict[str, Any]:
        """Run whatever step `until` still needs, and return its counts.

        Raises:
            CurateError: with one or two sentences that say what to do.
        """
        if until not in STEPS:
            raise ConfigError(f"there is no step {until!r}; there are {', '.join(STEPS)}")
        start = time.monotonic()
        with writer(self.store.root, f"curate {until}"), self.store.snapshot():
            self._greet_endpoint(until)
            if STEPS.index(until) >= STEPS.index("prune"):
                from curation.leaking import prepare

                prepare(self)
            planner = self.compute(chain(self.config, until, lambda: self.model, self.store.root))
            if until == "select":
                remember(self.store, self.config)
        counts = self.counts(until)
        counts["computed"] = planner.computed
        counts["retried"] = dict(planner.engine.retried)
        counts["seconds"] = round(time.monotonic() - start, 2)
        counts["peak_gb"] = peak_gb(self.config.run.workers)
        memory = self.config.run.memory
        if counts["peak_gb"] > parse_bytes(memory) / 1e9:
            self.progress.note(
                f"this took {counts['peak_gb']:.1f} GB, more than --memory {memory}: libraries and model "
                "alone take most of it, so nothing was read ahead"
            )
        return counts

    def compute(self, stages: Sequence[Stage]) -> Planner:
        """Run what of the stages is missing, and return who did. The caller holds the lock."""
        planner = self._planner()
        try:
            planner.run(stages)
        finally:
            planner.engine.close()
        return planner

    def _greet_endpoint(self, until: str) -> None:
        """A wrong key or URL should not show after hours of embedding, but at once."""
        from curation.endpoint.settings import is_asked

        if is_asked(self.config) and STEPS.index(until) >= STEPS.index("score"):
            from curation.endpoint.dialect import resolve_endpoint

            resolve_endpoint(self.config, self.store.root, self.progress)

    def ingest(self) -> dict[str, Any]:
        """Read, check and hash every record and image."""
        return self.run("ingest")

    def embed(self) -> dict[str, Any]:
        """Embed each distinct image and text chunk."""
        return self.run("embed")

    def score(self) -> dict[str, Any]:
        """Score alignment, hygiene, synthetic quality and capabilities."""
        return self.run("score")

    def cluster(self) -> dict[str, Any]:
        """Group the samples into pseudo-skills."""
        return self.run("cluster")

    def prune(self) -> dict[str, Any]:
        """Find exact and near-duplicates."""
        return self.run("prune")

    def decontaminate(self, *against: str, tag: bool | None = None) -> dict[str, Any]:
        """Find the samples that leak a benchmark: see `curation.decontaminate`.

        Args:
            against: `[NAME=]DATA` each, a dataset or a folder of images; else curate.toml's.
            tag: leave the leaks among the candidates.
        """
        from curation.decontaminate import decontaminate

        chosen = {"decontaminate.against": against or None, "decontaminate.tag": tag}
        given = {name: value for name, value in chosen.items() if value is not None}
        return decontaminate(Workspace(self.base, {**self.overrides, **given}, self.progress))

    def select(self, budget: str | None = None, strategy: str | None = None) -> dict[str, Any]:
        """Choose a subset of exactly the budget.

        Args:
            budget: `30%`, `0.3`, `200000` samples, `50Mtok`, `2GB` of images; else curate.toml's.
            strategy: a name of `curation.selection.SELECTORS`, with its argument after a colon.
        """
        chosen = {"select.budget": budget, "select.strategy": strategy}
        given = {name: value for name, value in chosen.items() if value is not None}
        return Workspace(self.base, {**self.overrides, **given}, self.progress).run("select")

    def export(self, out: Path | str, *, format: str = "hf", overwrite: bool = False) -> dict[str, Any]:
        """Write the selected samples to a folder here. See `curation.writers.WRITERS` for the formats.

        Raises:
            ExportError: `out` is a URL, or in use.
        """
        from curation.export import export

        if is_url(str(out)):
            raise ExportError(f"{out} is a URL; export to a folder of this machine, and copy it there")
        return export(self, Path(out), format=format, overwrite=overwrite)

    # --- looking ---------------------------------------------------------------------------------------

    def plan(self, until: str = "select") -> list[State]:
        """How far each stage up to `until` is; computes nothing."""
        with self.store.snapshot():
            return self._planner().states(chain(self.config, until, lambda: self.model, self.store.root))

    def counts(self, until: str) -> dict[str, Any]:
        """The counts of a finished step, as `--json` names them."""
        from curation.summary import counts

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
