"""Pseudo-skills: `centroids` fitted on a sample of the pool, and the cluster of each sample (`clusters`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from clustering.assignment import assign
from clustering.kmeans import fit, root_k
from clustering.vectors import joint
from curation.gather import vector_array, vectors
from curation.sampling import sample
from curation.stages.inputs import Aligned, Input, Whole
from curation.stages.pool import Output
from curation.store import read_shard
from schemas.columns import UID, vector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from curation.stages.pool import Pool
    from schemas.protocols import Task

CLUSTER = pa.field("cluster", pa.int32())
SIMILARITY = pa.field("similarity", pa.float32())  # cosine to the centroid, in [-1, 1]


def joined(table: pa.Table | pa.RecordBatch, image_weight: float) -> NDArray[np.float32]:
    """(n, 2 d): image and text side by side, as they are clustered."""
    image, text = table["image"], table["text"]
    return joint(
        vectors(image),
        vectors(text),
        image_weight=image_weight,
    )


def _any(shard: pa.Table) -> pa.Array:
    import pyarrow.compute as pc

    return pc.or_(pc.is_valid(shard["image"]), pc.is_valid(shard["text"]))


@dataclass(frozen=True)
class FitClusters:
    """Fit: spherical k-means on at most `points` samples a centroid."""

    k: int | Literal["auto"]
    dim: int
    iterations: int
    image_weight: float
    seed: int
    points: int = 256

    name: ClassVar[str] = "centroids"
    version: ClassVar[int] = 2
    shape: ClassVar[str] = "fit"
    reads: ClassVar[tuple[str, ...]] = ("vectors", "checked")

    @property
    def writes(self) -> dict[str, pa.Schema]:
        return {"centroids": pa.schema([vector("centroid", 2 * self.dim, nullable=False)])}

    def params(self) -> dict[str, Any]:
        return {
            "k": self.k,
            "iterations": self.iterations,
            "image_weight": self.image_weight,
            "seed": self.seed,
            "points": self.points,
        }

    def shards(self, pool: Pool) -> int:
        return 1

    def run(self, pool: Pool) -> Iterator[Output]:
        n = pool.manifest("vectors").rows
        k = root_k(n) if self.k == "auto" else self.k
        drawn = sample(
            pool,
            k * self.points,
            table="vectors",
            columns=["image", "text"],
            among="checked",
            wanted="error",
            valid=False,
            seed=self.seed,
        )
        centroids = fit(
            joined(drawn, self.image_weight), k, iterations=self.iterations, seed=self.seed
        ).centroids
        schema = self.writes["centroids"]
        column = vector_array(centroids, np.ones(len(centroids), bool))
        yield Output("centroids", pa.record_batch([column], schema=schema))


@dataclass(frozen=True)
class VectorsAndCentroids:
    """Source: vectors of a shard, and all centroids."""

    inputs: ClassVar[tuple[Input, ...]] = (Aligned("vectors"), Whole("centroids"))

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        table = read_shard(task.inputs["vectors"][task.number], ["uid", "image", "text"])
        yield from table.combine_chunks().to_batches()

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, NDArray[np.float32]]]:
        yield rows, vectors(read_shard(task.inputs["centroids"][0])["centroid"])


@dataclass(frozen=True)
class AssignClusters:
    """`clusters`: the nearest centroid of each sample and the cosine to it; null for bad records."""

    image_weight: float

    source: ClassVar[VectorsAndCentroids] = VectorsAndCentroids()
    name: ClassVar[str] = "clusters"
    version: ClassVar[int] = 1
    shape: ClassVar[str] = "map"
    writes: ClassVar[pa.Schema] = pa.schema([UID, CLUSTER, SIMILARITY])

    def params(self) -> dict[str, Any]:
        return {"image_weight": self.image_weight}

    def prepare(self, piece: tuple[pa.RecordBatch, NDArray[np.float32]]) -> pa.RecordBatch:
        rows, centroids = piece
        cluster, similarity = assign(joined(rows, self.image_weight), centroids)
        absent = ~_any(pa.Table.from_batches([rows])).to_numpy()
        columns = [rows["uid"], pa.array(cluster, mask=absent), pa.array(similarity, mask=absent)]
        return pa.record_batch(columns, schema=self.writes)

    def finish(self, rows: pa.RecordBatch, prepared: list[pa.RecordBatch]) -> pa.RecordBatch:
        return prepared[0]
