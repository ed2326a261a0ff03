"""`curate submit`: what spark-submit is told, what travels, and how it ends.

Where Spark is not what is tested, a script stands in for spark-submit. CURATE_GOLDEN=write writes the golden
files anew.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tarfile
import time
import venv
import zipfile
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from click.testing import CliRunner, Result

from curation.models.spec import VLM
from jobs import pack
from jobs.cli import cli
from schemas.errors import CurateError
from schemas.stages import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"
TOML = '[datasets.mix]\npath = "mixture.json"\n\n[embed]\nmodel = "builtin:tiny"\n'
CASES = {
    "submit-local": "--master local[2] -- select --budget 30%",
    "submit-standalone": "--master spark://host:7077 --conf spark.executor.memory=4g -- select --budget 30%",
    "submit-standalone-archive": "--master spark://host:7077 --archive env.tar.gz --name nightly -- run",
    "submit-yarn-client": "--master yarn --archive env.tar.gz -- embed --device cuda",
    "submit-yarn-cluster": "--master yarn --deploy-mode cluster --archive hdfs:///e.tar.gz -- prune",
    "submit-k8s-client": "--master k8s://https://host:6443 --image curate:1 -- select --budget 50Mtok",
    "submit-k8s-cluster": "--master k8s://https://host:6443 --deploy-mode cluster --image curate:1 -- run",
}
# What is wrong, and the words that the sentence must hold.
MISTAKES = {
    "": "after --",
    "--master yarn": "after --",
    "--master yarn -- -C there select": "-C stands before submit",
    "--master yarn -- selct": "no command 'selct'",
    "--master yarn -- status": "run it here",
    "--master yarn -- embed --engine local": "leave --engine out",
    "--master yarn -- embed --master local[2]": "before --",
    "-- embed": "say where to run it",
    "--master spark:/host -- embed": "spark://HOST:PORT",
    "--master sc://host -- embed": "docs/cluster.md",
    "--master spark://host:7077 --deploy-mode cluster -- embed": "leave --deploy-mode cluster out",
    "--master local[2] --deploy-mode cluster -- embed": "its driver runs here",
    "--master local[2] --env archive -- embed": "leave --env archive out",
    "--master yarn --image curate:1 -- embed": "Kubernetes",
    "--master k8s://host --env image -- embed": "--image NAME",
    "--master yarn --archive nowhere.tar.gz -- embed": "nowhere.tar.gz",
    "--master yarn --env none --archive env.tar.gz -- embed": "--env archive",
    "--master yarn --conf spark.executor.memory -- embed": "KEY=VALUE",
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with curate.toml, on a machine that has a Java and a Spark and sets no variable of theirs."""
    for name in (
        "PYSPARK_PYTHON",
        "HADOOP_CONF_DIR",
        "YARN_CONF_DIR",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HF_HUB_OFFLINE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SPARK_HOME", str(tmp_path / "spark"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    script(tmp_path / "java" / "bin" / "java", "echo 'openjdk version \"17.0.15\"' >&2")
    spark(tmp_path, "exit 0")
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "curate.toml").write_text(TOML)
    (folder / "env.tar.gz").write_bytes(bytes(1234567))
    monkeypatch.chdir(folder)
    return folder


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def spark(machine: Path, text: str) -> None:
    """Make this the script that stands in for spark-submit."""
    script(machine / "spark" / "bin" / "spark-submit", text)


def submit(line: str, folder: str = ".") -> Result:
    # Where Python's readline is loaded, as under xdist, its children inherit COLUMNS, and lines break there.
    runner = CliRunner(env={"COLUMNS": None})
    return runner.invoke(cli, ["-C", folder, "submit", *shlex.split(line)])


def planned(line: str, folder: str = ".") -> dict[str, Any]:
    result = submit(f"--dry-run --json {line}", folder)
    assert result.exit_code == 0, result.output
    plan: dict[str, Any] = json.loads(result.stdout)
    return plan


def conf(line: str) -> dict[str, str]:
    """The settings that spark-submit is given."""
    words = planned(line)["command"]
    pairs = [value for flag, value in pairwise(words) if flag == "--conf"]
    return dict(pair.split("=", 1) for pair in pairs)


# --- the command line --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_the_command_is_the_golden_one(name: str, workspace: Path) -> None:
    result = submit(f"--dry-run {CASES[name]}")
    assert result.exit_code == 0, result.output
    text = result.stdout
    for path, word in {
        str(workspace): "WORKSPACE",
        str(workspace.parent / "cache"): "CACHE",
        str(workspace.parent / "spark"): "SPARK_HOME",
        sys.executable: "PYTHON",
        str(ROOT): "ROOT",
    }.items():
        text = text.replace(path, word)
    text = re.sub(r"curate-[0-9a-f]{16}\.zip", "curate-DIGEST.zip", text)
    text = re.sub(r" *[\d.]+ MB(?=  CACHE)", "    N MB", text)
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("CURATE_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def test_a_dry_run_writes_nothing(workspace: Path) -> None:
    before = sorted(workspace.rglob("*"))
    assert submit("--dry-run --master yarn -- embed").exit_code == 0
    assert sorted(workspace.rglob("*")) == before
    assert not (workspace.parent / "cache").exists()


def test_a_shell_takes_the_command_as_it_is_printed(workspace: Path) -> None:
    line = "--master local[2] --name 'it is' -- select --budget 30%"
    text = submit(f"--dry-run {line}").stdout.split("\n\n")[0]
    assert shlex.split(text.replace("\\\n", "")) == planned(line)["command"]


def test_flags_win_over_curate_toml(workspace: Path) -> None:
    run = 'master = "yarn"\nspark_conf = {"spark.executor.memory" = "4g", "spark.executor.cores" = "2"}\n'
    (workspace / "curate.toml").write_text(f"{TOML}\n[run]\n{run}")
    words = planned("--conf spark.executor.memory=8g -- embed")["command"]
    assert words[1:3] == ["--master", "yarn"]
    assert words[-8:] == [
        *("--engine", "spark", "--master", "yarn"),
        *("--spark-conf", "spark.executor.memory=8g", "--spark-conf", "spark.executor.cores=2"),
    ]
    settings = conf("--conf spark.executor.memory=8g -- embed")
    assert (settings["spark.executor.memory"], settings["spark.executor.cores"]) == ("8g", "2")


def test_what_the_user_sets_is_kept(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", "/opt/python")
    monkeypatch.setenv("HF_HOME", "/models")
    monkeypatch.setenv("PYSPARK_DRIVER_PYTHON", "jupyter")
    found = conf("--master yarn --deploy-mode cluster --conf spark.executorEnv.PYTHONPATH=mine -- embed")
    assert found["spark.pyspark.python"] == "/opt/python"
    assert found["spark.executorEnv.HF_HOME"] == found["spark.yarn.appMasterEnv.HF_HOME"] == "/models"
    assert found["spark.executorEnv.PYTHONPATH"] == "curate_src:mine"
    assert conf("--master yarn -- embed")["spark.pyspark.driver.python"] == sys.executable
    words = planned("--master yarn --conf spark.archives=more.zip#more -- embed")["command"]
    assert words[words.index("--archives") + 1].endswith("#curate_src,more.zip#more")


def test_a_folder_that_nodes_must_share_is_named(workspace: Path) -> None:
    assert any(str(workspace) in note for note in planned("--master yarn -- embed")["warnings"])
    for line in ("--master local[2] -- embed", "--master spark://127.0.0.1:7077 -- embed"):
        assert planned(line)["warnings"] == []


def test_curate_toml_is_read_at_a_url_too(workspace: Path) -> None:
    run = '[run]\nmaster = "yarn"\nspark_conf = {"spark.executor.cores" = "2"}\n'
    fsspec.filesystem("memory").pipe_file("/pool/curate.toml", f"{TOML}\n{run}".encode())
    found = planned("-- embed", "memory://pool")
    assert found["warnings"] == []
    assert found["weights"].startswith("builtin")
    words = found["command"]
    assert words[1:3] == ["--master", "yarn"]
    assert words[-9:] == [
        *("-C", "memory://pool", "embed", "--engine", "spark", "--master", "yarn"),
        *("--spark-conf", "spark.executor.cores=2"),
    ]
    assert "curate init" in submit("--master yarn -- embed", "memory://empty").stderr


def test_a_url_that_only_the_nodes_reach_will_do_where_the_driver_is_one_of_them(workspace: Path) -> None:
    line = "--master yarn --deploy-mode cluster --conf spark.executor.cores=2 -- embed"
    found = planned(line, "nowhere://pool")
    assert "nowhere://pool cannot be reached from here" in found["warnings"][0]
    assert found["command"][-2:] == ["--spark-conf", "spark.executor.cores=2"]
    assert "say where to run it" in submit("--deploy-mode cluster -- embed", "nowhere://pool").stderr
    assert "nowhere" in submit("--master yarn -- embed", "nowhere://pool").stderr


@pytest.mark.parametrize("line", MISTAKES)
def test_errors_are_sentences(line: str, workspace: Path) -> None:
    result = submit(line)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("curate: ")
    assert MISTAKES[line] in result.stderr.splitlines()[-1]


def test_wrong_flags_of_the_command_are_found_before_anything_starts(workspace: Path) -> None:
    result = submit("--master yarn -- select --budgt 3")
    assert result.exit_code == 2
    assert "--budgt" in result.stderr


def test_what_is_missing_here_is_named(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "HADOOP_CONF_DIR" in submit("--master yarn -- embed").stderr
    monkeypatch.setenv("JAVA_HOME", str(workspace / "nowhere"))
    assert "openjdk-17-jre-headless" in submit("--master local[2] -- embed").stderr
    monkeypatch.setenv("SPARK_HOME", str(workspace / "nowhere"))
    assert "SPARK_HOME" in submit("--master local[2] -- embed").stderr
    monkeypatch.chdir(workspace.parent)
    assert "curate init" in submit("--master local[2] -- embed").stderr


# --- what travels ------------------------------------------------------------------------------------------


def test_the_code_is_whole_and_loads_from_where_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(pack.code_bytes())) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path)
    assert {name.split("/")[0] for name in names} == set(pack.PACKAGES)
    model = VLM.relative_to(ROOT)
    assert {"jobs/app.py", f"{model}/model.safetensors"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]
    code = (
        "from curation.models.spec import VLM; from curation.models.weights import verify_builtin; "
        "verify_builtin(VLM); print(VLM)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path.parent,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == tmp_path / model


def test_the_same_files_are_the_same_bytes_wherever_they_lie(tmp_path: Path) -> None:
    here = pack.code_bytes()
    with zipfile.ZipFile(io.BytesIO(here)) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "jobs" / "__pycache__").mkdir()
    (tmp_path / "jobs" / "__pycache__" / "cli.pyc").touch()
    assert pack.code_bytes(tmp_path) == here


def test_archives_are_written_once_and_old_ones_go(workspace: Path) -> None:
    path = pack.code_path(b"content")
    pack.write_code(path, b"content")
    old = path.with_name("curate-0123456789abcdef.zip")
    old.touch()
    os.utime(old, (0, 0))
    held = path.stat().st_ino
    pack.write_code(path, b"content")
    assert path.read_bytes() == b"content"
    assert path.stat().st_ino == held
    assert [found.name for found in path.parent.iterdir()] == [path.name]


@pytest.fixture
def environment(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small environment that takes itself for ours."""
    folder = workspace.parent / "environment"
    venv.create(folder)
    monkeypatch.setattr(sys, "prefix", str(folder))
    return folder


def test_the_environment_is_packed_once(environment: Path) -> None:
    path = pack.environment_path()
    pack.write_environment(path)
    with tarfile.open(path) as archive:
        assert {"bin/python", "pyvenv.cfg"} <= set(archive.getnames())
    held = path.stat().st_ino
    pack.write_environment(pack.environment_path())
    assert path.stat().st_ino == held
    assert planned("--master yarn --env archive -- embed")["files"][1]["bytes"] == path.stat().st_size


def test_an_environment_that_cannot_be_packed_is_refused(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = next(environment.glob("lib/python*/site-packages"))
    (site / "editable.pth").write_text("/somewhere/else\n")
    with pytest.raises(CurateError, match=r"/somewhere/else.*--archive PATH"):
        pack.write_environment(pack.environment_path())
    (environment / "conda-meta").mkdir()
    with pytest.raises(CurateError, match="conda-pack"):
        pack.environment_path()
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    with pytest.raises(CurateError, match="virtual environment"):
        pack.environment_path()


# --- running it --------------------------------------------------------------------------------------------


def start(line: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jobs", "submit", *shlex.split(line)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_output_and_exit_code_are_those_of_spark_submit(workspace: Path) -> None:
    spark(workspace.parent, 'echo "$0"; printf "%s\\n" "$@"; echo said >&2; exit 7')
    job = start("--master spark://127.0.0.1:7077 --json -- embed")
    out, said = job.communicate(timeout=30)
    assert job.returncode == 7
    words = planned("--master spark://127.0.0.1:7077 -- embed")["command"]
    assert out.splitlines() == [*words[:-4], "--json", *words[-4:]]
    assert said.splitlines()[-1] == "said"
    archive = words[words.index("--archives") + 1].split("#")[0]
    assert Path(archive).read_bytes() == pack.code_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_it_stops_all_that_it_started(
    number: int, workspace: Path, until: Callable[[Callable[[], bool]], None]
) -> None:
    pids = workspace / "pids"
    script(workspace / "driver", f"echo $PPID $$ > {pids}.new; mv {pids}.new {pids}; sleep 60")
    spark(workspace.parent, str(workspace / "driver"))
    job = start("--master local[2] -- embed")
    until(pids.exists)
    job.send_signal(number)
    job.communicate(timeout=30)
    assert job.returncode == 130

    def gone(pid: str) -> bool:
        return not Path(f"/proc/{pid}").exists()

    for pid in pids.read_text().split():
        until(partial(gone, pid))


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Waits until something is so."""

    def wait(is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not is_so():
            assert time.monotonic() < end
            time.sleep(0.05)

    return wait


@pytest.mark.slow
def test_the_driver_finds_our_code_and_keeps_its_stderr_apart(workspace: Path) -> None:
    app = ROOT / "jobs" / "app.py"
    command = [sys.executable, str(app), "status"]
    launcher = f"import subprocess; subprocess.run({command!r}, stderr=subprocess.STDOUT)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", launcher],
        cwd=workspace.parent,
        env={**environment, "PYSPARK_GATEWAY_PORT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    assert "there is no curate.toml" in done.stderr


def test_a_driver_on_a_node_finds_our_code_in_the_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(pack.code_bytes())) as archive:
        archive.extractall(tmp_path / "curate_src")
    app = tmp_path / "app.py"
    app.write_bytes((ROOT / "jobs" / "app.py").read_bytes())
    command = [sys.executable, str(app), "--help"]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=True)
    assert "Usage: curate " in done.stdout


@pytest.mark.parametrize("step", STEPS)
def test_a_scheduler_can_call_each_step(step: str) -> None:
    module = "selection" if step == "select" else step  # jobs/select.py would hide the standard library's
    command = [sys.executable, "-m", f"jobs.{module}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Usage: curate {step} ")


def test_a_scheduler_can_name_the_workspace(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.selection", "-C", str(tmp_path), "--dry-run"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"no curate.toml in {tmp_path}" in done.stderr
