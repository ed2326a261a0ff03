"""`Workspace`: a pool, and every verb of the command line as a method that returns plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

from curation.commands.annotate import annotate
from curation.commands.clusters import clusters
from curation.commands.compare import compare
from curation.commands.decontaminate import decontaminate
from curation.commands.demo import run_demo
from curation.commands.endpoint_estimate import of_sample
from curation.commands.export import Asked, export
from curation.commands.filters import filters
from curation.commands.groups import groups
from curation.commands.mix import mix
from curation.commands.plan import estimate
from curation.commands.proof import proof
from curation.commands.report import report
from curation.commands.samples import Samples
from curation.commands.status import bad_records, status
from curation.commands.train_scorer import train_scorer
from curation.commands.verify import collect_garbage, verify
from curation.explorer.serve import serve
from curation.models.catalogue import catalogue
from curation.pipeline.config_file import write_config
from curation.progress import Silent
from curation.readers.sources import parse_dataset
from curation.storage.files import Location, locate
from curation.storage.lock import locked
from schemas.flags import several
from schemas.keywords import (
    ClusterKeywords,
    DecontaminateKeywords,
    EmbedKeywords,
    IngestKeywords,
    PickKeywords,
    PruneKeywords,
    ScoreKeywords,
    SearchKeywords,
    SelectKeywords,
)
from schemas.protocols import Progress

EXPORTED = ("format", "images", "scores", "raw", "shuffle", "split", "license", "overwrite", "push")


class Workspace(Samples):
    """A pool and everything computed of it.

        ws = Workspace.init("work", {"mix": "mixture.json"}, images=["."], model="builtin")
        ws.select(budget="30%", strategy="mmssr", where=["n_tokens < 4096"])
        ws.export("subset", format="hf")

    Every flag of a command is a keyword of its method, spelled with `_` for `-`, and holds for that call.
    What the workspace is made with stands at `Pipeline`, and what it has of single samples at `Samples`.
    """

    @classmethod
    def init(
        cls,
        path: Location | str,
        datasets: Mapping[str, str | Path] | str | Path,
        *,
        images: str | Path | Sequence[str | Path] = (),
        model: str | None = None,
        format: str = "auto",
        image_key: str | None = None,
        text_key: str | None = None,
        progress: Progress | None = None,
    ) -> Workspace:
        """Write curate.toml, or add the datasets to the one that is there, and open the workspace.

        Args:
            path: the folder of the workspace, or a URL.
            datasets: paths by name, or one path, which is called as its file.
            images: folders where the records' image paths start.
            model: the encoder, to stand in curate.toml.
            format: of the data, where it is not to be found out.
            image_key: what the data calls its images.
            text_key: what it calls its captions.
            progress: where to say what is going on; nothing by default.

        Raises:
            ConfigError: a name is taken, or a path does not exist.
            ReadError: there is no such format.
        """
        if not isinstance(datasets, Mapping):
            datasets = dict([parse_dataset(str(datasets), set())])
        write_config(
            locate(path),
            datasets,
            images=several(images),
            model=model,
            format=format,
            image_key=image_key,
            text_key=text_key,
        )
        return cls(path, progress=progress or Silent())

    def ingest(self, **settings: Unpack[IngestKeywords]) -> dict[str, Any]:
        """Read, check and hash every record and image."""
        return self.asked("ingest", settings).run("ingest")

    def embed(self, **settings: Unpack[EmbedKeywords]) -> dict[str, Any]:
        """Embed each distinct image and text chunk."""
        return self.asked("embed", settings).run("embed")

    def score(self, **settings: Unpack[ScoreKeywords]) -> dict[str, Any]:
        """Score alignment, hygiene, synthetic quality and capabilities."""
        return self.asked("score", settings).run("score")

    def cluster(self, **settings: Unpack[ClusterKeywords]) -> dict[str, Any]:
        """Group the samples into pseudo-skills."""
        return self.asked("cluster", settings).run("cluster")

    def prune(self, **settings: Unpack[PruneKeywords]) -> dict[str, Any]:
        """Find exact and near-duplicates."""
        return self.asked("prune", settings).run("prune")

    def select(
        self,
        budget: str | float | None = None,
        strategy: str | None = None,
        **settings: Unpack[PickKeywords],
    ) -> dict[str, Any]:
        """Choose a subset of exactly the budget.

        Args:
            budget: `30%`, `0.3`, `200000` samples, `50Mtok`, `2GB` of images; else curate.toml's.
            strategy: a name of `curation.selectors.SELECTORS`, with its argument after a colon.
            settings: among them `where`, `mix`, `must_keep`, `at_least`.
        """
        asked = self.asked("select", {"budget": budget, "strategy": strategy, **settings})
        return asked.run("select")

    def run(self, until: str = "select", **settings: Unpack[SelectKeywords]) -> dict[str, Any]:
        """Run whatever the step `until` still needs."""
        return super(Workspace, self.asked("run", settings, ["until"])).run(until)

    def export(
        self,
        out: Path | str,
        *,
        format: str = "hf",
        images: str | None = None,
        scores: bool | None = None,
        raw: bool = False,
        shuffle: int | None = None,
        split: str | None = None,
        license: str | None = None,
        overwrite: bool = False,
        push: str | None = None,
        **settings: Unpack[SelectKeywords],
    ) -> dict[str, Any]:
        """Write the selected samples to a folder: see `curation.commands.export`.

        Args:
            out: a new folder, or a URL.
            format: a name of `curation.writers.WRITERS`.
            images: link, copy, paths or bytes; by default what the format does first.
            scores: whether the scores of samples leave with them; by default what the format does.
            raw: records that were the format's own leave byte for byte, even if trainers crash on them.
            shuffle: the seed of the order; by default that of the pool.
            split: shares, as `train=0.98,val=0.02`.
            license: as the Hub names it.
            overwrite: replace an earlier export.
            push: a dataset of the Hub that gets the folder as well.
            settings: of another selection than the last one.
        """
        workspace = self.asked("export", settings, EXPORTED)
        asked = Asked(format, images, scores, raw, shuffle, split, license)
        return export(workspace, out, asked, overwrite=overwrite, push=push)

    def proof(
        self,
        *strategies: str,
        n_seeds: int = 8,
        students: str | Sequence[str] = ("ridge",),
        views: str | Sequence[str] = ("encoder",),
        equal: str = "samples",
        steps: int = 200,
        epochs: float | None = None,
        **settings: Unpack[SelectKeywords],
    ) -> dict[str, Any]:
        """Whether selections train better than chance: see `curation.commands.proof`.

        Args:
            strategies: `STRATEGY` or `STRATEGY+MIX`; by default that of the settings.
            n_seeds: of each selection.
            students: `ridge`, `mlp`, `vlm`, `vlm:MODEL`.
            views: `encoder`, `plain`.
            equal: `samples`, `pairs` or `tokens`: what random samples have as much of as a selection.
            steps: of a student that takes some.
            epochs: instead, passes over what it learns from.
            settings: `budget` and all else of a selection.
        """
        workspace = self.asked(
            "proof", settings, ["n_seeds", "students", "views", "equal", "steps", "epochs"]
        )
        return proof(
            workspace,
            strategies,
            n_seeds=n_seeds,
            students=several(students),
            views=several(views),
            equal=equal,
            steps=steps,
            epochs=epochs,
        )

    def search_mix(
        self,
        *,
        n: int = 16,
        n_seeds: int = 8,
        targets: str | Sequence[str] = (),
        out: Path | str | None = None,
        **settings: Unpack[SelectKeywords],
    ) -> dict[str, Any]:
        """Shares of the sources that train best: see `curation.commands.mix`."""
        workspace = self.asked("mix", settings, ["n", "n_seeds", "targets", "out"])
        return mix(workspace, n=n, n_seeds=n_seeds, targets=several(targets), out=out)

    def decontaminate(
        self, *benchmarks: str | Path, limit: int = 20, **settings: Unpack[DecontaminateKeywords]
    ) -> dict[str, Any]:
        """Find the samples that leak a benchmark: see `curation.commands.decontaminate`.

        Args:
            benchmarks: `[NAME=]DATA` each, a dataset or a folder of images; else those of `against` or of
                curate.toml.
            limit: pairs that are listed at most.
            settings: among them `tag`, which leaves the leaks among the candidates.
        """
        if benchmarks:
            settings["against"] = (*benchmarks, *several(settings.get("against") or ()))
        return decontaminate(self.asked("decontaminate", settings, ["limit"]), limit=limit)

    def annotate(
        self, n: int, out: Path | str | None = None, **settings: Unpack[ClusterKeywords]
    ) -> dict[str, Any]:
        """Have a model behind an endpoint label a diverse sample: see `curation.commands.annotate`."""
        return annotate(self.asked("annotate", settings, ["n", "out"]), n, out)

    def train_scorer(
        self,
        labels: Path | str | None = None,
        out: Path | str | None = None,
        *,
        folds: int = 5,
        **settings: Unpack[EmbedKeywords],
    ) -> dict[str, Any]:
        """Fit a light scorer to labels: see `curation.commands.train_scorer`."""
        workspace = self.asked("train-scorer", settings, ["labels", "out", "folds"])
        return train_scorer(workspace, labels, out, folds=folds)

    def plan(self, until: str = "select", **settings: Unpack[SelectKeywords]) -> dict[str, Any]:
        """What `run(until)` would compute, and an estimate of what it takes; computes nothing."""
        return estimate(self.asked("run", settings, ["until"]), until)

    def plan_annotate(self, n: int, **settings: Unpack[ClusterKeywords]) -> dict[str, Any]:
        """The requests that `annotate(n)` would send; sends none."""
        return of_sample(self.asked("annotate", settings, ["n"]), n)

    def status(self, **settings: Unpack[SelectKeywords]) -> dict[str, Any]:
        """How far each stage is, and its size on disk; computes nothing."""
        return status(self.asked("status", settings))

    def errors(self, limit: int = 100) -> dict[str, Any]:
        """The first records in quarantine, and how many there are by code."""
        return bad_records(self, limit)

    def report(self, out: Path | str = "report.html") -> dict[str, Any]:
        """Write a page that shows the pool, what is kept and why: see `curation.commands.report`."""
        return report(self, out)

    def filters(self) -> dict[str, Any]:
        """What was measured of the default filters: see `curation.commands.filters`."""
        return filters(self)

    def explore(
        self,
        port: int = 0,
        *,
        show: bool = True,
        ready: Callable[[str], None] | None = None,
        **settings: Unpack[SearchKeywords],
    ) -> None:
        """Serve a page on the pool, on loopback, until Ctrl-C: see `curation.explorer`.

        Args:
            port: 0 takes one that is free.
            show: open it in a browser, where this machine has a screen.
            ready: is called with the address, once there is one.
        """
        serve(self.asked("explore", settings, ["port", "show", "ready"]), port, show=show, ready=ready)

    def groups(self, limit: int = 20) -> dict[str, Any]:
        """The largest groups of duplicates: what stays of each, and what goes."""
        return groups(self, limit)

    def clusters(
        self,
        *,
        quality: bool = False,
        against: str | Sequence[str] = (),
        **settings: Unpack[ClusterKeywords],
    ) -> dict[str, Any]:
        """What the skill clusters are about: see `curation.commands.clusters`."""
        workspace = self.asked("clusters", settings, ["quality", "against"])
        return clusters(workspace, quality=quality, against=several(against))

    def compare(
        self,
        *names: str,
        n_random: int = 5,
        truth: str | Path | Sequence[str | Path] = (),
        out: Path | str | None = None,
        **settings: Unpack[SelectKeywords],
    ) -> dict[str, Any]:
        """Selections side by side without training: see `curation.commands.compare`."""
        workspace = self.asked("compare", settings, ["n_random", "truth", "out"])
        files = [str(each) for each in several(truth)]
        return compare(
            workspace, names, n_random=n_random, truth=files, out=None if out is None else Path(out)
        )

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
