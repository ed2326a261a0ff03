"""The Spark engine in `local[2]`: the same bytes as the local engine, whatever the partitions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.kills import digests
from curation.generate.pool import write_pool
from curation.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

SMALL = {"run.shard_rows": 64}
ON_SPARK = {**SMALL, "run.engine": "spark", "run.master": "local[2]"}


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    """A session of the user's, which every test here runs in."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]").appName("tests").config("spark.ui.enabled", "false")
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
    Workspace.init(folder, {"demo": pool / "pool.json"}, images=[pool], model="builtin")
    Workspace(folder, SMALL).select("30%")
    return digests(folder)


@pytest.mark.parametrize("partitions", [None, 1, 2, 8])
def test_every_table_is_the_local_engines_bit_for_bit(
    spark: SparkSession, pool: Path, local: dict[str, str], tmp_path: Path, partitions: int | None
) -> None:
    Workspace.init(tmp_path, {"demo": pool / "pool.json"}, images=[pool], model="builtin")
    counts = Workspace(tmp_path, {**ON_SPARK, "run.partitions": partitions}).select("30%")
    assert digests(tmp_path) == local
    assert counts["retried"] == 0


def test_an_active_session_is_used_and_left_alone(spark: SparkSession, pool: Path, tmp_path: Path) -> None:
    before = dict(spark.sparkContext.getConf().getAll())
    batch = spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch")
    Workspace.init(tmp_path, {"demo": pool / "pool.json"}, images=[pool], model="builtin")
    Workspace(tmp_path, {**ON_SPARK, "run.master": "local[7]"}).ingest()
    assert spark.range(3).count() == 3
    assert dict(spark.sparkContext.getConf().getAll()) == before
    assert spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch") == batch


def test_a_run_may_change_engines_half_way(
    spark: SparkSession, pool: Path, local: dict[str, str], tmp_path: Path
) -> None:
    Workspace.init(tmp_path, {"demo": pool / "pool.json"}, images=[pool], model="builtin")
    Workspace(tmp_path, SMALL).embed()
    computed = Workspace(tmp_path, ON_SPARK).select("30%")["computed"]
    assert not {"samples", "images", "image_vectors", "chunk_vectors"} & set(computed)
    assert digests(tmp_path) == local


def test_nothing_to_do_starts_no_session(pool: Path, tmp_path: Path) -> None:
    Workspace.init(tmp_path, {"demo": pool / "pool.json"}, images=[pool], model="builtin")
    Workspace(tmp_path, SMALL).ingest()
    code = (
        "import sys\nfrom curation.workspace import Workspace\n"
        f"overrides = {ON_SPARK!r}\n"
        "counts = Workspace(sys.argv[1], overrides).ingest()\n"
        "assert counts['computed'] == {}, counts\nassert 'pyspark' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_the_command_line_builds_a_session_of_its_own(pool: Path, tmp_path: Path) -> None:
    Workspace.init(tmp_path, {"demo": pool / "pool.json"}, images=[pool], model="builtin")
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
    Workspace.init(tmp_path / "work", {"demo": data / "pool.json"}, images=[data], model="builtin")
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
