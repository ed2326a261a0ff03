"""Pseudo-skills: `centroids` fitted on a sample of the pool, the nearest one of each sample, its cluster."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clustering.assignment import Assignment
from clustering.fixed import Rows
from clustering.kmeans import fit, root_k
from clustering.knee import Curve, scan
from curation.steps.cluster.source import ClusterVectors
from curation.storage.files import each, is_url
from curation.storage.ids import sortable
from curation.storage.rows import ShardRows, gather, vector_array, vectors
from curation.storage.sampling import smallest
from curation.storage.store import read_shard
from schemas.columns import UID, vector
from schemas.errors import ConfigError
from schemas.stages import Output, Pool, Prepared, Task, Whole

CENTROID = pa.field("centroid", pa.int32())  # row of `centroids`
CLUSTER = pa.field("cluster", pa.int32())
SIMILARITY = pa.field("similarity", pa.float32())  # cosine to the centroid, in [-1, 1]
CURVE = pa.schema(
    [
        pa.field("k", pa.int32(), nullable=False),
        pa.field("wss", pa.float64(), nullable=False),  # mean squared distance to the centroid, in [0, 2]
        pa.field("chosen", pa.bool_(), nullable=False),
    ]
)
# Bytes of the training sample at most; fewer rows a centroid are taken where they would be more.
SAMPLE_BYTES = 1 << 30
BYTES_A_NUMBER = 3
# Where clusters are split by their size in the sample: only if a full one has so many rows there, and at this
# share of them, as a sample's counts are no pool's.
FEWEST_TO_SPLIT = 64
CERTAIN = 0.95


@dataclass(frozen=True)
class Training:
    """The sample that centroids are fitted on, in the order of uids, and how many it was drawn from."""

    rows: Rows
    n: int


def training(pool: Pool, source: ClusterVectors, limit: int, seed: int) -> Training:
    """At most `limit` samples, those with the smallest hashes. Holds one shard of vectors at a time."""
    n = 0

    def has_vector(shard: pa.Table) -> pa.ChunkedArray:
        nonlocal n
        n += shard[source.missing].null_count
        return shard[source.missing].is_null()

    shards, places = smallest(pool.iterate(source.among, ["uid", source.missing]), limit, has_vector, seed)
    in_order = np.lexsort((places, shards))
    shards, places = shards[in_order], places[in_order]
    paths = pool.paths(source.table)
    if not n:
        return Training(Rows.empty(0, source.dim), 0)
    by_uid = np.argsort(sortable(gather(paths, shards, places, ["uid"])["uid"]), kind="stable")
    rank = np.empty(len(by_uid), np.int64)
    rank[by_uid] = np.arange(len(by_uid))
    rows = Rows.empty(len(rank), source.dim)
    by_shard = np.split(np.arange(len(shards)), np.flatnonzero(np.diff(shards)) + 1)

    def read(own: NDArray[np.int64]) -> NDArray[np.float32]:
        return source.rows(gather(paths, shards[own], places[own], source.columns))

    for own, found in zip(by_shard, each(read, by_shard, remote=is_url(paths[0])), strict=True):
        rows.put(rank[own], found)
    return Training(rows, n)


@dataclass(frozen=True)
class FitClusters:
    """Fit: spherical k-means on at most `points` samples a centroid.

    `k` is a number, `root` (of half the samples) or `auto`: the knee of the curve of `k_curve`.
    """

    source: ClusterVectors
    k: int | Literal["auto", "root"]
    iterations: int
    points: int
    max_size: int
    seed: int

    name: ClassVar[str] = "centroids"
    version: ClassVar[int] = 3

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.source.tables))

    @property
    def writes(self) -> dict[str, pa.Schema]:
        return {
            "centroids": pa.schema([vector("centroid", self.source.dim, nullable=False)]),
            "k_curve": CURVE,
        }

    def params(self) -> dict[str, Any]:
        return {
            **self.source.params(),
            "k": self.k,
            "iterations": self.iterations,
            "points": self.points,
            "max_size": self.max_size,
            "seed": self.seed,
        }

    def run(self, pool: Pool) -> Iterator[Output]:
        n = pool.manifest(self.source.table).rows
        asked = self.k if isinstance(self.k, int) else root_k(n)
        limit = min(asked * self.points, SAMPLE_BYTES // (BYTES_A_NUMBER * self.source.dim))
        sample = training(pool, self.source, limit, self.seed)
        if not sample.rows.lengths.any():
            raise ConfigError(f"there is nothing to cluster: no sample has a vector in {self.source.table}")
        curve = scan(sample.rows, asked, seed=self.seed) if self.k == "auto" else None
        k = curve.knee if curve is not None else asked
        rows = sample.rows.take(np.arange(min(len(sample.rows), k * self.points)))
        found = fit(rows, k, iterations=self.iterations, seed=self.seed, most=self._most(len(rows), sample.n))
        centroids = vector_array(found.centroids, np.ones(len(found.centroids), bool))
        yield Output("centroids", pa.record_batch([centroids], schema=self.writes["centroids"]))
        yield Output("k_curve", _curve(curve))

    def _most(self, rows: int, n: int) -> float:
        """Rows of the sample that a cluster may have, so that in the pool it has at most `max_size`."""
        most = self.max_size * rows / n
        if n <= self.max_size or most < FEWEST_TO_SPLIT:
            return math.inf
        # Four standard deviations of a count that is sampled.
        return CERTAIN * most - (4 * math.sqrt(most) if rows < n else 0)


def _curve(curve: Curve | None) -> pa.RecordBatch:
    points = [] if curve is None else list(zip(curve.k, curve.wss, strict=True))
    rows = [{"k": k, "wss": wss, "chosen": k == curve.knee} for k, wss in points if curve is not None]
    return pa.RecordBatch.from_pylist(rows, CURVE)


def _with_centroids(task: Task, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, Assignment]:
    return rows, _assignment(task.artefact("centroids"))


@lru_cache(maxsize=1)
def _assignment(path: str) -> Assignment:
    """The centroids in a file, which is named by its content."""
    return Assignment.of(vectors(read_shard(path)["centroid"]))


@dataclass(frozen=True)
class NearestCentroids(Prepared):
    """`nearest`: the nearest centroid of each sample and the cosine to it; null where it has no vector."""

    vectors: ClusterVectors

    name: ClassVar[str] = "nearest"
    version: ClassVar[int] = 1
    writes: ClassVar[pa.Schema] = pa.schema([UID, CENTROID, SIMILARITY])

    @property
    def source(self) -> ShardRows:
        rows = (self.vectors.table, ("uid", *self.vectors.columns))
        return ShardRows((rows,), further=(Whole("centroids"),), made=_with_centroids)

    def params(self) -> dict[str, Any]:
        return self.vectors.params()

    def prepare(self, piece: tuple[pa.RecordBatch, Assignment]) -> pa.RecordBatch:
        rows, centroids = piece
        nearest, similarity = centroids.assign(self.vectors.rows(rows))
        absent = ~self.vectors.present(rows)
        columns = [rows["uid"], pa.array(nearest, mask=absent), pa.array(similarity, mask=absent)]
        return pa.record_batch(columns, schema=self.writes)


@dataclass(frozen=True)
class BoundClusters:
    """`clusters`: the cluster of each sample, of at most `max_size` samples.

    A cluster is what has the same nearest centroid. The fit splits those that are too large; what it could
    not split, because its vectors are equal, or missed, because it saw a sample, is cut here into equal
    pieces by the cosine to the centroid, which keeps near-copies together. All but the first get new numbers.
    """

    max_size: int

    name: ClassVar[str] = "clusters"
    alike: ClassVar[str] = "nearest"
    version: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...]] = ("nearest", "centroids")
    writes: ClassVar[dict[str, pa.Schema]] = {"clusters": pa.schema([UID, CLUSTER, SIMILARITY])}

    def params(self) -> dict[str, Any]:
        return {"max_size": self.max_size}

    def run(self, pool: Pool) -> Iterator[Output]:
        table = pool.read("nearest", ["uid", "centroid", "similarity"])
        absent = table["centroid"].is_null().to_numpy()
        cluster = table["centroid"].fill_null(-1).to_numpy().copy()
        similarity = table["similarity"].fill_null(0).to_numpy()
        cut(cluster, similarity, sortable(table["uid"]), self.max_size, pool.manifest("centroids").rows)
        for part in pool.manifest("nearest").slices:
            uid, cosine = (table[name][part].combine_chunks() for name in ("uid", "similarity"))
            columns = [uid, pa.array(cluster[part], mask=absent[part]), cosine]
            yield Output("clusters", pa.record_batch(columns, schema=self.writes["clusters"]))


def cut(
    cluster: NDArray[np.int32],
    similarity: NDArray[np.float32],
    uids: NDArray[np.bytes_],
    most: int,
    free: int,
) -> None:
    """Cut clusters of more than `most` rows into as few equal pieces as it takes, numbered from `free` on.

    In the order of similarity, highest first; ties by uid. Rows of cluster -1 have none.
    """
    for large in np.flatnonzero(np.bincount(cluster[cluster >= 0], minlength=1) > most).tolist():
        members = np.flatnonzero(cluster == large)
        order = members[np.lexsort((uids[members], -similarity[members]))]
        for piece in np.array_split(order, -(-len(order) // most))[1:]:
            cluster[piece] = free
            free += 1
