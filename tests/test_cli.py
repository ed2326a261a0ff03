"""The command line, as people use it: on a small demo pool, example by example."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result
from pydantic import BaseModel

from curation.generate.pool import write_pool
from curation.pipeline.rates import history
from curation.steps.chain import STAGES
from jobs.cli import cli
from schemas.config import Config
from schemas.flags import declared, flag_of
from schemas.stages import STEPS
from scorers.taxonomy import CAPABILITY_COLUMNS, STYLE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

ROOT = Path(__file__).parent.parent
COMMANDS = list(cli.commands)
HEAVY = ("torch", "pyarrow", "polars", "datasets", "pydantic", "numpy", "rich", "logging")
# A bad flag, a bad value of curate.toml, a place without a workspace: the words that the sentence must hold.
MISTAKES = {
    "select --budget 130%": "130%",
    "select --budget 30% --strategy best": "random-per-cluster",
    "select --budget 30% --strategy top:beauty": "alignment",
    "prune --eps 2": "--eps: input should be 'auto', or input should be less than or equal to 0.5",
    "prune --prune-to 5Mtok": "a number of samples or a share",
    "prune --keep best:source": "needs a column of numbers",
    "select --budget 30% --where width>300": "samples have no column 'width'",
    "select --budget 30% --strategy top:min_blurr": "did you mean min_blur",
    "init ä=curate.toml": "'ä' is no name",
    "init more=": "names no data",
    "init more=curate.toml --format foo": "no format 'foo'",
    "select --budget 30% --strategy adpat": "did you mean adapt",
    "cluster --clusters foo": "--clusters: input should be 'auto' or 'root', or input should be a valid int",
    "train-scorer --labels nope.parquet": "there is no file nope.parquet",
    "embed --model ViT-Z-99/nothing": "ViT-Z-99",
    "ingest --max-errors many": "max_errors",
    "ingest --max-errors 1": "--max-errors",
    "ingest --memory much": "3GB",
    "explain no-such-id": "no-such-id",
    "init nowhere.json": "nowhere.json",
    "init mixture.json": "already",
    "export --out subset --format csv": "hf",
    "-C elsewhere status": "curate init",
}


def examples() -> list[str]:
    """Every example line of every command."""
    pages = [cli.help, *(command.help for command in cli.commands.values())]
    return list(dict.fromkeys(re.findall(r"^ +curate (.+)$", "\n".join(filter(None, pages)), re.MULTILINE)))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pool of 72 records, a workspace and a selection."""
    folder = tmp_path_factory.mktemp("prepared")
    write_pool(folder, 72)
    records = json.loads((folder / "pool.json").read_text())
    records[0]["id"] = "chart-7"
    (folder / "mixture.json").write_text(json.dumps(records, indent=1))
    (folder / "more.json").write_text(json.dumps(records[:4], indent=1))
    (folder / "pool.json").unlink()
    sources = sorted({record["source"] for record in records})
    (folder / "mix.json").write_text(json.dumps(dict.fromkeys(sources, 1)))
    (folder / "mine.csv").write_text("id,difficulty\nchart-7,0.5\n")
    write_labels(folder / "labels.parquet", [record["id"] for record in records])
    for line in (
        "init mixture.json --images . --model builtin:tiny",
        "select --budget 30%",
        "train-scorer --labels labels.parquet",
        "convert mixture.json tars --format webdataset",
    ):
        result = invoke(folder, line)
        assert result.exit_code == 0, result.output
    (folder / "shards").mkdir()
    for number in range(10):
        shutil.copy(folder / "tars" / "data" / "train-000000.tar", folder / "shards" / f"{number:05d}.tar")
    return folder


def write_labels(path: Path, ids: list[str]) -> None:
    """Labels of every capability and style for records by id, drawn at random."""
    rng = np.random.default_rng(0)
    columns = {name: rng.uniform(0, 5, len(ids)) for name in CAPABILITY_COLUMNS}
    columns |= {name: rng.integers(0, 2, len(ids)).astype(float) for name in STYLE_COLUMNS}
    pl.DataFrame({"id": [str(each) for each in ids], **columns}).write_parquet(path)


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path) -> Iterator[Path]:
    """`prepared`, put back afterwards. A copy elsewhere is another pool, as shards say where images lie."""
    there = set(prepared.iterdir())
    shutil.copytree(prepared / ".curate", tmp_path / ".curate")
    shutil.copy(prepared / "curate.toml", tmp_path / "curate.toml")
    yield prepared
    for path in set(prepared.iterdir()) - there:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(prepared / ".curate")
    shutil.copytree(tmp_path / ".curate", prepared / ".curate")
    shutil.copy(tmp_path / "curate.toml", prepared / "curate.toml")


def invoke(folder: Path, line: str) -> Result:
    """Run `curate LINE` in `folder`, in this process."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(cli, shlex.split(line))
    finally:
        os.chdir(before)


# --- help --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_shows_an_example(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "-h"])
    assert result.exit_code == 0
    assert re.search(rf"Example:\n +curate {name}", result.output)
    assert len(cli.commands[name].get_short_help_str(limit=80).split()) > 2


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from jobs.cli import cli
cli(["--help"], standalone_mode=False)
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.strip() == "[]"


def section_of(field: FieldInfo) -> type[BaseModel]:
    assert isinstance(field.annotation, type)
    assert issubclass(field.annotation, BaseModel)
    return field.annotation


def test_every_key_of_the_config_has_a_flag() -> None:
    keys = {
        f"{section}.{key}"
        for section, field in Config.model_fields.items()
        if section != "datasets"
        for key in section_of(field).model_fields
    }
    assert set(declared()) == keys
    flags = {name for parameter in cli.commands["run"].params for name in parameter.opts}
    assert {flag_of(key)[0] for key in keys} <= flags


def test_the_steps_are_those_of_the_chain() -> None:
    assert tuple(STAGES) == STEPS


# --- examples ----------------------------------------------------------------------------------------------


# What needs an endpoint or a larger pool, exits with 1 as it should, or starts from nothing.
ELSEWHERE = ("demo", "init", "annotate", "proof", "mix ", "validate", "explore")


@pytest.mark.slow
@pytest.mark.parametrize("line", [e for e in examples() if not e.startswith(ELSEWHERE)])
def test_examples_run(line: str, workspace: Path) -> None:
    result = invoke(workspace, line)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip()


@pytest.mark.slow
def test_the_examples_of_init_run(tmp_path: Path, prepared: Path) -> None:
    for name in ("mixture.json", "more.json"):
        shutil.copy(prepared / name, tmp_path / name)
    lines = [line for line in examples() if line.startswith("init")]
    assert lines
    for line in lines:
        result = invoke(tmp_path, line)
        assert result.exit_code == 0, result.output
    assert "[datasets.charts]" in (tmp_path / "curate.toml").read_text()


@pytest.mark.slow
def test_the_demo_counts_what_it_caught(tmp_path: Path) -> None:
    result = invoke(tmp_path, "demo --out small --n 48 --json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert sum(kind["planted"] for kind in found["planted"]) == 11
    broken = [kind for kind in found["planted"] if kind["how"] == "quarantined"]
    assert [kind["caught"] for kind in broken] == [kind["planted"] for kind in broken]
    assert found["n_clean_quarantined"] == 0
    assert (tmp_path / "small" / "subset").is_dir()
    again = invoke(tmp_path, "demo --out small --n 24")
    assert again.exit_code == 1
    assert "another pool" in again.stderr


# --- what is printed ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "ingest",
        "select --budget 30%",
        "select --budget 10 --dry-run",
        "run --until prune",
        "status",
        "status --errors",
        "verify",
        "gc",
        "explain chart-7",
        "export --out subset",
    ],
)
def test_json_is_one_object_on_stdout(line: str, workspace: Path) -> None:
    result = invoke(workspace, f"{line} --json")
    assert result.exit_code == 0, result.output
    assert isinstance(json.loads(result.stdout), dict)


@pytest.mark.slow
def test_selection_is_exactly_the_budget_and_says_what_decided(workspace: Path) -> None:
    found = json.loads(invoke(workspace, "select --budget 50% --strategy top:alignment --json").stdout)
    assert found["n_selected"] == (found["n_read"] - found["n_quarantined"]) // 2
    assert found["signals"] == ["alignment"]
    text = invoke(workspace, "select --budget 50% --strategy top:alignment").stdout
    assert "top:alignment: alignment" in text


@pytest.mark.slow
def test_the_same_command_again_computes_nothing(workspace: Path) -> None:
    result = invoke(workspace, "select --budget 30%")
    assert "nothing to compute" in result.stdout


@pytest.mark.slow
def test_dry_run_computes_nothing(workspace: Path) -> None:
    before = sorted((workspace / ".curate" / "shards").rglob("*"))
    result = invoke(workspace, "select --budget 5 --clusters 3 --dry-run --json")
    found = json.loads(result.stdout)
    states = {stage["stage"]: stage["state"] for stage in found["plan"]}
    assert states["image_vectors"] == "fresh"
    assert states["selection"] == "stale"
    assert sorted((workspace / ".curate" / "shards").rglob("*")) == before


@pytest.mark.slow
def test_status_compares_the_selection_with_its_own_settings(workspace: Path) -> None:
    assert invoke(workspace, "select --budget 20% --seed 5").exit_code == 0
    found = json.loads(invoke(workspace, "status --json").stdout)
    assert {stage["state"] for stage in found["stages"]} == {"fresh"}
    assert found["budget"] == "20%"


@pytest.mark.slow
def test_errors_are_listed_with_code_and_place(workspace: Path) -> None:
    result = invoke(workspace, "status --errors --limit 2")
    assert re.search(
        r"^[a-z_]+ +mixture\.json:\d+ #\d+\n    id \S+, uid [0-9a-f]{32}$", result.stdout, re.MULTILINE
    )
    assert len(json.loads(invoke(workspace, "status --errors --limit 2 --json").stdout)["records"]) == 2


@pytest.mark.slow
def test_damage_is_found_and_repaired(workspace: Path) -> None:
    shard = next((workspace / ".curate" / "shards" / "clusters").iterdir())
    whole = shard.read_bytes()
    shard.write_bytes(b"rubbish")
    result = invoke(workspace, "verify")
    assert result.exit_code == 1
    assert shard.name in result.stdout
    shard.unlink()
    assert invoke(workspace, "select --budget 30%").exit_code == 0
    assert shard.read_bytes() == whole
    assert invoke(workspace, "verify").exit_code == 0


@pytest.mark.slow
def test_a_command_that_finds_everything_done_imports_no_torch(workspace: Path) -> None:
    code = """
import sys
from jobs.cli import cli
cli(["select", "--budget", "30%"], standalone_mode=False)
print([name for name in ("torch", "open_clip", "transformers", "datasets") if name in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=workspace, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert "nothing to compute" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


# --- what goes wrong ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("line", MISTAKES)
def test_errors_are_sentences(line: str, workspace: Path) -> None:
    result = invoke(workspace, line)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("curate: ")
    assert MISTAKES[line] in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output


@pytest.mark.slow
def test_debug_shows_the_traceback(workspace: Path) -> None:
    result = invoke(workspace, "select --budget none --debug")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", ["selct", "select --budgt 3", "export", "run --until never", "embed --device tpu"]
)
def test_wrong_usage_exits_with_two(line: str, workspace: Path) -> None:
    assert invoke(workspace, line).exit_code == 2


@pytest.mark.slow
def test_an_unknown_key_of_the_config_is_named_with_its_line(workspace: Path) -> None:
    config = workspace / "curate.toml"
    config.write_text(config.read_text() + "\n[select]\nbudgett = 3\n")
    result = invoke(workspace, "status")
    assert result.exit_code == 1
    assert re.search(r"select\.budgett \(line \d+\)", result.stderr)


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(workspace: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "jobs",
        "select",
        "--budget",
        "30%",
        "--batch",
        "8",
        "--shard-rows",
        "16",
    ]
    run = subprocess.Popen(
        command, cwd=workspace, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert run.stderr is not None
    seen = run.stderr.readline()  # the first line of progress: it is at work
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130, seen + err
    assert "the same command continues" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_closed_pipe_is_no_traceback(prepared: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = f"{shlex.quote(sys.executable)} -m jobs status --errors --limit 100 | true"
    done = subprocess.run(
        command,
        shell=True,
        cwd=prepared,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_rates_come_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    entries = [
        {"time": time, "pid": 1, "event": "commit", "table": "samples", "rows": 100}
        for time in (10.0, 12.0, 14.0)
    ]
    log.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + '{"time": 1')
    assert history(tmp_path) == {"samples": 50.0}


def test_models_are_listed_with_where_they_are(tmp_path: Path) -> None:
    listed = json.loads(invoke(tmp_path, "models --json").stdout)
    assert listed["n_models"] == len(listed["models"]) > 100
    shipped = listed["models"][:3]
    assert [(found["name"], found["kind"]) for found in shipped] == [
        ("builtin", "clip"), ("builtin", "vlm"), ("builtin:tiny", "clip"),
    ]  # fmt: skip
    assert {found["where"] for found in shipped} == {"built in"}
    assert all(found["n_bytes"] > 1e6 for found in shipped)
    assert "laion2b_s34b_b79k" in invoke(tmp_path, "models 'ViT-B-32/*'").stdout
    assert "no model matches" in invoke(tmp_path, "models nothing-of-the-kind").stdout
