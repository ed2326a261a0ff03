"""Strategies by gradients, from a pool's files to its selection: columns that are made for the candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curation.generate.pool import write_pool
from curation.selectors.icons import consensus
from curation.selectors.order import groups_of
from curation.selectors.tive import ALIKE, NORM
from curation.steps.select.columns import with_columns
from curation.storage.rows import vectors
from curation.workspace import Workspace
from schemas.errors import ConfigError
from schemas.grid import on_grid

pytestmark = pytest.mark.slow
GRADIENTS: dict[str, str | int] = {
    "cluster.vectors": "gradient",
    "vlm.model": "builtin",
    "gradient.dims": 64,
    "run.shard_rows": 16,
}


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of two datasets with gradients of the built-in VLM, in several shards."""
    root = tmp_path_factory.mktemp("made")
    for name, n in (("a", 40), ("b", 24)):
        write_pool(root / name, n, seed=n)
    datasets = {name: root / name / "pool.json" for name in "ab"}
    Workspace.init(root / "w", datasets, images=[root / "a", root / "b"], model="builtin:tiny")
    Workspace(root / "w", GRADIENTS).run("prune")
    return root / "w"


def settings(**more: str) -> dict[str, str | int]:
    asked = {f"select.{name}": value for name, value in more.items()}
    return {**GRADIENTS, **asked}


def gradients(at: Path) -> np.ndarray:
    return on_grid(vectors(Workspace(at).store.read("gradients", ["vector"])["vector"]))


def candidates(at: Path, dataset: str) -> pl.DataFrame:
    facts = pl.from_arrow(Workspace(at).store.read("checked", ["uid", "dataset", "source", "error"]))
    assert isinstance(facts, pl.DataFrame)
    return facts.with_row_index("position").filter(
        (pl.col("dataset") == dataset) & pl.col("error").is_null() & (pl.col("position") % 5 > 0)
    )


def test_likeness_to_the_task_is_the_mean_cosine_over_the_candidates(at: Path) -> None:
    rows = candidates(at, "a")
    made = with_columns(Workspace(at).store, rows, [NORM, ALIKE])
    own = gradients(at)[rows["position"].to_numpy()].astype(np.float64)
    tasks, _ = groups_of([rows["source"]])
    assert len(set(tasks.tolist())) > 1
    for row in range(len(rows)):
        expected = np.mean([own[row] @ own[other] for other in np.flatnonzero(tasks == tasks[row])])
        assert made[ALIKE][row] == pytest.approx(expected, abs=1e-9)
    stored = Workspace(at).store.read("gradients", [NORM])[NORM].to_numpy()
    assert made[NORM].to_list() == stored[rows["position"].to_numpy()].tolist()


def test_tive_chooses_by_gradients(at: Path) -> None:
    workspace = Workspace(at, settings(strategy="tive", budget="12"))
    assert workspace.run("select")["n_selected"] == 12
    strata = workspace.store.read("strata", ["stratum", "why", "n_selected"]).to_pylist()
    assert sum(row["n_selected"] for row in strata) == 12
    assert all(row["why"].startswith("mean gradient norm ") for row in strata)


@pytest.mark.parametrize("space", ["gradient", "embedding"])
def test_icons_aims_at_a_dataset_that_is_not_chosen_itself(at: Path, space: str) -> None:
    workspace = Workspace(at, settings(strategy=f"icons@{space}", target="b", budget="9"))
    assert workspace.run("select")["strategy"] == f"icons:b@{space}"
    rows = workspace.store.read("selection", ["keep", "score", "reason"]).to_pylist()
    names = workspace.store.read("checked", ["dataset", "error"]).to_pylist()
    assert {name["dataset"] for name, row in zip(names, rows, strict=True) if row["keep"]} == {"a"}
    left = [row["score"] for row in rows if row["reason"] == "over_budget"]
    assert min(row["score"] for row in rows if row["keep"]) >= max(left)


def test_votes_are_those_of_the_targets_sources(at: Path) -> None:
    rows = candidates(at, "a")
    name = "influences:b@gradient"
    made = with_columns(Workspace(at).store, rows, [name])[name].to_numpy()
    every = gradients(at).astype(np.float64)
    targets = pl.from_arrow(Workspace(at).store.read("checked", ["dataset", "source", "error"]))
    assert isinstance(targets, pl.DataFrame)
    known = targets.with_row_index("position").filter((pl.col("dataset") == "b") & pl.col("error").is_null())
    own = every[rows["position"].to_numpy()]
    sources = known["source"].unique().sort().to_list()
    expected = [
        (own @ every[known.filter(source=source)["position"].to_numpy()].T).mean(axis=1) for source in sources
    ]
    np.testing.assert_allclose(made, np.stack(expected, axis=1), atol=1e-9)
    assert consensus(made)[0].max() > 1


def test_without_gradients_it_is_said_what_makes_them(at: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no readable dataset 'c' to aim at; the pool has a, b"):
        Workspace(at, settings(strategy="icons:c", budget="9")).run("select")
    data = at.parent / "b"
    Workspace.init(tmp_path, {"b": data / "pool.json"}, images=[data], model="builtin:tiny")
    with pytest.raises(ConfigError, match="--vectors gradient --vlm MODEL makes it"):
        Workspace(tmp_path, {"select.strategy": "tive", "select.budget": "3"}).run("select")
