"""Scorers of other packages: the example of docs/ installed and run, and what is said of odd ones."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pytest

from curation.commands.verify import verify
from curation.generate.pool import write_pool
from curation.plugins import GROUP, Plugin, plugin_columns, plugins
from curation.steps.score.columns import plugin_stages
from curation.workspace import Workspace
from schemas.errors import ConfigError

EXAMPLE = Path(__file__).parents[1] / "docs" / "plugin-example"
SCORER = """
import pyarrow as pa

class Scorer:
    name, version, reads = "odd", 1, ("turns", "image")
    writes = pa.schema([pa.field("odd", pa.int32(), metadata={"unit": "", "range": "", "better": "neither"})])

    def score(self, batch):
        return pa.record_batch([pa.array(range(len(batch)), pa.int32())], self.writes)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where pip has put the example package; by hand where its build backend is not installed."""
    target = tmp_path_factory.mktemp("site")
    if find_spec("hatchling") is None:
        project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
        (offer,) = project["entry-points"][GROUP].items()
        text = (EXAMPLE / "curate_shouting.py").read_text()
        package(target, "curate_shouting", text, offer=offer, named=(project["name"], project["version"]))
        return target
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*pip, "--target", target, EXAMPLE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_pool(folder / "pool", 60, seed=1)
    Workspace.init(
        folder, {"demo": folder / "pool" / "pool.json"}, images=[folder / "pool"], model="builtin:tiny"
    )
    with (folder / "curate.toml").open("a") as file:
        file.write('\n[score]\nplugins = ["shouting"]\n[capability]\nbackend = "none"\n')
    return folder


def package(
    folder: Path,
    module: str,
    text: str,
    offer: tuple[str, str] | None = None,
    named: tuple[str, str] | None = None,
) -> None:
    """Write a module and what pip would leave of a package that offers its scorer."""
    scorer, value = offer or ("odd", f"{module}:Scorer")
    name, version = named or (module, "2.0")
    (folder / f"{module}.py").write_text(text)
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{scorer} = {value}\n")


@pytest.mark.slow
def test_the_example_is_installed_and_scores_a_pool_like_our_own(
    installed: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed)
    workspace = Workspace(work)
    workspace.select("50%", "top:-shouting")
    table = workspace.store.read("plugin_shouting").to_pylist()
    samples = workspace.store.read("checked", ["uid", "error"]).to_pylist()
    assert [row["uid"] for row in table] == [row["uid"] for row in samples]
    assert {row["shouting"] for row, sample in zip(table, samples, strict=True) if sample["error"]} == {None}
    known = [row["shouting"] for row, sample in zip(table, samples, strict=True) if not sample["error"]]
    assert sum(value or 0 for value in known) > 0
    assert all(value is None or 0 <= value <= 1 for value in known)
    scores = {row["uid"]: row["shouting"] for row in table}
    chosen = workspace.store.read("selection", ["uid", "rank"]).to_pylist()
    picked = sorted((row["rank"], scores[row["uid"]]) for row in chosen if row["rank"] is not None)
    values = [value for _, value in picked if value is not None]
    assert values == sorted(values)
    assert verify(workspace.store) == []
    assert workspace.run("score")["computed"] == {}
    assert Workspace(work, {"prune.keep": "best:shouting"}).prune()["n_candidates"] > 0


def test_the_version_of_the_package_and_of_the_scorer_stand_in_the_key(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed)
    (stage,) = plugin_stages(["shouting"])
    assert stage.name == "plugin_shouting"
    assert stage.params() == {
        "plugin": "curate_shouting:Shouting",
        "package": "curate-shouting 0.1.0",
        "version": 1,
        "reads": ["turns"],
    }
    assert plugin_columns(["shouting"]) == {"shouting": "plugin_shouting"}


def test_a_row_s_score_does_not_depend_on_the_batch(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(installed)
    (stage,) = plugin_stages(["shouting"])
    kind = pa.list_(pa.struct([("role", pa.string()), ("text", pa.string())]))
    turns = [
        [{"role": "user", "text": "NO"}, {"role": "assistant", "text": text}] for text in ("ab", "AB c", "")
    ]
    rows = pa.record_batch(
        {
            "uid": pa.array([bytes([i]) * 16 for i in range(3)], pa.binary(16)),
            "turns": pa.array(turns, kind),
            "error": pa.array([None, None, "bad_turn"]),
        }
    )
    whole = stage.prepare(rows)
    assert whole["shouting"].to_pylist() == [0.0, pytest.approx(2 / 3), None]
    for i in range(3):
        assert stage.prepare(rows.slice(i, 1)).equals(whole.slice(i, 1))


@pytest.mark.parametrize(
    ("reads", "tables"), [("image", ["samples", "checked", "vectors"]), ("source", ["samples", "checked"])]
)
def test_vectors_are_read_only_where_a_scorer_asks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: str, tables: list[str]
) -> None:
    package(tmp_path, f"odd_{reads}", SCORER.replace('"image"', f'"{reads}"'))
    monkeypatch.syspath_prepend(tmp_path)
    (stage,) = plugin_stages(["odd"])
    assert [item.table for item in stage.source.inputs] == tables


def test_an_unknown_scorer_names_those_that_there_are(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed)
    with pytest.raises(ConfigError, match=r"no installed package offers a scorer 'louder'.*shouting"):
        plugins(["louder"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import nothing_of_this_name", r"cannot be loaded: ModuleNotFoundError: No module named"),
        (
            "def Scorer():\n    raise RuntimeError('no licence')",
            r"cannot be loaded: RuntimeError: no licence",
        ),
        (SCORER.replace("version, ", "").replace('"odd", 1,', '"odd",'), r"has no version"),
        (SCORER.replace('"image")', '"picture")'), r"reads 'picture'; there are uid,"),
        (SCORER.replace('"better": "neither"', '"kind": "x"'), r"does not say the unit, range and direction"),
        (SCORER.replace('pa.field("odd"', 'pa.field("turns"'), r"writes 'turns', which is taken"),
        (
            SCORER.replace('pa.field("odd"', 'pa.field("alignment"'),
            r"writes 'alignment', which is a column of",
        ),
    ],
)
def test_what_is_wrong_with_a_plug_in_is_said_with_the_name_of_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    module = f"odd_{abs(hash(text))}"
    package(tmp_path, module, text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=rf"(?s)the scorer 'odd' of the package {module} 2.0 .*{problem}"):
        plugin_stages(["odd"])


def test_a_worker_with_another_version_of_the_package_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, "odd_here", SCORER)
    monkeypatch.syspath_prepend(tmp_path)
    planned = Plugin("odd", "odd_here:Scorer", "odd_here 1.9")
    with pytest.raises(
        ConfigError, match=r"is of odd_here 1\.9 where the run was planned, and of odd_here 2\.0 here"
    ):
        _ = planned.scorer


def test_two_packages_that_offer_one_scorer_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, "odd_left", SCORER)
    package(tmp_path, "odd_right", SCORER)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"odd_left 2\.0 and odd_right 2\.0 both offer a scorer 'odd'"):
        plugins(["odd"])


def test_a_scorer_that_loses_rows_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "odd_short", SCORER.replace("range(len(batch))", "range(0)"))
    monkeypatch.syspath_prepend(tmp_path)
    (stage,) = plugin_stages(["odd"])
    rows = pa.record_batch(
        {"uid": [b"1" * 16], "turns": [[]], "image": [None], "error": pa.array([None], pa.string())}
    )
    with pytest.raises(ConfigError, match=r"odd_short 2\.0 returned 0 rows for 1"):
        stage.prepare(rows)


def test_help_imports_no_package_that_offers_a_scorer(tmp_path: Path) -> None:
    package(tmp_path, "odd_loud", "raise SystemExit('imported')")
    run = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from jobs.cli import main; main()",
    ]
    done = subprocess.run([*run, "score", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "--scorer" in done.stdout
