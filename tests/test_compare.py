"""Selections side by side: figures by hand on small arrays, and the whole on a pool with known defects."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from curation.commands.compare import _spread, compare
from curation.generate.pool import write_pool
from curation.selectors.measures import balance, coverage, defects, entropy, mean_scores, nearest, redundancy
from curation.workspace import Workspace
from jobs.commands.compare import shown
from schemas.errors import BudgetError, ConfigError
from schemas.grid import on_grid

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

CROSS = on_grid(np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], np.float32))
GROUPS = np.array([0, 0, 1, 2])


def test_the_pool_is_as_far_as_its_nearest_picks():
    assert nearest(CROSS, CROSS[[0]]).tolist() == [1, 1, 0, -1]
    found = coverage(CROSS, GROUPS, np.array([0]), np.arange(4))
    assert found == {
        "mean_distance": 0.75,
        "worst_distance": 2.0,
        "worst_cluster_distance": 2.0,
        "n_clusters_without": 2.0,
    }
    assert coverage(CROSS, GROUPS, np.arange(4), np.arange(4))["worst_distance"] == 0.0
    assert coverage(CROSS, GROUPS, np.array([], np.int64), np.arange(4)) == {}


def test_a_pick_does_not_repeat_itself():
    found = redundancy(CROSS, np.array([0, 1, 2, 3]), np.arange(4))
    assert found == {"mean_similarity": 0.5, "repeated_share": 0.5}
    assert redundancy(CROSS, np.array([0, 2]), np.arange(2))["repeated_share"] == 0.0
    assert redundancy(CROSS, np.array([0]), np.arange(1)) == {}


def test_bits_are_those_of_the_shares():
    assert entropy(np.array([0, 0, 1, 2]), np.arange(4)) == 1.5
    assert entropy(np.array([0, 0, 1, 2]), np.array([0, 1])) == 0.0
    rows = pl.DataFrame(
        {
            "source": ["a", "b"],
            "cluster": [0, 0],
            "cap_x": [1.0, 0.0],
            "cap_y": [0.0, 3.0],
            "style_z": [1.0, None],
        }
    )
    assert balance(rows, np.arange(2)) == {
        "bits_source": 1.0,
        "bits_cluster": 0.0,
        "bits_capability": 1.0,
        "bits_style": 1.0,
    }


def test_means_leave_out_what_has_no_value():
    rows = pl.DataFrame({"a": [1.0, None, 3.0], "b": [None, None, 1.0]})
    assert mean_scores(rows, ["a", "b"], np.array([0, 1])) == {"mean_a": 1.0}


def test_a_copy_is_a_defect_beside_its_original_only():
    kinds = {"copy": [(1, 0), (3, 2)], "broken": [(4, -1)]}
    assert defects(kinds, np.array([1, 2, 3, 4]), 5) == {"copy": 1, "broken": 1}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    write_pool(folder, 120, seed=2)
    Workspace.init(folder / "work", {"demo": folder / "pool.json"}, images=[folder], model="builtin:tiny")
    Workspace(folder / "work").select("25%", "random")
    return folder


def test_strategies_lists_and_the_selection_are_compared_with_random(pool: Path, tmp_path: Path) -> None:
    workspace = Workspace(pool / "work", {"select.budget": "25%"})
    before = workspace.store.manifest("selection")
    rows = workspace.store.read("selection").to_pylist()
    (tmp_path / "mine.txt").write_text("\n".join(row["uid"].hex() for row in rows if row["keep"]))
    names = ["selection", str(tmp_path / "mine.txt"), "random", "kcenter", "adapt"]
    truth = [str(pool / "truth.json")]
    found = compare(workspace, names, n_random=2, truth=truth, out=tmp_path / "out")
    own = {figures["name"]: figures for figures in found["selections"]}
    assert list(own) == ["selection", "mine.txt", "random", "kcenter", "adapt"]
    for other in ("mine.txt", "random"):
        assert {**own[other], "name": "", "seconds": 0} == {**own["selection"], "name": "", "seconds": 0}
    assert own["kcenter"]["worst_distance"] < own["random"]["worst_distance"]
    assert all(figures["n_defects"] == 0 for figures in own.values())
    assert found["random"]["n"] == 2
    assert found["random"]["mean"]["n_selected"] == own["random"]["n_selected"]
    assert workspace.store.manifest("selection") == before
    assert json.loads((tmp_path / "out" / "compare.json").read_text())["selections"]
    assert ElementTree.parse(tmp_path / "out" / "compare.svg").getroot().tag.endswith("svg")
    lines = "\n".join(shown(found))
    assert "mean distance of the pool" in lines
    assert "compare.svg" in lines


def test_without_names_the_selection_is_compared(pool: Path) -> None:
    found = compare(Workspace(pool / "work"), [], n_random=0)
    assert [figures["name"] for figures in found["selections"]] == ["selection"]
    assert found["random"] == {}


def test_what_cannot_be_compared_is_named(pool: Path, tmp_path: Path) -> None:
    workspace = Workspace(pool / "work", {"select.budget": "25%"})
    with pytest.raises(ConfigError, match="no selection strategy 'best'"):
        compare(workspace, ["best"])
    with pytest.raises(BudgetError, match="--budget 30%"):
        compare(Workspace(pool / "work"), ["random"])
    (tmp_path / "truth.json").write_text('{"records": [{"index": 9999, "kind": "x"}]}')
    with pytest.raises(ConfigError, match="no list of planted defects"):
        compare(workspace, ["random"], truth=[str(tmp_path / "truth.json")])


def test_a_figure_that_some_subsets_lack_is_the_mean_of_the_others() -> None:
    found = _spread([{"n_selected": 2}, {"n_selected": 4, "mean_alignment": 0.5}])
    assert found["mean"] == {"n_selected": 3.0, "mean_alignment": 0.5}
    assert math.copysign(1, entropy(np.zeros(3, np.int64), np.arange(3))) == 1
