"""`curate compare`: selections side by side, against random ones of the same size, without training."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.catalog import column_tables, demand_tables, score_table
from curation.commands.plot import plot
from curation.pipeline.pipeline import Pipeline
from curation.selectors import SELECTORS, selector
from curation.selectors.grid import IMAGE, TEXT, joint_vectors
from curation.selectors.measures import MEASURED, balance, coverage, defects, mean_scores, redundancy
from curation.selectors.order import drawn, groups_of
from curation.steps.chain import chain
from curation.steps.select.budgeting import choose
from curation.steps.select.columns import with_columns
from curation.steps.select.listed import listed, members
from curation.steps.select.stages import filter_stages, select_stage
from curation.storage.lock import locked
from schemas.errors import BudgetError, ConfigError
from schemas.stages import Pool

if TYPE_CHECKING:
    import polars as pl

Ints = NDArray[np.int64]

CURRENT = "selection"  # the name of the one that `curate select` made
RANDOM = "random"
SCORES = ("alignment", "synthetic_quality", "n_tokens", "nll", "image_grounding")


@dataclass(frozen=True)
class Subset:
    """Rows of the pool under a name."""

    name: str
    rows: NDArray[np.int64]
    seconds: float | None = None  # that choosing took


def compare(
    workspace: Pipeline,
    names: Sequence[str],
    *,
    n_random: int = 5,
    truth: Sequence[str] = (),
    out: Path | None = None,
) -> dict[str, Any]:
    """Choose by each of `names` and measure what is chosen.

    Args:
        workspace: its chain is run as far as needed; its own selection stays as it is.
        names: strategies; `selection` for the one that is there; files of ids, a line each.
        n_random: random subsets of all readable records, of the size of the first selection: the baseline.
        truth: files of planted defects (`truth.json`), as NAME=FILE where there are several datasets.
        out: a folder for `compare.json` and `compare.svg`.

    Returns:
        `selections`: a dict of figures each; `random`: mean and deviation of each figure; `defects` by kind.

    Raises:
        CurateError: a name is none, or there is no budget.
    """
    if workspace.config.select.budget is None and set(names) - {CURRENT}:
        raise BudgetError("say how much to keep: --budget 30%")
    counts = workspace.run("prune")
    pool = workspace.store
    with locked(pool.root, "curate compare"), pool.snapshot():
        workspace.compute([*chain(workspace.context, "prune"), *filter_stages(workspace.config)])
    everything = _everything(workspace, pool)
    readable = np.flatnonzero(everything["error"].is_null().to_numpy())
    subsets = [_subset(workspace, pool, name, everything) for name in names]
    if not subsets:
        subsets = [_subset(workspace, pool, CURRENT, everything)]
    for seed in range(n_random):
        order = readable[drawn(everything[readable], seed)]
        subsets.append(Subset(f"{RANDOM} {seed}", order[: len(subsets[0].rows)]))
    kinds = _truth(workspace, truth)
    measured = _Measured.of(everything, readable, kinds)
    with workspace.progress.bar("compare", len(subsets), "selections") as bar:
        figures = []
        for subset in subsets:
            figures.append(measured.figures(subset))
            bar.advance(1)
    own, random = figures[: len(figures) - n_random], figures[len(figures) - n_random :]
    tree: dict[str, Any] = {
        "budget": workspace.config.select.budget,
        "n_readable": len(readable),
        "n_candidates": counts["n_candidates"],
        "planted": {kind: len(rows) for kind, rows in kinds.items()},
        "selections": own,
        "random": _spread(random),
    }
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "compare.json").write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
        (out / "compare.svg").write_text(plot(tree), encoding="utf-8")
        tree["out"] = str(out)
    return tree


def _everything(workspace: Pipeline, pool: Pool) -> pl.DataFrame:
    """One row a sample, with what is measured. Vectors of bad records are zero."""
    known = column_tables(workspace.store)
    cap = [name for name in known if name.startswith(("cap_", "style_"))]
    scores = [name for name in SCORES if name in known]
    basic = ["uid", "content_hash", "record_id", "dataset", "source", "cluster", "error"]
    table = score_table(workspace.store, list(dict.fromkeys([*basic, *scores, *cap])))
    return with_columns(pool, table.with_row_index("position"), (IMAGE, TEXT))


def _subset(workspace: Pipeline, pool: Pool, name: str, table: pl.DataFrame) -> Subset:
    if name == CURRENT:
        if workspace.store.find(CURRENT) is None:
            raise ConfigError(
                "nothing is selected yet; name strategies: curate compare adapt random --budget 30%"
            )
        rank = pool.read(CURRENT, ["rank"])["rank"].to_numpy()
        if len(rank) != len(table):
            raise ConfigError("the selection is of another state of the pool; run `curate select` again")
        kept = np.flatnonzero(~np.isnan(rank))
        return Subset(name, kept[np.argsort(rank[kept], kind="stable")])
    if name.split(":")[0].split("@")[0] not in SELECTORS and Path(name).is_file():
        return Subset(Path(name).name, np.flatnonzero(members(listed(name), table)))
    return _chosen(workspace, pool, name)


def _chosen(workspace: Pipeline, pool: Pool, name: str) -> Subset:
    """What a strategy picks, with the filters, bounds and lists of the settings; nothing is stored."""
    selector(name)
    start = time.monotonic()
    stage = select_stage(workspace.config.override({"select.strategy": name}), workspace.store)
    demand_tables(workspace.store, stage.columns, ())
    table, _ = stage.table(pool)
    candidates = table.filter(table["reason"].is_null())
    candidates = with_columns(pool, candidates, selector(name).needs)
    choice = choose(stage.wish, pool, candidates, n_readable=table["error"].null_count())
    rows = candidates["position"].to_numpy()[choice.decision.order].astype(np.int64)
    return Subset(name, rows, round(time.monotonic() - start, 2))


def _truth(workspace: Pipeline, files: Sequence[str]) -> dict[str, list[tuple[int, int]]]:
    """By kind of planted defect: (row in the pool, row of the original or -1)."""
    datasets = workspace.store.read("checked", ["dataset"])["dataset"].to_pylist()
    kinds: dict[str, list[tuple[int, int]]] = {}
    for text in files:
        name, path = text.split("=", 1) if "=" in text else (None, text)
        if name is None and len(set(datasets)) > 1:
            raise ConfigError(
                f"say whose defects {text} lists: --truth NAME=FILE with NAME of {sorted(set(datasets))}"
            )
        rows = [row for row, dataset in enumerate(datasets) if name in (None, dataset)]
        try:
            records = json.loads(Path(path).read_text(encoding="utf-8"))["records"]
            for record in records:
                original = record.get("original_index")
                place = (rows[record["index"]], -1 if original is None else rows[original])
                kinds.setdefault(record["kind"], []).append(place)
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise ConfigError(f"{path} is no list of planted defects of this pool ({error!r})") from None
    return kinds


@dataclass(frozen=True)
class _Measured:
    table: pl.DataFrame
    vectors: NDArray[np.float32]
    groups: NDArray[np.int64]  # clusters
    rows: NDArray[np.int64]  # readable rows that distances are measured for
    kinds: dict[str, list[tuple[int, int]]]

    @classmethod
    def of(cls, table: pl.DataFrame, readable: Ints, kinds: dict[str, list[tuple[int, int]]]) -> _Measured:
        vectors = joint_vectors(table)
        narrow = table.drop(IMAGE, TEXT)
        # A uniform sample, the same for every selection; bad records have no cluster that counts.
        sample = readable[drawn(narrow[readable], 0)][:MEASURED]
        return cls(narrow, vectors, groups_of([narrow["cluster"]])[0], sample, kinds)

    def figures(self, subset: Subset) -> dict[str, Any]:
        """Everything that is measured of one selection."""
        picks = subset.rows
        places = np.argsort(drawn(self.table[picks], 1))[:MEASURED]
        found: dict[str, Any] = {"name": subset.name, "n_selected": len(picks), "seconds": subset.seconds}
        readable = self._covered(picks)
        found |= {**readable, **redundancy(self.vectors, picks, places), **balance(self.table, picks)}
        found |= mean_scores(self.table, [name for name in SCORES if name in self.table.columns], picks)
        sources = self.table["source"].filter(self.table["error"].is_null()).n_unique()
        found["n_sources_without"] = sources - self.table["source"][picks].n_unique()
        if self.kinds:
            by_kind = defects(self.kinds, picks, len(self.table))
            found["defects"] = by_kind
            found["n_defects"] = sum(by_kind.values())
            found["defect_share"] = sum(by_kind.values()) / max(len(picks), 1)
        return found

    def _covered(self, picks: Ints) -> dict[str, float]:
        """Coverage of the readable rows: others have no cluster."""
        inside = np.flatnonzero(self.table["error"].is_null().to_numpy())
        place = np.full(len(self.table), -1, np.int64)
        place[inside] = np.arange(len(inside))
        own = place[picks]
        return coverage(self.vectors[inside], self.groups[inside], own[own >= 0], place[self.rows])


def _spread(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation of every figure over the random subsets."""
    if not figures:
        return {}
    # A subset may have no sample that a figure can be computed of.
    names = dict.fromkeys(
        name for figure in figures for name, value in figure.items() if isinstance(value, int | float)
    )
    values = {name: [figure[name] for figure in figures if name in figure] for name in names}
    mean = {name: float(np.mean(each)) for name, each in values.items()}
    deviation = {name: float(np.std(each)) for name, each in values.items()}
    kinds = figures[0].get("defects", {})
    by_kind = {kind: float(np.mean([figure["defects"][kind] for figure in figures])) for kind in kinds}
    return {
        "n": len(figures),
        "mean": mean,
        "deviation": deviation,
        **({"defects": by_kind} if kinds else {}),
    }
