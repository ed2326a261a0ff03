"""Near-duplicates: our blocks against the usual kernels on one cluster; then a pool, the whole stage.

The full kernel holds n x n cosines and a triangular copy of them (SemDeDup), the panel kernel n x 1,024 at a
time with what lies below the diagonal masked (NeMo Curator). All three find the same duplicates, which is
asserted before anything is timed; torch is loaded by then. Memory is resident memory at most beyond the
vectors. Then pools of clustered vectors of which a fifth are planted near-copies (cosine uniform in
[0.95, 1]): clusters are made first, in another process, and everything from there to the decision is measured
in one of its own. There are as many clusters as makes them about 1,000 rows large on average in the larger
pools, so that growth is that of n. On the smallest pool faiss (exact range search) and semhash's index are
asked the same; semhash is installed into a folder of its own.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from benchmarks.environments import PACKAGES, Unavailable, variables, versions
from benchmarks.kmeans import rows_like_embeddings
from benchmarks.report import alternate, parser, show
from benchmarks.stages import figures_of, in_own_process
from clustering.neighbours import nearest
from clustering.vectors import unit
from curation.executor.memory import peak_gb
from curation.steps.cluster.centroids import BoundClusters, FitClusters, NearestCentroids
from curation.steps.cluster.source import ClusterVectors
from curation.steps.prune.decide import Prune, Pruning
from curation.steps.prune.neighbours import FindNeighbours
from curation.steps.prune.similarity import Likeness
from curation.steps.prune.visits import Firsts, FitProbes, Visit
from curation.storage.rows import vector_array
from curation.storage.store import Store
from schemas.columns import UID, vector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from schemas.stages import Stage

    Rows = NDArray[np.float32]

EPS = 0.05
FLOOR = 0.9  # of the neighbours that are remembered, as by default
SHARD = 4096
PLANTED = 0.2  # share of the pool
PANEL = 1024
HASHES = ("content_hash", "shown_hash", "images_hash", "text_hash", "words_hash", "telling_hash")


# --- vectors ---------------------------------------------------------------------------------------------


def planted(n: int, d: int, seed: int = 0) -> tuple[Rows, NDArray[np.int64], NDArray[np.float64]]:
    """(n, d) unit rows, of which the last fifth are copies of others: whose each is, and its cosine to it."""
    n_copies = int(PLANTED * n)
    rows = np.empty((n, d), np.float32)
    base = n - n_copies
    for start in range(0, base, SHARD):
        part = min(SHARD, base - start)
        rows[start : start + part] = rows_like_embeddings(part, d, seed, start)
    rng = np.random.default_rng([seed, n])
    whose, cosine = rng.choice(base, n_copies, replace=False), rng.uniform(0.95, 1.0, n_copies)
    for start in range(0, n_copies, SHARD):
        span = slice(start, start + SHARD)
        own = rows[whose[span]].astype(np.float64)
        away = rng.standard_normal(own.shape)
        away -= np.einsum("ij,ij->i", away, own)[:, None] * own
        away /= np.linalg.norm(away, axis=1)[:, None]
        share = cosine[span, None]
        rows[base + start : base + start + len(own)] = unit(share * own + np.sqrt(1 - share**2) * away)
    return rows, whose, cosine


# --- one cluster -----------------------------------------------------------------------------------------


def full(rows: Rows) -> NDArray[np.int64]:
    """Rows with an earlier one near them, from all cosines at once, in torch as SemDeDup does it."""
    import torch

    reps = torch.from_numpy(rows)
    similarity = reps @ reps.T
    similarity.fill_diagonal_(0.0)
    highest = torch.max(torch.triu(similarity, diagonal=1), dim=0)[0]
    return np.flatnonzero(highest.numpy() >= 1 - EPS)


def panel(rows: Rows) -> NDArray[np.int64]:
    """The same, 1,024 columns at a time, as NeMo Curator does it."""
    import torch

    reps = torch.from_numpy(rows)
    highest = torch.zeros(len(rows))
    for start in range(0, len(rows), PANEL):
        similarity = torch.mm(reps, reps[start : start + PANEL].T)
        above = torch.triu(similarity, diagonal=1 - start)
        highest[start : start + PANEL] = torch.max(above, dim=0)[0]
    return np.flatnonzero(highest.numpy() >= 1 - EPS)


def ours(rows: Rows) -> NDArray[np.int64]:
    """The same, from the lists of neighbours that reach `1 - EPS`, and every row's nearest besides."""
    found = nearest([rows], 1 - EPS)
    near = (found.similarity >= np.float32(1 - EPS)) & (found.other < found.row)
    return np.unique(found.row[near])


def one_cluster(n: int, d: int, repeat: int) -> dict[str, float]:
    """Time and memory of the three kernels."""
    rows, _, _ = planted(n, d)
    rows = rows[np.random.default_rng(1).permutation(n)]
    kernels: dict[str, Callable[[Rows], NDArray[np.int64]]] = {"ours": ours, "full": full, "panel": panel}
    duplicates = {name: set(kernel(rows).tolist()) for name, kernel in kernels.items()}
    # Cosines within float32's error of the threshold may fall on either side.
    apart = [len(duplicates["ours"] ^ duplicates[name]) for name in ("full", "panel")]
    assert max(apart) <= len(rows) // 1000, apart

    def seconds(kernel: Callable[[Rows], NDArray[np.int64]]) -> float:
        start = time.perf_counter()
        kernel(rows)
        return time.perf_counter() - start

    figures = {f"{name}.gb": _memory(kernel, rows) for name, kernel in kernels.items()}
    times = alternate({name: partial(seconds, kernel) for name, kernel in kernels.items()}, repeat)
    figures |= {f"{name}.seconds": value for name, value in times.items()}
    for name in ("full", "panel"):
        figures[f"speed_ratio_vs_{name}"] = times[name] / times["ours"]
        figures[f"memory_ratio_vs_{name}"] = figures["ours.gb"] / figures[f"{name}.gb"]
    return {f"cluster_{n}x{d}.{name}": value for name, value in figures.items()}


def _memory(kernel: Callable[[Rows], object], rows: Rows) -> float:
    """Resident memory at most, less what was resident before; the kernel ran before, so all is imported."""
    status = Path("/proc/self/status")

    def kilobytes(name: str) -> int:
        line = next(line for line in status.read_text().splitlines() if line.startswith(name))
        return int(line.split()[1])

    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = kilobytes("VmRSS")
    kernel(rows)
    return (kilobytes("VmHWM") - before) / 1e6


# --- a pool ----------------------------------------------------------------------------------------------


def uids_of(n: int) -> list[bytes]:
    """Ids of a pool's rows."""
    return [hashlib.blake2b(b"%d" % row, digest_size=16).digest() for row in range(n)]


def write_pool(folder: Path, rows: Rows) -> None:
    """The tables that the stages start from: `checked` and the vectors, in shards of 4,096 rows."""
    store, ids = Store(folder), uids_of(len(rows))
    wide = pa.schema([UID, vector("vector", rows.shape[1])])
    hashes = [pa.field(name, pa.binary(16)) for name in HASHES]
    narrow = pa.schema([UID, *hashes, pa.field("n_images", pa.int32()), pa.field("error", pa.string())])
    refs: dict[str, list[object]] = {"checked": [], "file_vectors": []}
    for number, start in enumerate(range(0, len(rows), SHARD)):
        part = rows[start : start + SHARD]
        uid = pa.array(ids[start : start + SHARD], pa.binary(16))
        there = np.ones(len(part), bool)
        key = f"{number:032x}"
        batch = pa.record_batch([uid, vector_array(part, there)], schema=wide)
        refs["file_vectors"].append(store.commit("file_vectors", key, wide, [batch]))
        empty = pa.nulls(len(part), pa.binary(16))
        facts = [uid, uid, uid, *[empty] * 4, pa.array(np.ones(len(part), np.int32))]
        facts.append(pa.nulls(len(part), pa.string()))
        refs["checked"].append(store.commit("checked", key, narrow, [pa.record_batch(facts, schema=narrow)]))
    for table, shards in refs.items():
        store.publish(table, {"name": table}, shards)  # type: ignore[arg-type]


def run_pool(folder: Path, part: str, k: int, d: int) -> dict[str, float]:
    """`cluster`, or `prune` what is clustered, in this process: seconds and memory."""
    store = Store(folder)
    source = ClusterVectors("file_vectors", ("vector",), d, "checked", "error")
    likeness = Likeness("vectors", source)
    how = Pruning(
        identity="shown_hash", by_bytes="content_hash", by_text=True, eps=EPS, text_eps=EPS, redundant=None,
        linkage="leader", keep="first", to=None,
        semantic=True, by_hash=False, by_look=False, unflipped=False, bits=64, most=64, floor=FLOOR, seed=0,
    )  # fmt: skip
    parts: dict[str, list[Stage]] = {
        "cluster": [
            FitClusters(source, k, 20, 256, 32_768, 0),
            NearestCentroids(source),
            BoundClusters(32_768),
        ],
        "prune": [
            Firsts(likeness),
            FitProbes(likeness, FLOOR, "auto", 0.99),
            Visit(likeness, FLOOR),
            FindNeighbours(likeness, FLOOR, 64),
            Prune(how),
        ],
    }
    return figures_of(store, parts[part])


def pool(n: int, d: int, k: int) -> dict[str, float]:
    """The figures of a pool and the recall of its planted pairs."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("CURATE_SCRATCH")) as folder:
        rows, whose, _ = planted(n, d)
        write_pool(Path(folder), rows)
        del rows
        options = {"pool": folder, "clusters": k, "dim": d}
        clustering = in_own_process("benchmarks.neardup", {**options, "part": "cluster"})
        figures = in_own_process("benchmarks.neardup", {**options, "part": "prune"})
        figures["clusters_seconds"] = clustering["seconds"]
        store, ids = Store(Path(folder)), uids_of(n)
        pairs = store.read("neighbours", ["uid", "other"])
        met = {*zip(pairs["uid"].to_pylist(), pairs["other"].to_pylist(), strict=True)}
        base = n - len(whose)
        wanted = [(ids[base + copy], ids[of]) for copy, of in enumerate(whose.tolist())]
        found = [one in met or one[::-1] in met for one in wanted]
        figures["recall_of_planted"] = float(np.mean(found))
        chosen = store.read("probes").to_pylist()
        figures["probes"], figures["recall_measured"] = next(
            (row["probes"], row["recall"]) for row in chosen if row["chosen"]
        )
        figures["pruned"] = float(len(store.read("pruned", ["uid"])))
    return {f"pool_{n}x{d}.k{k}.{name}": float(value) for name, value in figures.items()}


# --- the others ------------------------------------------------------------------------------------------


def by_faiss(rows: Rows) -> set[tuple[int, int]]:
    """All pairs of at least `1 - EPS`, by exact range search."""
    import faiss

    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    pairs = set()
    for start in range(0, len(rows), SHARD):
        ends, _, found = index.range_search(rows[start : start + SHARD], 1 - EPS)
        left = np.repeat(np.arange(len(ends) - 1), (ends[1:] - ends[:-1]).astype(np.int64)) + start
        pairs |= {(i, j) for i, j in zip(left.tolist(), found.tolist(), strict=True) if i < j}
    return pairs


def by_semhash(rows: Rows) -> set[tuple[int, int]]:
    """The same by semhash's index (approximate), which is given the vectors."""
    from semhash.index import Index
    from vicinity import Backend

    items = [[{"text": str(row)}] for row in range(len(rows))]
    index = Index.from_vectors_and_items(rows, items, Backend.USEARCH)
    found = index.query_threshold(rows, threshold=1 - EPS)
    every = ((row, int(other)) for row, (others, _) in enumerate(found) for other in others)
    return {(min(pair), max(pair)) for pair in every if pair[0] != pair[1]}


OTHERS: dict[str, Callable[[Rows], set[tuple[int, int]]]] = {"faiss": by_faiss, "semhash": by_semhash}


def others(n: int, d: int, skipped: dict[str, str]) -> dict[str, float]:
    """Time, memory and recall of others on a pool that they manage, each in a process of its own."""
    figures: dict[str, float] = {}
    for name in OTHERS:
        try:
            environment = variables(name) if name in PACKAGES else None
            found = in_own_process("benchmarks.neardup", {"other": name, "rows": n, "dim": d}, environment)
        except (Unavailable, subprocess.CalledProcessError) as error:
            skipped[name] = str(error)
            continue
        figures |= {f"{name}_{n}x{d}.{key}": value for key, value in found.items()}
    return figures


def run_other(name: str, n: int, d: int) -> dict[str, float]:
    """In this process."""
    rows, whose, _ = planted(n, d)
    start = time.perf_counter()
    pairs = OTHERS[name](rows)
    seconds = time.perf_counter() - start
    base = n - len(whose)
    found = [(of, base + copy) in pairs for copy, of in enumerate(whose.tolist())]
    return {"seconds": seconds, "peak_gb": peak_gb(1), "recall_of_planted": float(np.mean(found))}


def flags(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The shared ones, and those of the processes that it starts."""
    made = parser(__doc__)
    for name, kind in (
        ("pool", str),
        ("part", str),
        ("clusters", int),
        ("dim", int),
        ("other", str),
        ("rows", int),
    ):
        made.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    return made.parse_args(arguments)


def main() -> None:
    """One cluster, then pools."""
    given = flags()
    if given.pool:
        sys.stdout.write(json.dumps(run_pool(Path(given.pool), given.part, given.clusters, given.dim)))
        return
    if given.other:
        sys.stdout.write(json.dumps(run_other(given.other, given.rows, given.dim)))
        return
    skipped: dict[str, str] = {}
    if given.quick:
        figures = one_cluster(4000, 256, 3) | pool(20_000, 256, 100) | others(10_000, 256, skipped)
    else:
        figures = one_cluster(12_000, 512, given.repeat)
        figures |= pool(50_000, 512, 160) | others(50_000, 512, skipped)
        figures |= pool(250_000, 512, 250)
        figures |= pool(1_000_000, 512, 1000)
        growth = [figures[f"pool_{n}x512.k{k}.seconds"] for n, k in ((250_000, 250), (1_000_000, 1000))]
        figures["growth_250k_to_1m"] = growth[1] / growth[0]
    packages = ["numpy", "faiss-cpu", *versions(["semhash"])]
    show("neardup", figures, packages, as_json=given.json, skipped=skipped)


if __name__ == "__main__":
    main()
