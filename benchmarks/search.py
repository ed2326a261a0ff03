"""Search and filters over 1,000,000 samples: seconds a query, recall@10 of the exact answer, build, memory.

    python -m benchmarks.search [--quick] [--json] [--pool DIR]

A pool is generated with vectors of 512 numbers: topics of very different sizes in a space of 64 dimensions,
turned into 512, with noise; texts lie apart from pictures, as those of CLIP do. `scattered` are pictures
without any structure, which is the worst case of inverted lists. The exact answer is a product with every
stored vector. `--pool` keeps the pool in a folder, or takes the one that is there.
"""

from __future__ import annotations

import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.report import parser, show
from clustering.vectors import unit
from curation.commands.matching import matching
from curation.explorer.frame import Frame
from curation.progress import Silent
from curation.search.hits import Searcher
from curation.search.sides import SIDES
from curation.storage.rows import vector_array
from curation.storage.store import Store
from schemas.columns import CHECKED, IMAGES, SAMPLES, SHA256, UID, figure, vector
from schemas.tables import ShardRef

ROWS, QUICK = 1_000_000, 150_000
SHARD = 10_000
DIM, LATENT, TOPICS = 512, 64, 5000
QUERIES, K = 40, 10
WHERE = "n_tokens < 60 and alignment > 0.5 and source = 'charts'"
SOURCES = ("charts", "receipts", "scenes", "tables", "maps")
FIGURES = pa.schema([UID, figure("alignment"), figure("alignment_cosine")])

Floats = NDArray[np.float32]


def drawn(kind: str, number: int, n: int) -> tuple[Floats, Floats]:
    """Vectors of pictures and texts of a shard."""
    fixed = np.random.default_rng(0)
    turn = fixed.normal(size=(LATENT, DIM)).astype(np.float32) / np.sqrt(LATENT)
    centres = fixed.normal(size=(TOPICS, LATENT)).astype(np.float32)
    gap = fixed.normal(size=DIM).astype(np.float32)
    rng = np.random.default_rng([1, number])
    if kind == "scattered":
        return unit(rng.normal(size=(n, DIM)).astype(np.float32)), unit(rng.normal(size=(n, DIM)))
    # Sizes of topics fall as 1 / rank.
    topic = np.minimum((TOPICS ** rng.random(n)).astype(np.int64), TOPICS - 1)
    about = centres[topic] + 0.6 * rng.normal(size=(n, LATENT)).astype(np.float32)
    noise = 0.3 * rng.normal(size=(2, n, DIM)).astype(np.float32)
    said = about + 0.5 * rng.normal(size=(n, LATENT)).astype(np.float32)
    return unit(about @ turn + noise[0]), unit(said @ turn + gap + noise[1])


def write_pool(root: Path, kind: str, n: int) -> None:
    """The tables that search reads, and some columns to filter by."""
    store = Store(root)
    published: dict[str, list[ShardRef]] = {}
    for number, start in enumerate(range(0, n, SHARD)):
        for table, batch in _shard(kind, number, start, min(SHARD, n - start)):
            ref = store.commit(table, f"{table}{number:028d}", batch.schema, [batch])
            published.setdefault(table, []).append(ref)
    for table, refs in published.items():
        store.publish(table, {"params": {}}, refs)


def _shard(kind: str, number: int, start: int, n: int) -> Iterator[tuple[str, pa.RecordBatch]]:
    rng = np.random.default_rng([2, number])
    uid = pa.array([(start + i).to_bytes(16, "big") for i in range(n)], pa.binary(16))
    sha = pa.array([(start + i).to_bytes(32, "big") for i in range(n)], pa.binary(32))
    source = pa.array(np.array(SOURCES)[rng.integers(0, len(SOURCES), n)])
    tokens = pa.array(rng.integers(5, 400, n))
    names = [f"sample-{start + i}" for i in range(n)]
    turns = [[{"role": "user", "text": f"What is shown in {name}?"}] for name in names]
    known = {
        "uid": uid, "dataset": ["pool"] * n, "key": names, "file": ["pool.json"] * n, "record_id": names,
        "source": source, "n_tokens": tokens, "n_images": [1] * n, "n_turns": [1] * n, "record": [b""] * n,
        "turns": turns, "images": [[]] * n, "repaired": [[]] * n, "content_hash": uid,
        "image_bytes": [1000] * n,
    }  # fmt: skip
    for table, schema in (("samples", SAMPLES), ("checked", CHECKED)):
        columns = [
            pa.array(known[field.name], field.type) if field.name in known else pa.nulls(n, field.type)
            for field in schema
        ]
        yield table, pa.record_batch(columns, schema=schema)
    figures = [pa.array(rng.normal(size=n), pa.float32()) for _ in range(2)]
    yield "alignment", pa.record_batch([uid, *figures], schema=FIGURES)
    here = pa.array([[{"shard": number, "row": i}] for i in range(n)], PLACES.field(0).type)
    yield "image_places", pa.record_batch([here], schema=PLACES)
    yield "images", pa.record_batch([sha], schema=pa.schema([IMAGES.field("sha256")]))
    image, text = drawn(kind, number, n)
    whole = np.ones(n, bool)
    schema = pa.schema([SHA256, vector("vector", DIM)])
    yield "image_vectors", pa.record_batch([sha, vector_array(image, whole)], schema=schema)
    schema = pa.schema([UID, vector("image", DIM), vector("text", DIM)])
    sides = [vector_array(rows, whole) for rows in (image, text)]
    yield "vectors", pa.record_batch([uid, *sides], schema=schema)


PLACES = pa.schema([("places", pa.list_(pa.struct([("shard", pa.int32()), ("row", pa.int32())])))])


def exact(store: Store, side: str, queries: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The K nearest rows to each query, and their cosines, by looking at every stored vector."""
    best, held = np.full((len(queries), K), -1), np.full((len(queries), K), -np.inf, np.float32)
    for start, rows in SIDES[side].blocks(store):
        names = np.broadcast_to(np.arange(start, start + len(rows)), (len(queries), len(rows)))
        cosine = np.concatenate([held, queries @ rows.T], axis=1)
        order = np.argsort(-cosine, axis=1)[:, :K]
        best = np.take_along_axis(np.concatenate([best, names], axis=1), order, 1)
        held = np.take_along_axis(cosine, order, 1)
    return best, held


def measured(root: Path, kind: str, n: int) -> dict[str, float]:
    """Figures of one pool."""
    store = Store(root)
    figures: dict[str, float] = {}
    fresh = [drawn(kind, 10_000_000 + number, QUERIES) for number in range(2)]
    asked = {"picture": fresh[0][0], "text": fresh[1][1]}
    searcher = Searcher(store, Silent())
    before = peak()
    start = time.monotonic()
    index = searcher.index("image")
    figures["build_s"] = time.monotonic() - start
    figures["build_peak_gb_more"] = peak() - before
    figures["index_gb"] = sum(path.stat().st_size for path in root.glob("search/image*.faiss")) / 1e9
    figures["n_probes"] = index.facts.n_probes
    figures["recall_as_promised"] = index.facts.recall
    everything = np.ones(n, bool)
    few = np.asarray(np.random.default_rng(3).random(n) < 0.01)
    searcher.nearest({"image": asked["text"][0]}, K, everything)  # reads columns once
    for name, queries in asked.items():
        right, _ = exact(store, "image", queries)
        found, seconds = timed(searcher, queries, everything)
        share = [len(mine & {*theirs}) / K for mine, theirs in zip(found, right.tolist(), strict=True)]
        figures[f"{name}.recall_at_10"] = statistics.mean(share)
        figures[f"{name}.query_s"] = statistics.median(seconds)
        figures[f"{name}.query_worst_s"] = max(seconds)
        figures[f"{name}.query_among_1_percent_s"] = statistics.median(timed(searcher, queries[:5], few)[1])
    figures["peak_gb"] = peak()
    return figures


def timed(
    searcher: Searcher, queries: Floats, among: NDArray[np.bool_]
) -> tuple[list[set[int]], list[float]]:
    """What is found for each query, and the seconds it took."""
    found, seconds = [], []
    for query in queries:
        begin = time.monotonic()
        hits = searcher.nearest({"image": query}, K, among)
        seconds.append(time.monotonic() - begin)
        found.append({hit.position for hit in hits})
    return found, seconds


def filtered(store: Store) -> dict[str, float]:
    """Seconds of a filter from disk, and on the page: of the first, a further one, and one in order."""
    frame, figures = Frame(store), {}
    runs: dict[str, Callable[[], object]] = {
        "filter_from_disk_s": lambda: matching(store, [WHERE]),
        "filter_first_s": lambda: frame.ordered(WHERE, "", falling=False),
        "filter_s": lambda: frame.ordered(WHERE.replace("60", "61"), "", falling=False),
        "filter_in_order_s": lambda: frame.ordered("n_tokens > 100", "alignment", falling=True),
    }
    for name, run in runs.items():
        begin = time.monotonic()
        run()
        figures[name] = time.monotonic() - begin
    return figures


def peak() -> float:
    """GB that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    """Measure and print."""
    flags = parser(__doc__)
    flags.add_argument("--pool", type=Path, help="where the pool is kept")
    given = flags.parse_args()
    n = QUICK if given.quick else ROWS
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for kind in ("topics",) if given.quick else ("topics", "scattered"):
            root = (given.pool or Path(scratch)) / kind / ".curate"
            if not (root / "tables" / "vectors.json").exists():
                write_pool(root, kind, n)
            shutil.rmtree(root / "search", ignore_errors=True)
            figures |= {f"{kind}.{name}": value for name, value in measured(root, kind, n).items()}
            if kind == "topics":
                figures |= filtered(Store(root))
    show("search", figures, ["faiss-cpu", "polars"], as_json=given.json)


if __name__ == "__main__":
    main()
