"""Real submissions to a standalone cluster in client mode: the same bytes, within the memory asked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement

from benchmarks.kills import digests
from curation.generate.pool import write_pool
from curation.workspace import Workspace
from tests.peaks import Peaks
from tests.standalone import HOME, Standalone

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.spark, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[1]
SMALL = {"run.shard_rows": 32}
N = 64  # records
CONF = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "512m",
    "spark.executor.memory": "512m",
    "spark.executor.cores": "1",
    "spark.cores.max": "2",
}
PYTHON, HEAP = 1_500_000_000, 512 << 20  # bytes that are asked for: --memory, and the settings above
OVERHEAD = 384 << 20  # that Spark reserves for a JVM of this size beside its heap
# What `ingest` imports, and what packs an environment; pyspark is that of SPARK_HOME.
NEEDED = (
    "click",
    "imagehash",
    "msgspec",
    "numpy",
    "pandas",
    "pillow",
    "polars",
    "psutil",
    "pyarrow",
    "pydantic",
    "rich",
    "threadpoolctl",
    "tomlkit",
    "venv-pack",
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    with Standalone(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool")
    write_pool(folder, N, seed=3)
    return folder


@pytest.fixture(scope="module")
def local(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("local")
    Workspace.init(folder, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    Workspace(folder, SMALL).select("30%")
    return digests(folder)


def submit(cluster: Standalone, folder: Path, line: str, python: str = sys.executable) -> tuple[Any, Peaks]:
    """Run `curate submit` in the workspace `folder`; what it printed, and the memory that everything took."""
    settings = [word for name, value in CONF.items() for word in ("--conf", f"{name}={value}")]
    command = [python, "-m", "jobs", "-C", str(folder), "submit", "--master", cluster.url, *settings]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cluster.folder)}
    environment.pop("PYSPARK_PYTHON", None)
    if python != sys.executable:
        environment["SPARK_HOME"] = str(HOME)
    with (
        subprocess.Popen(
            [*command, *line.split()],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as job,
        Peaks(job.pid, cluster) as peaks,
    ):
        out, said = job.communicate()
    assert job.returncode == 0, said[-3000:]
    return json.loads(out), peaks


@pytest.fixture(scope="module")
def submitted(
    cluster: Standalone, pool: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any, Peaks]:
    """The whole chain with `--env none`."""
    folder = tmp_path_factory.mktemp("none")
    Workspace.init(folder, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    asked = f"--memory {PYTHON} --shard-rows 32 --json"
    line = f"--deploy-mode client --env none --name nightly -- select --budget 30% {asked}"
    return folder, *submit(cluster, folder, line)


def test_with_what_the_nodes_have_it_gives_the_local_engines_tables(
    submitted: tuple[Path, Any, Peaks], local: dict[str, str], cluster: Standalone
) -> None:
    folder, counts, peaks = submitted
    assert digests(folder) == local
    assert counts["retried"] == {}
    assert peaks.interpreters == {sys.executable}
    assert "Registered app nightly" in (cluster.folder / "master.log").read_text()


def test_driver_and_executors_stay_inside_the_memory_they_asked_for(
    submitted: tuple[Path, Any, Peaks],
) -> None:
    peaks = submitted[2]
    for side in ("driver", "executor"):
        # A peak that is nearly nothing would be that of other processes.
        assert PYTHON / 10 < peaks.most(side, "Python") < PYTHON
        assert HEAP / 10 < peaks.most(side, "JVM") < HEAP + OVERHEAD
    assert peaks.together < PYTHON  # an executor has one slot here


def needed(names: tuple[str, ...]) -> dict[str, Distribution]:
    """The distributions `names` and all that they require."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = distribution(name)
            asked = map(Requirement, found[name].requires or ())
            waiting += [
                item.name for item in asked if item.marker is None or item.marker.evaluate({"extra": ""})
            ]
    return found


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment that holds copies of a few packages, none of them ours."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    site = next(folder.glob("lib/python*/site-packages"))
    for found in needed(NEEDED).values():
        for file in found.files or ():
            if not {"..", "tests"} & set(file.parts):
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(found.locate_file(file)), site / file)
    return folder / "bin" / "python"


def test_with_an_archive_it_computes_in_the_environment_that_travels(
    environment: Path, cluster: Standalone, pool: Path, local: dict[str, str], tmp_path: Path
) -> None:
    Workspace.init(tmp_path, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    one = "--conf spark.cores.max=1"  # as each executor unpacks the archive
    line = f"--deploy-mode client --env archive {one} -- ingest --shard-rows 32 --json"
    counts, peaks = submit(cluster, tmp_path, line, str(environment))
    assert counts["n_read"] == N
    assert peaks.interpreters == {"./environment/bin/python"}
    tables = digests(tmp_path)
    assert {"samples", "images", "checked"} < set(tables)
    assert tables.items() < local.items()
