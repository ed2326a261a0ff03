"""The Spark engine in `local[2]`: the same bytes as the local engine, whatever the partitions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, fields, replace
from importlib import import_module
from inspect import isabstract
from pathlib import Path
from pkgutil import walk_packages
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

import curation.steps
from benchmarks.kills import digests
from curation.catalog import SCORES
from curation.commands.plan import DECISION_BYTES
from curation.executor.planner import Planner
from curation.generate.pool import write_pool
from curation.steps.chain import chain
from curation.steps.prune import recall_sample
from curation.storage import sampling, store
from curation.storage.journal import entries
from curation.storage.rows import gather
from curation.workspace import Workspace
from jobs.spark import SparkEngine
from jobs.tasks import PIECE_BYTES, pieces_of, unpacked
from schemas.errors import ConfigError
from schemas.stages import is_whole, outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from pyspark.sql import SparkSession

    from schemas.stages import Stage

pytestmark = pytest.mark.spark

SMALL = {"run.shard_rows": 24}
ON_SPARK = {**SMALL, "run.engine": "spark", "run.master": "local[2]"}


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    """A session of the user's, which every test here runs in."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]").appName("tests").config("spark.ui.enabled", "false")
    # Spark itself fails a job that brings more to the driver.
    builder = builder.config("spark.driver.maxResultSize", "128k")
    made = builder.config("spark.sql.shuffle.partitions", "3").getOrCreate()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool")
    write_pool(folder, 240, seed=3)
    return folder


@pytest.fixture(scope="module")
def local(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Every table of the chain, as the local engine makes it."""
    folder = tmp_path_factory.mktemp("local")
    Workspace.init(folder, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    Workspace(folder, SMALL).select("30%")
    return digests(folder)


# --- the contract: every stage on both engines -------------------------------------------------------------

# Stages that need more than settings, and the tests that compare them on both engines.
ELSEWHERE = {
    "Ask": "test_endpoint_engines.py",
    **dict.fromkeys(("FindImages", "FindTexts", "Leaks"), "test_decontaminate.py"),
}
# A pool of its own: with a vision-language model it takes longer.
SMALL_POOL, SMALL_SHARDS = 64, {"run.shard_rows": 16}


@dataclass(frozen=True)
class Contract:
    """Runs on the local engine that have every stage between them: settings, stages and tables by name."""

    pool: Path
    settings: dict[str, dict[str, Any]]
    stages: dict[str, list[Stage]]
    tables: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    folder = tmp_path_factory.mktemp("contract")
    write_pool(folder / "pool", SMALL_POOL, seed=3)
    inside = {**SMALL_SHARDS, "cluster.vectors": "activation", "vlm.model": "builtin", "run.seed": 1}
    settings = {
        "chain": with_models(folder),
        "clusters": with_vectors_of_a_file(folder),
        "activations": inside,
    }
    stages: dict[str, list[Stage]] = {name: [] for name in settings}
    compute = Workspace.compute
    for name, given in settings.items():

        def noting(workspace: Workspace, held: list[Stage], name: str = name) -> Any:
            stages[name].extend(held)
            return compute(workspace, held)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Workspace, "compute", noting)
            RUNS[name](workspace(folder / name, folder / "pool", given))
    tables = {name: digests(folder / name) for name in settings}
    return Contract(folder / "pool", settings, stages, tables)


def workspace(folder: Path, pool: Path, settings: dict[str, Any]) -> Workspace:
    Workspace.init(folder, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    return Workspace(folder, settings)


def with_models(folder: Path) -> dict[str, Any]:
    """Settings with which the chain has every stage but those of other vectors."""
    head = folder / "head.safetensors"
    save_file({"weight": np.random.default_rng(0).standard_normal((1, 256), np.float32)}, head)
    asked = {"embed.phrases": True, "score.heads": {"head": {"path": str(head)}}, "vlm.model": "builtin"}
    asked |= {"score.ocr": True}
    grouped = {"cluster.vectors": "gradient", "gradient.dims": 64, "prune.perceptual": 4}
    return {**SMALL_SHARDS, **asked, **grouped, "select.budget": "30%"}


def with_vectors_of_a_file(folder: Path) -> dict[str, Any]:
    """Vectors of all records but a few."""
    ids = [record["id"] for record in json.loads((folder / "pool" / "pool.json").read_text())][5:]
    rows = np.random.default_rng(0).standard_normal((len(ids), 16), np.float32)
    table = pa.table({"id": ids, "vector": pa.FixedSizeListArray.from_arrays(rows.ravel(), 16)})
    pq.write_table(table.take(np.unique(ids, return_index=True)[1]), folder / "vectors.parquet")
    return {**SMALL_SHARDS, "cluster.vectors": f"file:{folder / 'vectors.parquet'}"}


RUNS: dict[str, Callable[[Workspace], Any]] = {
    "chain": Workspace.run,
    "clusters": lambda made: made.clusters(quality=True),
    "activations": lambda made: made.run("cluster"),
}


def stage_modules() -> list[ModuleType]:
    found = walk_packages(curation.steps.__path__, "curation.steps.")
    return [import_module(module.name) for module in found]


def is_stage(held: type) -> bool:
    return hasattr(held, "params") and (hasattr(held, "prepare") or hasattr(held, "run"))


def test_the_contract_covers_every_stage_there_is(contract: Contract) -> None:
    there = {
        held.__name__
        for module in stage_modules()
        for held in vars(module).values()
        if isinstance(held, type) and held.__module__ == module.__name__ and is_stage(held)
        if not isabstract(held)
    }
    run = [stage for stages in contract.stages.values() for stage in stages]
    assert {type(stage).__name__ for stage in run} == there - set(ELSEWHERE)
    assert all((Path(__file__).parent / name).is_file() for name in ELSEWHERE.values())
    # Several tables of scores are made by one class; `own` is compared in test_api.py.
    made = {table for tables in contract.tables.values() for table in tables}
    assert set(SCORES) - made == {"judgement", "own"}
    for name, stages in contract.stages.items():
        assert {table for stage in stages for table in outputs(stage)} == set(contract.tables[name])


@pytest.mark.parametrize(
    ("name", "partitions"),
    # A partition for each shard, some of them in one, all in one, and more than there are shards.
    [("chain", None), ("chain", 2), ("clusters", 1), ("clusters", 8), ("activations", 3)],
)
def test_every_table_is_the_local_engines_bit_for_bit(
    spark: SparkSession, contract: Contract, tmp_path: Path, name: str, partitions: int | None
) -> None:
    given = {**ON_SPARK, **contract.settings[name], "run.partitions": partitions}
    found = RUNS[name](workspace(tmp_path, contract.pool, given))
    assert digests(tmp_path) == contract.tables[name]
    assert found.get("retried", {}) == {}
    # Whatever is no decision was computed and committed elsewhere than in this process, the driver.
    commits = [event for event in entries(tmp_path / ".curate") if event["event"] == "commit"]
    by_driver = {event["table"] for event in commits if event["pid"] == os.getpid()}
    decided = [stage for stage in contract.stages[name] if is_whole(stage)]
    assert by_driver == {table for stage in decided for table in outputs(stage)}
    assert {event["table"] for event in commits} == set(contract.tables[name])


# --- sessions, failures, what comes to the driver ----------------------------------------------------------


def test_the_driver_takes_in_narrow_columns_and_bounded_samples_only(
    spark: SparkSession, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = {"limit": 16, "k": 1, "points": 16}  # of samples that are 4096 rows and more by default

    def bounded(*args: Any) -> list[Stage]:
        return [cut(stage) if is_whole(stage) else stage for stage in chain(*args)]

    def cut(stage: Any) -> Any:
        return replace(
            stage, **{held.name: bounds[held.name] for held in fields(stage) if held.name in bounds}
        )

    def noting(call: Callable[..., Any], *owners: Any) -> list[Any]:
        """What a function gives back in this process, the driver."""
        found = []

        def noted(*args: Any) -> Any:
            found.append(call(*args))
            return found[-1]

        for owner in owners:
            monkeypatch.setattr(owner, call.__name__, noted)
        return found

    # The sample that recall is measured on has a bound of its own, above the size of this pool.
    modules = [module for module in (sampling, *stage_modules()) if module is not recall_sample]
    users = [module for module in modules if hasattr(module, "gather")]
    collected = noting(SparkEngine._collect, SparkEngine)
    read = noting(store.read_shard, store)
    sampled = noting(gather, *users)
    decisions, decide = [], Planner._decide

    def deciding(planner: Planner, stage: Any) -> None:
        start = len(read)
        decide(planner, stage)
        decisions.append(read[start:])

    monkeypatch.setattr(Planner, "_decide", deciding)
    monkeypatch.setattr("curation.pipeline.pipeline.chain", bounded)
    monkeypatch.setattr("curation.steps.prune.copies.FEWEST_COPIED", bounds["limit"])
    Workspace.init(tmp_path, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    Workspace(tmp_path, ON_SPARK).select("30%")
    assert {type(value) for rows in collected for row in rows for value in row} == {int}
    assert sum(map(len, collected)) < 240
    # The widest column is the hashes of a sample's images; a vector has 1024 bytes. Centroids are few, and so
    # are the samples of a fit.
    narrow = [
        table.drop_columns([name for name in table.column_names if name == "centroid"])
        for table in read
        if len(table) > bounds["limit"]
    ]
    widths = [column.nbytes / len(table) for table in narrow if len(table) for column in table.columns]
    assert max(widths) < 40
    assert len(decisions) > 5
    for held in decisions:
        assert sum(table.nbytes for table in held) < 240 * DECISION_BYTES
    assert 0 < sum(map(len, sampled)) < 240


def test_clusters_that_do_not_fit_into_memory_are_refused(
    spark: SparkSession, pool: Path, tmp_path: Path
) -> None:
    Workspace.init(tmp_path, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    Workspace(tmp_path, SMALL).cluster()
    with pytest.raises(ConfigError, match=r"^neighbours: clusters are too large for --memory, 0\.0001 GB"):
        Workspace(tmp_path, {**ON_SPARK, "run.memory": "100KB"}).prune()


def test_rows_are_shuffled_in_pieces_of_megabytes_whatever_the_shard() -> None:
    rows = pa.table({"number": range(10_000), "wide": [bytes(1000)] * 10_000})
    batches = list(pieces_of(3, 7, rows))
    assert max(batch.nbytes for batch in batches) < 1.1 * PIECE_BYTES
    assert {number for number, _ in unpacked(iter(batches))} == {3}
    assert pa.concat_tables([piece for _, piece in unpacked(iter(batches))]).equals(rows)


def test_an_active_session_is_used_and_left_alone(spark: SparkSession, pool: Path, tmp_path: Path) -> None:
    before = dict(spark.sparkContext.getConf().getAll())
    batch = spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch")
    Workspace.init(tmp_path, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    Workspace(tmp_path, {**ON_SPARK, "run.master": "local[7]"}).ingest()
    assert spark.range(3).count() == 3
    assert dict(spark.sparkContext.getConf().getAll()) == before
    assert spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch") == batch


def test_a_run_may_change_engines_half_way(
    spark: SparkSession, pool: Path, local: dict[str, str], tmp_path: Path
) -> None:
    Workspace.init(tmp_path, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    Workspace(tmp_path, SMALL).embed()
    computed = Workspace(tmp_path, ON_SPARK).select("30%")["computed"]
    assert not {"samples", "images", "image_vectors", "chunk_vectors"} & set(computed)
    assert digests(tmp_path) == local


def test_nothing_to_do_starts_no_session(pool: Path, tmp_path: Path) -> None:
    Workspace.init(tmp_path, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    Workspace(tmp_path, SMALL).ingest()
    code = (
        "import sys\nfrom curation.workspace import Workspace\n"
        f"overrides = {ON_SPARK!r}\n"
        "counts = Workspace(sys.argv[1], overrides).ingest()\n"
        "assert counts['computed'] == {}, counts\nassert 'pyspark' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_the_command_line_builds_a_session_of_its_own(pool: Path, tmp_path: Path) -> None:
    Workspace.init(tmp_path, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    flags = ["--engine", "spark", "--master", "local[1]", "--spark-conf", "spark.ui.enabled=false", "--json"]
    command = [sys.executable, "-m", "jobs", "-C", str(tmp_path), "ingest", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["n_read"] == 240


def test_a_failing_stage_is_an_error_and_not_a_lost_shard(
    spark: SparkSession, pool: Path, local: dict[str, str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(pool, data)
    Workspace.init(tmp_path / "work", {"demo": data / "pool.json"}, images=[data], model="builtin:tiny")
    workspace = Workspace(tmp_path / "work", ON_SPARK)
    workspace.ingest()
    victim = next(path for path in sorted((data / "images").rglob("*.png")) if path.stat().st_size > 1000)
    held = victim.read_bytes()
    victim.write_bytes(held[:-1])
    with pytest.raises(Exception, match="changed since it was ingested"):
        workspace.embed()
    victim.write_bytes(held)
    workspace.embed()
    names = ("image_vectors", "chunk_vectors")
    found = digests(tmp_path / "work")
    assert len([name for name in names if name in found]) == 2
