"""The chain on a demo pool: what is computed, what is not computed again, and what a crash leaves."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pytest

from benchmarks.kills import digests, kill_often
from curation.catalog import WHOLE_POOL
from curation.commands.verify import verify
from curation.generate.pool import write_pool
from curation.workspace import Workspace
from schemas.errors import BudgetError, ConfigError, ReadError, TooManyErrors, WorkspaceError
from tests.places import here

if TYPE_CHECKING:
    from pathlib import Path

SMALL = {"run.shard_rows": 64}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool")
    write_pool(folder, 240, seed=3)
    return folder


@pytest.fixture(scope="module")
def done(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace after `select`; tests that change it work on a copy."""
    path = tmp_path_factory.mktemp("done") / "work"
    Workspace.init(path, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    workspace = Workspace(path, SMALL)
    workspace.select("30%")
    return workspace


@pytest.fixture
def copy(done: Workspace, tmp_path: Path) -> Workspace:
    import shutil

    shutil.copytree(here(done.base), tmp_path / "copy")
    return Workspace(tmp_path / "copy", SMALL)


def test_the_selection_is_exactly_the_budget(done: Workspace) -> None:
    counts = done.select("30%")
    assert counts["n_selected"] == math.floor(0.3 * (counts["n_read"] - counts["n_quarantined"]))
    gone = counts["n_quarantined"] + counts["n_pruned"] + counts["n_filtered"]
    assert counts["n_candidates"] == counts["n_read"] - gone
    assert pc.sum(done.store.read("selection")["keep"]).as_py() == counts["n_selected"]
    assert verify(done.store) == []


def test_every_sample_has_one_row_and_one_reason(done: Workspace) -> None:
    rows = done.store.read("selection").to_pylist()
    counts = done.select("30%")
    assert len(rows) == counts["n_read"]
    by_reason = {
        reason: sum(row["reason"] == reason for row in rows) for reason in {row["reason"] for row in rows}
    }
    assert by_reason["quarantined"] == counts["n_quarantined"]
    assert by_reason["kept"] == counts["n_selected"]
    assert sum(by_reason[reason] for reason in counts["pruned"]) == counts["n_pruned"]
    assert all((row["rank"] is not None) == row["keep"] for row in rows)


def test_a_pruned_sample_names_a_sample_that_is_not_pruned(done: Workspace) -> None:
    pruned = done.store.read("pruned").to_pylist()
    dropped = {row["uid"] for row in pruned}
    assert pruned
    assert all(row["kept_uid"] not in dropped for row in pruned)
    assert all(row["similarity"] >= 0.95 for row in pruned)


@pytest.mark.slow
def test_the_same_command_again_computes_nothing_and_imports_no_torch(done: Workspace) -> None:
    code = (
        "import sys\nfrom curation.workspace import Workspace\n"
        "counts = Workspace(sys.argv[1], {'run.shard_rows': 64}).select('30%')\n"
        "assert counts['computed'] == {}, counts\n"
        "assert 'torch' not in sys.modules and 'open_clip' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(done.base)], check=True)


def test_another_budget_recomputes_the_selection_alone(copy: Workspace) -> None:
    assert copy.select("10%")["computed"] == {"selection": 1, "strata": 1}
    assert copy.select("30%")["computed"] == {}


def test_another_eps_is_only_another_decision(copy: Workspace) -> None:
    looser = Workspace(copy.base, {**SMALL, "prune.redundant": 0.02}).select("30%")
    assert set(looser["computed"]) <= {"pruned", "prune_curve", "selection", "strata"}


@pytest.mark.slow
def test_a_second_dataset_computes_its_own_shards_only(copy: Workspace, tmp_path: Path) -> None:
    write_pool(tmp_path / "more", 100, seed=9)
    Workspace.init(copy.base, {"more": tmp_path / "more" / "pool.json"}, images=[tmp_path / "more"])
    before = {table: copy.store.manifest(table) for table in copy.store.tables()}
    counts = Workspace(copy.base, SMALL).select("30%")
    own = -(-103 // 64)  # 100 records and the planted copies, 64 to a shard
    computed = {name: n for name, n in counts["computed"].items() if name not in WHOLE_POOL}
    assert set(computed.values()) == {own}, counts["computed"]
    for table, manifest in before.items():
        after = copy.store.manifest(table)
        assert manifest is not None
        assert after is not None
        if table not in WHOLE_POOL:
            assert [s.checksum for s in after.shards[: len(manifest.shards)]] == [
                s.checksum for s in manifest.shards
            ]


@pytest.mark.slow
def test_the_selection_does_not_depend_on_the_size_of_shards_or_the_workers(
    done: Workspace, pool: Path, tmp_path: Path
) -> None:
    Workspace.init(tmp_path, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    other = Workspace(tmp_path, {"run.shard_rows": 100, "run.workers": 2})
    other.select("30%")
    for table in ("vectors", "alignment", "clusters", "selection"):
        assert other.store.read(table).equals(done.store.read(table)), table


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bytes(pool: Path, tmp_path: Path) -> None:
    figures = kill_often(pool, tmp_path, kills=3, seed=1)
    assert figures["kills"] == 3


@pytest.mark.slow
def test_two_runs_give_the_same_bytes(done: Workspace, pool: Path, tmp_path: Path) -> None:
    Workspace.init(tmp_path, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    Workspace(tmp_path, SMALL).select("30%")
    assert digests(tmp_path) == digests(here(done.base))


def test_planted_defects_are_caught(done: Workspace, pool: Path) -> None:
    truth = json.loads((pool / "truth.json").read_text())["records"]
    codes = done.store.read("checked", ["error"])["error"].to_pylist()
    expected = {
        r["index"]: r["kind"] for r in truth if r["kind"].endswith("_image") and "dup" not in r["kind"]
    }
    expected |= {r["index"]: r["kind"] for r in truth if r["kind"] in ("image_token_count", "bad_roles")}
    assert {index: code for index, code in enumerate(codes) if code} == expected


def test_no_budget_is_an_error_that_shows_how_to_give_one(done: Workspace) -> None:
    with pytest.raises(BudgetError, match="--budget 30%"):
        Workspace(done.base, SMALL).run("select")


def test_a_strategy_that_does_not_exist_names_those_that_do(done: Workspace) -> None:
    with pytest.raises(ConfigError, match="random-per-cluster"):
        Workspace(done.base, SMALL).select("30%", "best")


def test_an_unknown_column_names_those_that_exist(done: Workspace) -> None:
    with pytest.raises(ConfigError, match="alignment"):
        Workspace(done.base, SMALL).select("30%", "top:beauty")


def test_outside_a_workspace_the_error_shows_init(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="curate init DATA"):
        Workspace(tmp_path)


def test_too_many_bad_records_stop_the_run(copy: Workspace) -> None:
    with pytest.raises(TooManyErrors, match="status --errors"):
        Workspace(copy.base, {**SMALL, "run.max_errors": "1"}).ingest()


def test_a_dataset_that_went_away_is_named(copy: Workspace) -> None:
    path = here(copy.base) / "curate.toml"
    path.write_text(path.read_text().replace("pool.json", "gone.json"))
    with pytest.raises(ReadError, match=r"dataset demo: .*gone\.json does not exist"):
        Workspace(copy.base).ingest()


def test_an_unknown_key_is_named_with_its_line(copy: Workspace) -> None:
    path = here(copy.base) / "curate.toml"
    path.write_text(path.read_text() + "\n[select]\nbudgt = '30%'\n")
    with pytest.raises(
        ConfigError, match=r"unknown key select\.budgt \(line \d+\); allowed here: budget, strategy"
    ):
        Workspace(copy.base).ingest()


def test_a_budget_of_bytes_counts_a_shared_image_once(copy: Workspace) -> None:
    counts = copy.select("600KB")
    kept = [row["keep"] for row in copy.store.read("selection").to_pylist()]
    images = copy.store.read("samples", ["images"])["images"].to_pylist()
    sizes = {
        ref["sha256"]: ref["n_bytes"] for keep, refs in zip(kept, images, strict=True) if keep for ref in refs
    }
    assert counts["n_selected"] == sum(kept) > 0
    assert sum(sizes.values()) <= 600_000
    assert 600_000 - sum(sizes.values()) < 30_000


def test_a_pool_of_text_alone_goes_through(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "What is {} plus {}?"}, {"from": "gpt", "value": "It is {}."}]
    records = []
    for n in range(40):
        filled = [{**turn, "value": turn["value"].format(n, n + 7)} for turn in turns]
        records.append({"id": n, "conversations": filled})
    (tmp_path / "text.json").write_text(json.dumps(records))
    workspace = Workspace.init(tmp_path / "work", {"text": tmp_path / "text.json"}, model="builtin:tiny")
    assert workspace.select("5")["n_selected"] == 5


def test_a_pool_without_a_good_record_says_so(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('[{"id": 1}, {"id": 2}]')
    workspace = Workspace.init(
        tmp_path / "work", {"bad": tmp_path / "bad.json"}, model="builtin:tiny", format="llava"
    )
    with pytest.raises(ReadError, match="no record could be read: all 2 are bad"):
        workspace.select("5")


def test_lone_surrogates_and_control_characters_go_through(tmp_path: Path) -> None:
    turns = r'[{"from":"human","value":"a \ud800 b \u0000"},{"from":"gpt","value":"c\tfine"}]'
    (tmp_path / "odd.json").write_text('[{"id":"\\ud800","conversations":' + turns + "}]")
    workspace = Workspace.init(tmp_path / "work", {"odd": tmp_path / "odd.json"}, model="builtin:tiny")
    counts = workspace.select("1")
    assert (counts["n_read"], counts["n_quarantined"]) == (1, 0)
