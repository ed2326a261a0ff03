"""k-means: how tight and how fast, against faiss and scikit-learn; and a million vectors from shards.

At equal rows, k and iterations: our fit, faiss' spherical k-means from its own random starts and from
k-means++, and scikit-learn's MiniBatchKMeans as Adapt-∞ sets it. The objective is the within-cluster sum of
squares of exact assignments to the centroids, a row; ours may be at most 1 % above that of faiss, which is
asserted before anything is timed. torch is in memory, as it is after embedding. Then a workspace of a million
samples in shards of 1,024: fit and assignment of them all in a fresh process, its time and its resident
memory at most.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from benchmarks.report import alternate, parser, show
from benchmarks.stages import figures_of, in_own_process
from clustering.assignment import assign
from clustering.kmeans import fit
from clustering.vectors import unit
from curation.steps.cluster.centroids import BoundClusters, FitClusters, NearestCentroids
from curation.steps.cluster.source import ClusterVectors
from curation.storage.rows import vector_array
from curation.storage.store import Store
from schemas.columns import UID, vector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from schemas.stages import Stage

    Rows = NDArray[np.float32]

SEED = 1
SHARD = 1024
TOLERANCE = 1.01


def rows_like_embeddings(n: int, d: int, seed: int = 0, start: int = 0) -> Rows:
    """Unit rows around 4,000 centres of unequal weight, in a cone: most of a row is common to all."""
    centres, odds = _centres(d, seed)
    rng = np.random.default_rng([seed, start])
    noise = rng.standard_normal((n, d), np.float32) * np.float32(0.7 / np.sqrt(d))
    return unit(centres[np.searchsorted(odds, rng.random(n))] + noise)


@cache
def _centres(d: int, seed: int) -> tuple[Rows, NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((4000, d)) * rng.gamma(2.0, 0.5, (1, d))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    common = rng.standard_normal(d)
    weights = rng.gamma(0.5, 1.0, 4000)
    shared = 1.2 * common / np.linalg.norm(common)
    odds = np.cumsum(weights / weights.sum())
    odds[-1] = 1.0
    return (centres + shared).astype(np.float32), odds


def wss(rows: Rows, centroids: Rows) -> float:
    """Mean squared distance of the rows to the nearest centroid, exactly."""
    return float(2 - 2 * assign(rows, unit(centroids))[1].mean(dtype=np.float64))


# --- the same rows, k and iterations ---------------------------------------------------------------------


def ours(rows: Rows, k: int, iterations: int) -> Rows:
    """Our centroids."""
    return fit(rows, k, iterations=iterations, seed=SEED).centroids


def faiss_spherical(rows: Rows, k: int, iterations: int, *, plus_plus: bool = False) -> Rows:
    """Centroids of faiss' own k-means, on all the rows it is given."""
    import faiss

    start = faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS if plus_plus else faiss.ClusteringInitMethod_RANDOM
    made = faiss.Kmeans(
        rows.shape[1],
        k,
        niter=iterations,
        seed=SEED,
        spherical=True,
        init_method=start,
        max_points_per_centroid=len(rows),
        min_points_per_centroid=1,
    )
    made.train(rows)
    assert made.centroids is not None
    found: Rows = made.centroids
    return found


def mini_batches(rows: Rows, k: int, iterations: int) -> Rows:
    """scikit-learn's MiniBatchKMeans with Adapt-∞'s batches."""
    from sklearn.cluster import MiniBatchKMeans

    made = MiniBatchKMeans(k, batch_size=10240, max_iter=iterations, random_state=SEED, n_init=1).fit(rows)
    found: Rows = made.cluster_centers_.astype(np.float32)
    return found


def compare(
    n: int, d: int, k: int, iterations: int, repeat: int, *, with_sklearn: bool = True
) -> dict[str, float]:
    """Tightness and time of each, on the same rows; scikit-learn takes 50 times as long as we do."""
    import torch  # noqa: F401  # as after embedding: the fit multiplies with what is there

    rows = rows_like_embeddings(n, d)
    fits: dict[str, Callable[[], Rows]] = {
        "ours": lambda: ours(rows, k, iterations),
        "faiss": lambda: faiss_spherical(rows, k, iterations),
        "faiss_plus_plus": lambda: faiss_spherical(rows, k, iterations, plus_plus=True),
    }
    if with_sklearn:
        fits["sklearn_minibatch"] = lambda: mini_batches(rows, k, iterations)
    tight = {name: wss(rows, made()) for name, made in fits.items()}
    assert tight["ours"] <= TOLERANCE * tight["faiss"], tight
    assert tight["ours"] <= TOLERANCE * tight["faiss_plus_plus"], tight

    def timed(name: str) -> float:
        start = time.perf_counter()
        fits[name]()
        return time.perf_counter() - start

    seconds = alternate({name: partial(timed, name) for name in fits}, repeat)
    figures = {f"{name}.wss": value for name, value in tight.items()}
    figures |= {f"{name}.seconds": value for name, value in seconds.items()}
    for name in list(fits)[1:]:
        figures[f"wss_ratio_vs_{name}"] = tight["ours"] / tight[name]
        figures[f"time_ratio_vs_{name}"] = seconds["ours"] / seconds[name]
    return {f"{n}x{d}.k{k}.{name}": value for name, value in figures.items()}


# --- a pool in shards ------------------------------------------------------------------------------------


def write_pool(folder: Path, n: int, d: int) -> None:
    """A store with the tables that the cluster stages read: `checked`, and `vectors` of two times d / 2."""
    store = Store(folder)
    schema = pa.schema([UID, vector("image", d // 2), vector("text", d // 2)])
    narrow = pa.schema([UID, pa.field("error", pa.string())])
    refs: dict[str, list[object]] = {"checked": [], "vectors": []}
    for number, (uids, image, text) in enumerate(_shards(n, d // 2)):
        there = np.ones(len(uids), bool)
        wide = [uids, vector_array(image, there), vector_array(text, there)]
        key = f"{number:032x}"
        refs["vectors"].append(store.commit("vectors", key, schema, [pa.record_batch(wide, schema=schema)]))
        good = pa.record_batch([uids, pa.nulls(len(uids), pa.string())], schema=narrow)
        refs["checked"].append(store.commit("checked", key, narrow, [good]))
    for table, shards in refs.items():
        store.publish(table, {"name": table}, shards)  # type: ignore[arg-type]


def _shards(n: int, d: int) -> Iterator[tuple[pa.Array, Rows, Rows]]:
    for start in range(0, n, SHARD):
        rows = min(SHARD, n - start)
        ids = [hashlib.blake2b(b"%d" % (start + row), digest_size=16).digest() for row in range(rows)]
        image, text = (rows_like_embeddings(rows, d, seed, start) for seed in (0, 1))
        yield pa.array(ids, pa.binary(16)), image, text


def run_pool(folder: Path, k: int, d: int) -> dict[str, float]:
    """Fit and assign in this process; seconds, memory, and a checksum of the result."""
    store = Store(folder)
    source = ClusterVectors("vectors", ("image", "text"), d, "checked", "error", 0.5)
    stages: list[Stage] = [
        FitClusters(source, k, 20, 256, 32_768, 0),
        NearestCentroids(source),
        BoundClusters(32_768),
    ]
    figures = figures_of(store, stages)
    similarity = store.read("clusters", ["similarity"])["similarity"].to_numpy()
    figures["wss"] = float(2 - 2 * similarity.mean(dtype=np.float64))
    manifests = [store.manifest(table) for table in ("centroids", "clusters")]
    found = [shard.checksum for manifest in manifests for shard in manifest.shards]
    digest = hashlib.blake2b("".join(found).encode(), digest_size=6).digest()
    figures["checksum"] = int.from_bytes(digest, "big")
    return figures


def pool(n: int, d: int, k: int, *, again: bool) -> dict[str, float]:
    """The figures of a pool, in a process of its own; `again`: with one thread too, for the same bytes."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("CURATE_SCRATCH")) as folder:
        write_pool(Path(folder), n, d)
        options = {"pool": folder, "clusters": k, "dim": d}
        found = in_own_process("benchmarks.kmeans", options)
        if again:
            for table in ("centroids", "k_curve", "nearest", "clusters"):
                for kind in ("shards", "ledger"):
                    shutil.rmtree(Path(folder, kind, table))
                Path(folder, "tables", f"{table}.json").unlink()
            single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            one = in_own_process("benchmarks.kmeans", options, single)
            assert one["checksum"] == found["checksum"], "one thread gives other bytes than several"
    del found["checksum"]
    return {f"pool_{n}x{d}.k{k}.{name}": value for name, value in found.items()}


def flags() -> argparse.Namespace:
    """The shared ones, and those of the process that runs a pool."""
    made = parser(__doc__)
    made.add_argument("--pool", help=argparse.SUPPRESS)
    made.add_argument("--clusters", type=int, help=argparse.SUPPRESS)
    made.add_argument("--dim", type=int, help=argparse.SUPPRESS)
    return made.parse_args()


def main() -> None:
    """Compare, then the pool."""
    given = flags()
    if given.pool:
        sys.stdout.write(json.dumps(run_pool(Path(given.pool), given.clusters, given.dim)))
        return
    if given.quick:
        figures = compare(40_000, 256, 200, 10, 2, with_sklearn=False) | pool(40_000, 256, 200, again=True)
    else:
        figures = compare(64_000, 512, 250, 20, given.repeat)
        figures |= compare(256_000, 512, 1000, 20, min(given.repeat, 3))
        figures |= pool(1_000_000, 512, 1000, again=False)
    show("kmeans", figures, ["numpy", "torch", "faiss-cpu", "scikit-learn"], as_json=given.json)


if __name__ == "__main__":
    main()
