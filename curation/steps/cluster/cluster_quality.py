"""`cluster_quality`: how tight, how far apart and how stable the clusters are, on a bounded sample."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clustering.assignment import assign
from clustering.fixed import Rows
from clustering.kmeans import fit
from clustering.quality import adjusted_rand, silhouette
from curation.steps.cluster.source import ClusterVectors
from curation.storage.rows import gather
from curation.storage.sampling import smallest
from schemas.stages import Output, Pool

FIGURES = pa.schema(
    [
        pa.field("n_clusters", pa.int64(), nullable=False),
        pa.field("n_samples", pa.int64(), nullable=False),  # that have a cluster
        pa.field("largest", pa.int64(), nullable=False),  # samples
        pa.field("wss", pa.float64(), nullable=False),  # mean squared distance to the centre, in [0, 2]
        pa.field("n_sampled", pa.int64(), nullable=False),
        pa.field("silhouette", pa.float64()),  # of the sample, in [-1, 1]; null for one cluster
        pa.field("stability", pa.float64(), nullable=False),  # mean adjusted Rand index, at most 1
        pa.field("n_reseeded", pa.int64(), nullable=False),
    ]
)
# Samples a cluster, and in all, and bytes of them at most.
POINTS = 40
SAMPLED = 65_536
BYTES = 1 << 28
RESEEDED = 3


@dataclass(frozen=True)
class MeasureClusters:
    """One row of figures. Stability: how clusters of other seeds agree with those that there are."""

    source: ClusterVectors
    iterations: int
    seed: int

    name: ClassVar[str] = "cluster_quality"
    version: ClassVar[int] = 1
    writes: ClassVar[dict[str, pa.Schema]] = {"cluster_quality": FIGURES}

    @property
    def reads(self) -> tuple[str, ...]:
        return ("clusters", self.source.table)

    def params(self) -> dict[str, Any]:
        return {**self.source.params(), "iterations": self.iterations, "seed": self.seed}

    def run(self, pool: Pool) -> Iterator[Output]:
        table = pool.read("clusters", ["cluster", "similarity"])
        sizes = np.bincount(table["cluster"].drop_null().to_numpy())
        sizes = sizes[sizes > 0]
        rows, clusters = self._sample(pool, len(sizes))
        apart = silhouette(rows, clusters)
        row = {
            "n_clusters": len(sizes),
            "n_samples": int(sizes.sum()),
            "largest": int(sizes.max()),
            "wss": 2 - 2 * float(np.mean(table["similarity"].drop_null().to_numpy(), dtype=np.float64)),
            "n_sampled": len(rows),
            "silhouette": None if math.isnan(apart) else apart,
            "stability": self._stability(rows, clusters, len(sizes)),
            "n_reseeded": RESEEDED,
        }
        yield Output("cluster_quality", pa.RecordBatch.from_pylist([row], FIGURES))

    def _sample(self, pool: Pool, k: int) -> tuple[Rows, NDArray[np.int32]]:
        """Vectors and clusters of samples with the smallest hashes, in the order of uids."""
        limit = min(POINTS * k, SAMPLED, BYTES // (8 * self.source.dim))
        clusters = pool.iterate("clusters", ["uid", "cluster"])
        shards, places = smallest(clusters, limit, lambda shard: pc.is_valid(shard["cluster"]), self.seed)
        names = ["uid", *self.source.columns]
        drawn = gather(pool.paths(self.source.table), shards, places, names)
        owner = gather(pool.paths("clusters"), shards, places, ["cluster"])
        drawn = drawn.append_column("cluster", owner["cluster"]).sort_by("uid").combine_chunks()
        return Rows.of(self.source.rows(drawn)), drawn["cluster"].to_numpy()

    def _stability(self, rows: Rows, clusters: NDArray[np.int32], k: int) -> float:
        found = []
        exact = (rows.fixed / np.float32(32767)).astype(np.float32)
        for number in range(1, RESEEDED + 1):
            other = fit(rows, k, iterations=self.iterations, seed=self.seed + number)
            found.append(adjusted_rand(clusters, assign(exact, other.centroids)[0]))
        return float(np.mean(found))
