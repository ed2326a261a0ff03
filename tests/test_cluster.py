"""A real cluster, a master and two workers: the bytes of the local engine, whatever dies on the way."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.kills import digests
from curation.generate.pool import write_pool
from curation.steps.chain import chain
from curation.storage.store import Store
from curation.workspace import Workspace
from jobs.show import result
from schemas.errors import EngineUnavailable, ReadError
from tests.places import here
from tests.sabotage import Deadly, Held, Poisoned, Refusing, over
from tests.standalone import Standalone, await_executors, await_value, executor_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[1]
SMALL = {"run.shard_rows": 16}
N = 96  # records
ON_SPARK = {**SMALL, "run.engine": "spark"}
CONF = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.executor.cores": "1",
    "spark.executor.memory": "600m",
    "spark.cores.max": "2",
    "spark.executorEnv.PYTHONPATH": str(ROOT),
}
SPECULATION = {
    "spark.speculation": "true",
    "spark.speculation.interval": "50ms",
    "spark.speculation.quantile": "0.3",
    "spark.speculation.multiplier": "1.2",
    "spark.speculation.minTaskRuntime": "10ms",
}
KILL: dict[str, Callable[[Standalone, int], None]] = {
    "a Python worker": lambda cluster, pid: os.kill(pid, signal.SIGKILL),
    "an executor": lambda cluster, pid: os.kill(executor_of(pid), signal.SIGKILL),
    "a machine": lambda cluster, pid: cluster.lose_worker(cluster.host_of(pid)),
}
STEP = {"images": "ingest", "image_vectors": "embed", "neighbours": "prune"}  # that computes the table
HOSTS = {"127.0.0.1", "127.0.0.2"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    with Standalone(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def spark(request: pytest.FixtureRequest, cluster: Standalone) -> Iterator[SparkSession]:
    """A session with an executor on each worker; a parameter adds settings."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(cluster.url).appName("tests")
    for name, value in {**CONF, **getattr(request, "param", {})}.items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("OFF")
    yield made
    made.stop()


@pytest.fixture
def executors(cluster: Standalone, spark: SparkSession) -> None:
    """Both workers and their executors, whatever the test before did to them."""
    for host in HOSTS - set(cluster.workers):
        cluster.add_worker(host)
    await_executors(spark, len(HOSTS))


@dataclass(frozen=True)
class Reference:
    """A workspace that the local engine has brought to its end."""

    pool: Path
    folder: Path
    tables: dict[str, str]

    def without(self, table: str, out: Path) -> Workspace:
        """A copy that lacks one table, to compute on Spark."""
        shutil.copytree(self.folder, out)
        for kind in ("shards", "ledger"):
            shutil.rmtree(out / ".curate" / kind / table)
        (out / ".curate" / "tables" / f"{table}.json").unlink()
        return Workspace(out, ON_SPARK)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    pool, folder = tmp_path_factory.mktemp("pool"), tmp_path_factory.mktemp("local")
    write_pool(pool, N, seed=3)
    Workspace.init(folder, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    with pytest.MonkeyPatch.context() as patch:
        replace(patch)
        Workspace(folder, SMALL).select("30%")
    return Reference(pool, folder, digests(folder))


def replace(patch: pytest.MonkeyPatch, **wrappers: Callable[[Any], Any]) -> None:
    """Run the chain with small bins, so that there are several, and with stages wrapped by name."""
    wrappers.setdefault("neighbours", lambda stage: stage)

    def replaced(*args: Any) -> list[Any]:
        made: list[Any] = [*chain(*args)]
        stages = [dataclasses.replace(s, bin_rows=16) if s.name == "neighbours" else s for s in made]
        return [wrappers[stage.name](stage) if stage.name in wrappers else stage for stage in stages]

    patch.setattr("curation.pipeline.pipeline.chain", replaced)


def hold(patch: pytest.MonkeyPatch, workspace: Workspace, table: str) -> Path:
    """Let one task that computes `table` wait in the middle of the stage, and return where it says so."""
    base = here(workspace.base)
    sign = base / "held"
    ledger = base / ".curate" / "ledger" / table
    replace(patch, **{table: lambda stage: Held(stage, ledger, sign)})
    return sign


def held(sign: Path) -> int:
    """The Python worker that waits, as soon as one does."""
    return await_value(lambda: int(sign.read_text()) if sign.exists() else None)


@contextmanager
def meanwhile(act: Callable[[], object]) -> Iterator[None]:
    """Do `act` in a thread while the block runs."""
    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.fixture(autouse=True)
def small_bins(monkeypatch: pytest.MonkeyPatch) -> None:
    replace(monkeypatch)


@pytest.mark.usefixtures("executors")
def test_the_whole_chain_gives_the_local_engines_bytes(
    local: Reference, cluster: Standalone, tmp_path: Path
) -> None:
    Workspace.init(tmp_path, {"demo": local.pool / "pool.json"}, images=[local.pool], model="builtin:tiny")
    counts = Workspace(tmp_path, ON_SPARK).select("30%")
    assert digests(tmp_path) == local.tables
    assert counts["retried"] == {}
    lines = map(json.loads, (tmp_path / ".curate" / "log.jsonl").read_text().splitlines())
    pids = {line["pid"] for line in lines if line.get("table") == "image_vectors"}
    assert {cluster.host_of(pid) for pid in pids} == HOSTS


@pytest.mark.usefixtures("executors")
def test_real_records_of_a_dozen_sources_give_the_local_engines_bytes(shared: Path, tmp_path: Path) -> None:
    mixture = shared / "mixture"
    records = json.loads((mixture / "mixture.json").read_text())[::48]
    (tmp_path / "mixture.json").write_text(json.dumps(records))
    for name, settings in (("local", {}), ("spark", {**ON_SPARK, "run.partitions": 4})):
        folder, data = tmp_path / name, {"mixture": tmp_path / "mixture.json"}
        Workspace.init(folder, data, images=[mixture], model="builtin:tiny")
        counts = Workspace(folder, {**settings, "run.shard_rows": 32}).select("30%")
    assert counts["n_read"] == len(records)
    assert digests(tmp_path / "spark") == digests(tmp_path / "local")


@pytest.mark.usefixtures("executors")
@pytest.mark.parametrize(
    ("table", "victim"),
    [
        ("image_vectors", "a Python worker"),
        ("images", "an executor"),
        ("images", "a machine"),
        ("neighbours", "a Python worker"),
        ("neighbours", "an executor"),
    ],
)
def test_what_dies_in_the_middle_of_a_stage_is_made_up_for(
    local: Reference,
    cluster: Standalone,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    table: str,
    victim: str,
) -> None:
    workspace = local.without(table, tmp_path / "work")
    sign = hold(monkeypatch, workspace, table)
    with meanwhile(lambda: KILL[victim](cluster, held(sign))):
        counts = workspace.run(STEP[table])
    assert digests(tmp_path / "work") == local.tables
    assert list(counts["computed"]) == [table]
    assert set(counts["retried"]) == {table}
    said = next(line for line in result(counts) if line.startswith("retried"))
    assert f"{counts['retried'][table]} of {table}" in said


@pytest.mark.usefixtures("executors")
def test_an_image_that_a_stage_raises_on_ends_in_quarantine(
    local: Reference, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    images = Store(local.folder / ".curate").read("images", ["sha256", "error"]).to_pylist()
    victim = next(row["sha256"] for row in images if row["error"] is None)
    replace(monkeypatch, images=lambda stage: Poisoned(stage, victim))
    for name, settings in (("local", SMALL), ("spark", ON_SPARK)):
        data = {"demo": local.pool / "pool.json"}
        Workspace.init(tmp_path / name, data, images=[local.pool], model="builtin:tiny")
        counts = Workspace(tmp_path / name, settings).ingest()
    assert counts["quarantined"]["stage_failed"] >= 1
    assert counts["retried"] == {}
    assert digests(tmp_path / "spark") == digests(tmp_path / "local")


@pytest.mark.usefixtures("executors")
def test_what_ends_a_run_arrives_as_its_own_sentence(
    local: Reference, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base = local.without("samples", tmp_path / "work").base
    workspace = Workspace(base, {**ON_SPARK, "run.partitions": 1})
    replace(monkeypatch, samples=Refusing)
    with pytest.raises(ReadError, match=r"^the file has changed; ingest again$"):
        workspace.run("ingest")
    replace(monkeypatch, samples=Deadly)
    with pytest.raises(EngineUnavailable, match=r"failed 4 times, .* Python worker exited unexpectedly"):
        workspace.run("ingest")


@pytest.mark.usefixtures("executors")
def test_ctrl_c_stops_the_tasks_and_the_run_continues_later(
    local: Reference, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workspace = local.without("images", tmp_path / "work")
    sign = hold(monkeypatch, workspace, "images")

    def interrupt() -> None:
        held(sign)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), meanwhile(interrupt):
        workspace.run("ingest")
    tracker = spark.sparkContext.statusTracker()
    await_value(lambda: not tracker.getActiveStageIds() or None)
    replace(monkeypatch)
    computed = workspace.run("ingest")["computed"]["images"]
    assert 0 < computed <= N // SMALL["run.shard_rows"] - Held.after
    assert digests(tmp_path / "work") == local.tables


@pytest.mark.parametrize("spark", [SPECULATION], indirect=True)
@pytest.mark.usefixtures("executors")
def test_a_speculative_copy_of_a_slow_task_changes_nothing(
    local: Reference, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workspace = local.without("images", tmp_path / "work")
    sign = hold(monkeypatch, workspace, "images")
    counts = workspace.run("ingest")
    assert sign.exists()
    assert not over(sign).exists()
    assert counts["retried"] == {}
    assert digests(tmp_path / "work") == local.tables
