"""`Workspace`: a pool, and every verb of the command line as a method that returns plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.commands import frames
from curation.commands.annotate import annotate
from curation.commands.clusters import clusters
from curation.commands.compare import compare
from curation.commands.decontaminate import decontaminate
from curation.commands.demo import run_demo
from curation.commands.endpoint_estimate import of_sample
from curation.commands.explain import explain
from curation.commands.export import Asked, export
from curation.commands.filters import filters
from curation.commands.groups import groups
from curation.commands.mix import mix
from curation.commands.plan import estimate
from curation.commands.proof import proof
from curation.commands.status import bad_records, status
from curation.commands.tables import tables, write_table
from curation.commands.train_scorer import train_scorer
from curation.commands.verify import collect_garbage, verify
from curation.models.catalogue import catalogue
from curation.pipeline.config_file import write_config
from curation.pipeline.pipeline import Pipeline
from curation.progress import Silent
from curation.storage.files import Location, locate
from curation.storage.lock import locked
from schemas.protocols import Progress

if TYPE_CHECKING:
    import polars as pl


class Workspace(Pipeline):
    """A pool and everything computed of it.

        ws = Workspace.init("work", {"mix": "mixture.json"}, images=["."], model="builtin")
        ws.select(budget="30%")
        ws.export("subset", format="hf")

    What it is made with stands at `Pipeline`.
    """

    @classmethod
    def init(
        cls,
        path: Location | str,
        datasets: Mapping[str, str | Path],
        *,
        images: Sequence[str | Path] = (),
        model: str | None = None,
        format: str = "auto",
        image_key: str | None = None,
        text_key: str | None = None,
        progress: Progress | None = None,
    ) -> Workspace:
        """Write curate.toml, or add the datasets to the one that is there, and open the workspace.

        Raises:
            ConfigError: a name is taken, or a path does not exist.
            ReadError: there is no such format.
        """
        write_config(
            locate(path),
            datasets,
            images=images,
            model=model,
            format=format,
            image_key=image_key,
            text_key=text_key,
        )
        return cls(path, progress=progress or Silent())

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

    def select(self, budget: str | None = None, strategy: str | None = None) -> dict[str, Any]:
        """Choose a subset of exactly the budget.

        Args:
            budget: `30%`, `0.3`, `200000` samples, `50Mtok`, `2GB` of images; else curate.toml's.
            strategy: a name of `curation.selectors.SELECTORS`, with its argument after a colon.
        """
        return self.with_settings({"select.budget": budget, "select.strategy": strategy}).run("select")

    def export(
        self, out: Path | str, *, overwrite: bool = False, push: str | None = None, **asked: Any
    ) -> dict[str, Any]:
        """Write the selected samples to a folder: see `curation.commands.export`.

        Args:
            out: a new folder, or a URL.
            overwrite: replace an earlier export.
            push: a dataset of the Hub that gets the folder as well.
            asked: `format`, `images`, `scores`, `raw`, `shuffle`, `split`, `license` of `Asked`.
        """
        return export(self, out, Asked(**asked), overwrite=overwrite, push=push)

    def proof(
        self,
        *strategies: str,
        n_seeds: int = 8,
        students: Sequence[str] = ("ridge",),
        views: Sequence[str] = ("encoder",),
    ) -> dict[str, Any]:
        """Whether selections train better than chance: see `curation.commands.proof`.

        Args:
            strategies: `STRATEGY` or `STRATEGY+MIX`; by default that of the settings.
            n_seeds: of each selection.
            students: `ridge`, `mlp`.
            views: `encoder`, `plain`.
        """
        return proof(self, strategies, n_seeds=n_seeds, students=students, views=views)

    def search_mix(
        self,
        *,
        n: int = 16,
        n_seeds: int = 8,
        targets: Sequence[str] = (),
        out: Path | str | None = None,
    ) -> dict[str, Any]:
        """Shares of the sources that train best: see `curation.commands.mix`."""
        return mix(self, n=n, n_seeds=n_seeds, targets=targets, out=out)

    def tables(self) -> dict[str, Any]:
        """Rows and columns of every table: see `curation.commands.tables`."""
        return tables(self.store)

    def write_table(self, name: str, out: Path | str) -> dict[str, Any]:
        """Write a table as Parquet or CSV: see `curation.commands.tables`."""
        return write_table(self.store, name, out)

    def decontaminate(self, *against: str, tag: bool | None = None, limit: int = 20) -> dict[str, Any]:
        """Find the samples that leak a benchmark: see `curation.commands.decontaminate`.

        Args:
            against: `[NAME=]DATA` each, a dataset or a folder of images; else curate.toml's.
            tag: leave the leaks among the candidates.
            limit: pairs that are listed at most.
        """
        asked = {"decontaminate.against": against or None, "decontaminate.tag": tag}
        return decontaminate(self.with_settings(asked), limit=limit)

    def annotate(self, n: int, out: Path | str | None = None) -> dict[str, Any]:
        """Have a model behind an endpoint label a diverse sample: see `curation.commands.annotate`."""
        return annotate(self, n, out)

    def train_scorer(
        self, labels: Path | str | None = None, out: Path | str | None = None, *, folds: int = 5
    ) -> dict[str, Any]:
        """Fit a light scorer to labels: see `curation.commands.train_scorer`."""
        return train_scorer(self, labels, out, folds=folds)

    def plan(self, until: str = "select") -> dict[str, Any]:
        """What `run(until)` would compute, and an estimate of what it takes; computes nothing."""
        return estimate(self, until)

    def plan_annotate(self, n: int) -> dict[str, Any]:
        """The requests that `annotate(n)` would send; sends none."""
        return of_sample(self, n)

    def status(self) -> dict[str, Any]:
        """How far each stage is, and its size on disk; computes nothing."""
        return status(self)

    def errors(self, limit: int = 100) -> dict[str, Any]:
        """The first records in quarantine, and how many there are by code."""
        return bad_records(self, limit)

    def samples(self) -> pl.LazyFrame:
        """Every record: what it says and shows, and what became of it; see `curation.commands.frames`."""
        return frames.samples(self.store)

    def scores(self) -> pl.LazyFrame:
        """Every record: what it measures, and what became of it; see `curation.commands.frames`."""
        return frames.scores(self.store)

    def filters(self) -> dict[str, Any]:
        """What was measured of the default filters: see `curation.commands.filters`."""
        return filters(self)

    def explain(self, ident: str) -> dict[str, Any]:
        """Everything known of the records called `ident`: see `curation.commands.explain`."""
        return explain(self, ident)

    def groups(self, limit: int = 20) -> dict[str, Any]:
        """The largest groups of duplicates: what stays of each, and what goes."""
        return groups(self, limit)

    def clusters(self, *, quality: bool = False, against: Sequence[str] = ()) -> dict[str, Any]:
        """What the skill clusters are about: see `curation.commands.clusters`."""
        return clusters(self, quality=quality, against=against)

    def compare(
        self, *names: str, n_random: int = 5, truth: Sequence[str] = (), out: Path | str | None = None
    ) -> dict[str, Any]:
        """Selections side by side without training: see `curation.commands.compare`."""
        return compare(self, names, n_random=n_random, truth=truth, out=None if out is None else Path(out))

    def verify(self) -> dict[str, Any]:
        """Check every table: its `problems`, a sentence each. Reads every byte."""
        return {"tables": self.store.tables(), "problems": verify(self.store)}

    def gc(self) -> dict[str, Any]:
        """Remove what no table refers to."""
        with locked(self.store.root, "curate gc"):
            n_files, n_bytes = collect_garbage(self.store)
        return {"n_files": n_files, "bytes": n_bytes}

    @staticmethod
    def demo(
        out: Path | str = "demo",
        *,
        n: int = 1200,
        seed: int = 0,
        budget: str = "30%",
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Run the whole chain on a generated pool with planted defects: see `curation.commands.demo`."""
        return run_demo(out, n=n, seed=seed, budget=budget, progress=progress or Silent())

    @staticmethod
    def models(pattern: str = "*") -> dict[str, Any]:
        """The models that `--model` and `--vlm` can name."""
        found = [asdict(listed) for listed in catalogue(pattern)]
        return {"n_models": len(found), "models": found}
