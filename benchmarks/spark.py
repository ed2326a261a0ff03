"""Images per second of the embed stage on Spark: against the local engine, two UDFs, and one executor.

(a) `local[2]` against the local engine, on the same shards. (b) The fused stage against programs of two UDFs,
decode to an array of floats and then the model, with a filter between them that keeps Spark from joining
them, as in Daft's published program for Spark, which used pandas UDFs; once pickled, once as Spark has it by
default, once as published. The model is the built-in one at 224 px, and the vectors must agree before
anything is timed. (c) Two executors against one, each held to a core of its own, as a machine of one core is.
Starting Spark, its workers and loading models is not timed.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

# OpenMP reads it when torch is imported; in the engine the encoder sets it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pyarrow.parquet as pq

from benchmarks.embed import run_stage, subset
from benchmarks.report import SHARED, alternate, arguments, show
from curation.executor.local import LocalEngine
from curation.executor.memory import MemoryLimit
from curation.executor.planner import Planner
from curation.models.spec import BUILTIN
from curation.progress import Silent
from curation.steps.chain import chain
from curation.storage.rows import vectors
from curation.workspace import Workspace
from jobs.spark import SparkEngine
from tests.standalone import Standalone, await_executors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curation.models.resolved import Model
    from schemas.stages import Engine

ROOT = Path(__file__).parents[1]
SIDE = 224  # px
SHARD_ROWS = 128
AMPLE = MemoryLimit(10**11)
CONF = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "4g",
    "spark.executor.cores": "1",
    "spark.executor.memory": "1g",
    "spark.executorEnv.PYTHONPATH": str(ROOT),
}
PICKLED = {"spark.sql.execution.pythonUDF.arrow.enabled": "false"}
PUBLISHED = {"spark.sql.execution.arrow.maxRecordsPerBatch": "100"}


@contextmanager
def spark(master: str, **more: str) -> Iterator[Any]:
    """A session of our own, which the engine finds and uses."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(master).appName("benchmark")
    for name, value in {**CONF, **more}.items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("OFF")
    try:
        yield made
    finally:
        made.stop()


@dataclass(frozen=True)
class Pool:
    """A workspace whose records are ingested: `n` images to embed, by any engine and model."""

    workspace: Workspace
    n: int

    def stage(self, model: str) -> Any:
        """The stage that embeds images."""
        workspace = Workspace(self.workspace.path, {**self.workspace.overrides, "embed.model": model})
        stages = chain(workspace.context, "embed")
        return next(stage for stage in stages if stage.name == "image_vectors")

    def run(self, engine: Engine, stage: Any) -> float:
        """Images per second, from nothing committed."""
        return run_stage(Planner(self.workspace.store, engine, Silent(), [], 0.5), stage, self.n)

    def on_spark(self) -> SparkEngine:
        """In the session that is active."""
        return SparkEngine(self.workspace.store, AMPLE)

    def vectors(self) -> dict[bytes, Any]:
        """By the image's sha256, as the last run left them."""
        table = self.workspace.store.read("image_vectors", ["sha256", "vector"])
        return dict(zip(table["sha256"].to_pylist(), vectors(table["vector"]), strict=True))

    def files(self) -> dict[str, bytes]:
        """Each distinct image's path and sha256."""
        lists = self.workspace.store.read("samples", ["images"])["images"].to_pylist()
        first = {ref["sha256"]: ref["path"] for refs in lists for ref in refs}
        return {path: sha256 for sha256, path in first.items()}


def ingested(folder: Path, limit: int) -> Pool:
    """`limit` records of the mixture with an image each, none twice."""
    data = subset(folder, limit)
    Workspace.init(folder / "work", {"pool": data}, images=[SHARED / "mixture"], model="builtin:tiny")
    workspace = Workspace(folder / "work", {"run.shard_rows": SHARD_ROWS})
    workspace.ingest()
    manifest = workspace.store.manifest("images")
    return Pool(workspace, manifest.rows)


def small_at_224(folder: Path) -> str:
    """The built-in model for larger images, as open_clip makes it: its position embedding interpolated."""
    from safetensors.torch import load_file, save_file

    made = folder / "small224"
    shutil.copytree(BUILTIN, made)
    weights = load_file(made / "model.safetensors")
    save_file({name: value.float() for name, value in weights.items()}, made / "open_clip_model.safetensors")
    (made / "model.safetensors").unlink()
    path = made / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["vision_cfg"]["image_size"] = SIDE
    path.write_text(json.dumps(config))
    return str(made)


# --- two UDFs ----------------------------------------------------------------------------------------------


def decoded(model: Model, content: bytes) -> list[float]:
    """Pixels as a model takes them, (3 * SIDE * SIDE) floats."""
    from PIL import Image

    from curation.readers.images import to_rgb

    encoder: Any = model.encoder()
    pixels = encoder.preprocess(to_rgb(Image.open(io.BytesIO(content)))).astype(np.float32) / 255
    mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (encoder.mean, encoder.std))
    floats: list[float] = ((pixels - mean) / std).ravel().tolist()
    return floats


def embedded(model: Model, rows: Any) -> Any:
    """(n, d) unit vectors of (n, 3 * SIDE * SIDE) floats."""
    import torch

    encoder: Any = model.encoder()
    with torch.inference_mode():
        pixels = torch.from_numpy(np.asarray(rows, np.float32).reshape(-1, 3, SIDE, SIDE))
        features = encoder.model.encode_image(pixels.to(getattr(torch, model.dtype))).float()
        return torch.nn.functional.normalize(features, dim=-1).numpy()


def plain_udfs(model: Model) -> tuple[Any, Any]:
    """A row at a time."""
    from pyspark.sql.functions import udf

    def embed(row: list[float]) -> list[float]:
        vector: list[float] = embedded(model, [row])[0].tolist()
        return vector

    return udf(partial(decoded, model), "array<float>"), udf(embed, "array<float>")


def pandas_udfs(model: Model) -> tuple[Any, Any]:
    """A batch at a time."""
    import pandas as pd
    from pyspark.sql.functions import pandas_udf  # type: ignore[attr-defined]

    def decode(contents: pd.Series) -> pd.Series:
        return pd.Series([decoded(model, content) for content in contents])

    def embed(rows: pd.Series) -> pd.Series:
        return pd.Series(embedded(model, np.vstack(rows.tolist())).tolist())

    # pyspark reads the annotations, which are strings here.
    for function in (decode, embed):
        function.__annotations__ = dict.fromkeys(function.__annotations__, pd.Series)
    return pandas_udf(decode, "array<float>"), pandas_udf(embed, "array<float>")


def two_udfs(
    session: Any, udfs: tuple[Any, Any], settings: dict[str, str], paths: list[str], out: Path
) -> float:
    """Images per second of the program of two UDFs; its vectors go to `out`."""
    decode, embed = udfs
    before = {name: session.conf.get(name) for name in settings}
    for name, value in settings.items():
        session.conf.set(name, value)
    start = time.perf_counter()
    frame = session.read.format("binaryFile").load(paths)
    pixels = frame.select("path", decode("content").alias("pixels")).filter("pixels is not null")
    pixels.select("path", embed("pixels").alias("vector")).write.mode("overwrite").parquet(str(out))
    seconds = time.perf_counter() - start
    for name, value in before.items():
        session.conf.set(name, value)
    return len(paths) / seconds


def smallest_cosine(pool: Pool, out: Path) -> float:
    """Between the stage's vector of an image and that of the two UDFs."""
    ours, hashes = pool.vectors(), pool.files()
    theirs = pq.read_table(out)
    names = [path.removeprefix("file:") for path in theirs["path"].to_pylist()]
    assert len(names) == len(ours) == pool.n
    rows = np.asarray(theirs["vector"].combine_chunks().flatten(), np.float32).reshape(len(names), -1)
    return float(min(ours[hashes[name]] @ row for name, row in zip(names, rows, strict=True)))


# --- the three comparisons ---------------------------------------------------------------------------------


def against_the_local_engine(pool: Pool, repeat: int) -> dict[str, float]:
    """Inside a session in `local[2]`."""
    stage, local, cluster = (
        pool.stage("builtin:tiny"),
        LocalEngine(pool.workspace.store, AMPLE),
        pool.on_spark(),
    )
    pool.run(local, stage)
    expected = pool.workspace.store.manifest("image_vectors")
    pool.run(cluster, stage)
    assert pool.workspace.store.manifest("image_vectors") == expected, "the engines disagree"
    medians = alternate(
        {"local": lambda: pool.run(local, stage), "local[2]": lambda: pool.run(cluster, stage)}, repeat
    )
    figures = {f"embed_{name}_images_per_second": value for name, value in medians.items()}
    overhead = medians["local"] / medians["local[2]"] - 1
    return {"embed_images": pool.n, **figures, "overhead_share": overhead}


def against_two_udfs(session: Any, pool: Pool, folder: Path, repeat: int) -> dict[str, float]:
    """Inside a session in `local[2]`."""
    stage, engine, out = pool.stage(small_at_224(folder)), pool.on_spark(), folder / "two_udfs"
    plain, paths = plain_udfs(stage.model), list(pool.files())
    variants = {
        "two_udfs_pickled": (plain, PICKLED),
        "two_udfs_by_default": (plain, {}),
        "two_pandas_udfs_as_published": (pandas_udfs(stage.model), PUBLISHED),
    }
    runs = {"fused": partial(pool.run, engine, stage)}
    pool.run(engine, stage)
    for name, (udfs, settings) in variants.items():
        runs[name] = partial(two_udfs, session, udfs, settings, paths, out)
        runs[name]()
        cosine = smallest_cosine(pool, out)
        assert cosine > 0.999, f"{name} disagrees with the stage: cosine {cosine}"
    medians = alternate(runs, repeat)
    figures = {f"at_224_px_{name}_images_per_second": value for name, value in medians.items()}
    ratios = {f"ratio_fused_vs_{name}": medians["fused"] / medians[name] for name in variants}
    return {"at_224_px_images": pool.n, **figures, **ratios}


def against_one_executor(pool: Pool, folder: Path, repeat: int) -> dict[str, float]:
    """On a standalone cluster of two workers with a core each."""
    stage, found = pool.stage("builtin:tiny"), {}
    with Standalone(folder, pinned=True) as cluster:
        for n in (1, 2):
            with spark(cluster.url, **{"spark.cores.max": str(n)}) as session:
                await_executors(session, n)
                pool.run(pool.on_spark(), stage)
                found[n] = alternate({"run": lambda: pool.run(pool.on_spark(), stage)}, repeat)["run"]
    figures = {f"embed_{n}_executors_images_per_second": value for n, value in found.items()}
    return {**figures, "ratio_two_executors_vs_one": found[2] / found[1]}


def main() -> None:
    """All three."""
    flags = arguments(__doc__)
    repeat = 2 if flags.quick else flags.repeat
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in ("many", "some", "cluster"):
            (folder / name).mkdir()
        many = ingested(folder / "many", 768 if flags.quick else 5000)
        some = ingested(folder / "some", 128 if flags.quick else 512)
        with spark("local[2]") as session:
            figures = against_the_local_engine(many, repeat)
            figures |= against_two_udfs(session, some, folder / "some", repeat)
        figures |= against_one_executor(many, folder / "cluster", repeat)
    show("spark", figures, ["pyspark", "torch", "open_clip_torch", "pillow"], as_json=flags.json)


if __name__ == "__main__":
    main()
