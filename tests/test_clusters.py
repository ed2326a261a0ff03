"""From vectors to clusters: the same for any shards, none too large, by vectors of ours or of a file."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clustering.fixed import Rows
from clustering.knee import scan
from clustering.vectors import unit
from curation.executor.local import LocalEngine
from curation.executor.memory import MemoryLimit
from curation.executor.planner import Planner
from curation.progress import Silent
from curation.steps.cluster.centroids import (
    BoundClusters,
    FitClusters,
    NearestCentroids,
    cut,
    training,
)
from curation.steps.cluster.cluster_quality import MeasureClusters
from curation.steps.cluster.skills import NameSkills, _Members
from curation.steps.cluster.source import ClusterVectors
from curation.steps.embed.file_vectors import FileVectors
from curation.steps.embed.vector_file import find
from curation.storage.rows import vector_array, vectors
from curation.storage.store import Store
from schemas.columns import TURNS, UID, vector
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.stages import Engine, Stage

DIM = 24
AMPLE = MemoryLimit(10**12)
SOURCE = ClusterVectors("vectors", ("image", "text"), 2 * DIM, "checked", "error", 0.5)
CHECKED = pa.schema([UID, pa.field("record_id", pa.string()), pa.field("error", pa.string())])
SAMPLES = pa.schema([UID, TURNS])
TOPICS = (
    "How tall is the bar of {} in the chart?",
    "Which animal of {} chases the ball?",
    "Read receipt {}.",
)


def uid(number: int) -> bytes:
    return hashlib.blake2b(b"%d" % number, digest_size=16).digest()


def planted(n: int, c: int = 12, seed: int = 0) -> np.ndarray:
    """Unit rows around `c` centres."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.standard_normal((c, DIM)))
    return unit(centres[rng.integers(0, c, n)] + 0.1 * rng.standard_normal((n, DIM)))


def topic_of(row: int) -> str:
    return TOPICS[row % len(TOPICS)]


def write(store: Store, table: str, schema: pa.Schema, batches: Sequence[pa.RecordBatch]) -> None:
    refs = [store.commit(table, f"{n:032x}", schema, [batch]) for n, batch in enumerate(batches)]
    store.publish(table, {"name": table}, refs)


def store_of(folder: Path, n_shards: int, order: np.ndarray, image: np.ndarray, text: np.ndarray) -> Store:
    """A workspace's store with `checked` and `vectors`. Every 7th has no text, every 50th is bad."""
    store = Store(folder)
    schema = pa.schema([UID, vector("image", DIM), vector("text", DIM)])
    checked, embedded, samples = [], [], []
    for rows in np.array_split(order, n_shards):
        uids = pa.array([uid(row) for row in rows.tolist()], pa.binary(16))
        good = rows % 50 != 0
        errors = pa.array([None if ok else "bad_json" for ok in good], pa.string())
        ids = pa.array([f"r{row}" for row in rows.tolist()])
        checked.append(pa.record_batch([uids, ids, errors], schema=CHECKED))
        columns = [uids, vector_array(image[rows], good), vector_array(text[rows], good & (rows % 7 != 0))]
        embedded.append(pa.record_batch(columns, schema=schema))
        turns = [[{"role": "user", "text": topic_of(row).format(row)}] for row in rows.tolist()]
        samples.append(pa.record_batch([uids, pa.array(turns, TURNS.type)], schema=SAMPLES))
    write(store, "checked", CHECKED, checked)
    write(store, "vectors", schema, embedded)
    write(store, "samples", SAMPLES, samples)
    return store


def run(
    store: Store, stages: Sequence[Stage], engine: Engine | None = None
) -> dict[bytes, tuple[int | None, float | None]]:
    """Cluster and similarity by uid."""
    Planner(store, engine or LocalEngine(store, AMPLE), Silent(), [], 1.0).run(list(stages))
    rows = store.read("clusters").to_pylist()
    return {row["uid"]: (row["cluster"], row["similarity"]) for row in rows}


def stages(source: ClusterVectors = SOURCE, most: int = 10**6, **settings: Any) -> list[Stage]:
    fit = replace(FitClusters(source, 12, 10, 40, most, 0), **settings)
    return [fit, NearestCentroids(source), BoundClusters(most)]


N = 1200
IMAGE, TEXT = planted(N), planted(N, seed=1)


def digest(store: Store, clusters: dict[bytes, tuple[int | None, float | None]]) -> str:
    centroids = vectors(store.read("centroids")["centroid"]).tobytes()
    return hashlib.sha256(centroids + repr(sorted(clusters.items())).encode()).hexdigest()


@pytest.mark.parametrize("threads", ["1", "2"])
def test_files_their_order_and_threads_do_not_change_a_bit(
    tmp_path: Path, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    found = set()
    for n_files, order in ((1, np.arange(N)), (4, np.arange(N)), (16, np.arange(N)[::-1])):
        store = store_of(tmp_path / str(n_files), n_files, order, IMAGE, TEXT)
        found.add(digest(store, run(store, stages())))
    assert found == {expected()}


@functools.cache
def expected() -> str:
    """Of one file."""
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(Path(folder), 1, np.arange(N), IMAGE, TEXT)
        return digest(store, run(store, stages()))


@pytest.mark.spark
@pytest.mark.parametrize("n_files", [1, 4, 16])
def test_spark_gives_the_same_bits(tmp_path: Path, n_files: int) -> None:
    from jobs.spark import SparkEngine

    store = store_of(tmp_path, n_files, np.arange(N), IMAGE, TEXT)
    engine = SparkEngine(store, AMPLE, "local[2]", {"spark.ui.enabled": "false"})
    try:
        assert digest(store, run(store, stages(), engine)) == expected()
    finally:
        engine.close()


def test_bad_samples_have_no_cluster_and_all_others_one(tmp_path: Path) -> None:
    clusters = run(store_of(tmp_path, 3, np.arange(N), IMAGE, TEXT), stages())
    for row in range(N):
        cluster, similarity = clusters[uid(row)]
        assert (cluster is None) == (similarity is None) == (row % 50 == 0)


def test_the_training_sample_is_in_uid_order_whatever_the_shards(tmp_path: Path) -> None:
    samples = []
    for n_shards in (1, 5):
        store = store_of(tmp_path / str(n_shards), n_shards, np.arange(N), IMAGE, TEXT)
        samples.append(training(store, SOURCE, 100, seed=3))
    np.testing.assert_array_equal(samples[0].rows.fixed, samples[1].rows.fixed)
    assert samples[0].n == N - N // 50
    assert len(samples[0].rows) == 100


@pytest.mark.parametrize("most", [40, 150])
def test_no_cluster_is_larger_than_allowed(tmp_path: Path, most: int) -> None:
    clusters = run(store_of(tmp_path, 3, np.arange(N), IMAGE, TEXT), stages(most=most, k=4, points=1000))
    sizes = np.bincount([cluster for cluster, _ in clusters.values() if cluster is not None])
    assert sizes.max() <= most
    assert sizes.sum() == N - N // 50


def test_equal_vectors_are_cut_into_equal_pieces(tmp_path: Path) -> None:
    same = np.repeat(IMAGE[:1], N, axis=0)
    clusters = run(store_of(tmp_path, 2, np.arange(N), same, same), stages(most=500, k=1))
    sizes = np.bincount([cluster for cluster, _ in clusters.values() if cluster is not None])
    assert sizes.max() <= 500
    assert sizes.sum() == N - N // 50


def test_pieces_of_a_cut_cluster_go_by_similarity() -> None:
    cluster = np.array([0, 0, 0, 0, 1, -1], np.int32)
    similarity = np.array([0.9, 0.5, 0.8, 0.6, 1, 0], np.float32)
    cut(cluster, similarity, np.array([b"a", b"b", b"c", b"d", b"e", b"f"], "S16"), 2, 5)
    assert cluster.tolist() == [0, 5, 0, 5, 1, -1]


def test_the_knee_of_planted_clusters_is_their_number() -> None:
    curve = scan(Rows.of(planted(3000, 20, seed=5)), 200, seed=0)
    assert list(curve.k) == sorted(curve.k)
    assert 15 <= curve.knee <= 45
    assert all(a >= b - 0.01 for a, b in zip(curve.wss, curve.wss[1:], strict=False))


def test_auto_clusters_keep_the_curve(tmp_path: Path) -> None:
    store = store_of(tmp_path, 2, np.arange(N), IMAGE, TEXT)
    run(store, stages(k="auto"))
    curve = store.read("k_curve").to_pylist()
    assert len(curve) > 5
    assert sum(point["chosen"] for point in curve) == 1
    chosen = next(point["k"] for point in curve if point["chosen"])
    assert store.manifest("centroids").rows == chosen


# --- vectors of a file ----------------------------------------------------------------------------------


def brought(path: Path, rows: np.ndarray, ids: Sequence[str]) -> Path:
    """Vectors and their ids, in the format that the path's suffix names."""
    if path.suffix == ".npy":
        np.save(path, rows)
        path.with_suffix(".ids.txt").write_text("".join(f"{own}\n" for own in ids))
    else:
        vectors_ = pa.array([None if np.isnan(row).any() else row.tolist() for row in rows])
        pq.write_table(pa.table({"id": pa.array(ids), "vector": vectors_}), path, row_group_size=100)
    return path


def of_file(path: Path) -> tuple[Stage, ClusterVectors]:
    found = find(path)
    return FileVectors(found), ClusterVectors(
        "file_vectors", ("vector",), found.dim, "file_vectors", "vector_reason"
    )


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_vectors_of_a_file_are_found_by_id_normalised_and_clustered(tmp_path: Path, suffix: str) -> None:
    order = np.random.default_rng(3).permutation(N)[: N - 100]
    rows = (7 * IMAGE).astype(np.float64)
    rows[order[0]], rows[order[1]] = 0, np.nan
    path = brought(tmp_path / f"own{suffix}", rows[order], [f"r{row}" for row in order.tolist()])
    store = store_of(tmp_path / "store", 3, np.arange(N), IMAGE, TEXT)
    stage, source = of_file(path)
    clusters = run(store, [stage, *stages(source)])
    held = store.read("file_vectors").to_pylist()
    there = set(order.tolist())
    for row in range(N):
        reason = held[row]["vector_reason"]
        if row % 50 == 0:
            assert reason == "quarantined"
        elif row not in there:
            assert reason == "not_in_file"
        elif row in order[:2]:
            assert reason == ("zero" if row == order[0] else "not_a_number")
        else:
            assert reason is None
            np.testing.assert_allclose(held[row]["vector"], IMAGE[row], atol=1e-6)
        assert (clusters[uid(row)][0] is None) == (reason is not None)


def test_a_file_may_name_samples_by_uid(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", 2, np.arange(N), IMAGE, TEXT)
    table = pa.table({"uid": [uid(row).hex() for row in range(N)], "embedding": IMAGE.tolist()})
    pq.write_table(table, tmp_path / "own.parquet")
    stage, source = of_file(tmp_path / "own.parquet")
    clusters = run(store, [stage, *stages(source)])
    assert sum(cluster is not None for cluster, _ in clusters.values()) == N - N // 50


def test_a_file_of_which_no_id_is_known_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", 2, np.arange(N), IMAGE, TEXT)
    stage, source = of_file(brought(tmp_path / "own.npy", IMAGE[:3], ["x", "y", "z"]))
    with pytest.raises(ConfigError, match="no sample has a vector in file_vectors"):
        run(store, [stage, *stages(source)])


def test_what_is_no_table_of_vectors_with_ids_is_refused_in_a_sentence(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.zeros(3))
    np.save(tmp_path / "bare.npy", np.zeros((3, 4)))
    pq.write_table(pa.table({"id": ["a"], "x": [1.0]}), tmp_path / "other.parquet")
    pq.write_table(pa.table({"id": ["a"], "vector": [1.0]}), tmp_path / "number.parquet")
    (tmp_path / "text.csv").write_text("a,1\n")
    brought(tmp_path / "none.npy", np.zeros((0, 4)), [])
    for name, sentence in (
        ("gone.npy", "there is no such file"),
        ("flat.npy", r"shape \(3,\); it must be"),
        ("bare.npy", "bare.ids.txt beside it"),
        ("none.npy", "holds no rows"),
        ("other.parquet", "columns id, x; it needs"),
        ("number.parquet", "no list of numbers"),
        ("text.csv", "neither .npy nor Parquet"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            find(tmp_path / name)


def test_vectors_and_ids_that_change_together_are_other_vectors(tmp_path: Path) -> None:
    path = brought(tmp_path / "own.npy", IMAGE[:3], ["a", "b", "c"])
    states = []
    for time in (1000, 2000):
        for file in (path, path.with_suffix(".ids.txt")):
            os.utime(file, (time, time))
        states.append(find(path).params())
    assert states[0] != states[1]


def test_ids_must_be_as_many_as_rows_and_each_once(tmp_path: Path) -> None:
    few = find(brought(tmp_path / "few.npy", IMAGE[:3], ["a", "b"]))
    with pytest.raises(ConfigError, match="3 rows and 2 ids"):
        few.at(pa.array(["a"]))
    twice = find(brought(tmp_path / "twice.npy", IMAGE[:3], ["a", "b", "a"]))
    with pytest.raises(ConfigError, match="'a' twice"):
        twice.at(pa.array(["a"]))


# --- names and quality ----------------------------------------------------------------------------------


def test_clusters_are_named_by_what_their_questions_say(tmp_path: Path) -> None:
    rows = unit(np.eye(3, DIM)[np.arange(N) % 3] + 0.05 * np.random.default_rng(0).standard_normal((N, DIM)))
    store = store_of(tmp_path, 3, np.arange(N), rows, rows)
    clusters = run(store, [*stages(k=3), NameSkills(capability=False)])
    skills = store.read("skills").to_pylist()
    assert [skill["cluster"] for skill in skills] == [0, 1, 2]
    words = {0: {"chart", "bar", "tall"}, 1: {"animal", "chases", "ball"}, 2: {"receipt", "read"}}
    for skill in skills:
        topic = next(row % 3 for row in range(N) if clusters[uid(row)][0] == skill["cluster"])
        assert set(skill["terms"]) == words[topic]
        assert skill["label"] == ", ".join(skill["terms"][:3])
        own = {key: found[1] for key, found in clusters.items() if found[0] == skill["cluster"]}
        assert skill["size"] == len(own)
        assert skill["density"] == pytest.approx(np.mean(list(own.values())), abs=1e-6)
        assert skill["examples"][0] == max(own, key=lambda key: (own[key], -int.from_bytes(key, "big")))
        assert {near["cluster"] for near in skill["nearest"]} == {0, 1, 2} - {skill["cluster"]}
        assert 0 < skill["spread"] < 45


@pytest.mark.parametrize(("n", "holds"), [(1, 1), (9, 9), (10, 9), (11, 10), (20, 18), (100, 90)])
def test_the_spread_is_the_angle_that_holds_nine_of_ten(n: int, holds: int) -> None:
    angles = np.arange(1, n + 1) / 4
    uids = [uid(row) for row in range(n)]
    similarity = np.cos(np.radians(angles))
    bounds, none = np.array([0, n]), np.zeros(n, np.uint64)
    members = _Members(1, np.arange(n), bounds, similarity, uids, none, np.zeros(1, np.int32))
    assert members.figures(0)["spread"] == pytest.approx(angles[holds - 1])


def test_quality_tells_clear_clusters_from_none(tmp_path: Path) -> None:
    figures = []
    for name, rows in (("clear", planted(N, 4)), ("none", planted(N, N))):
        store = store_of(tmp_path / name, 2, np.arange(N), rows, rows)
        run(store, [*stages(k=4, points=500), MeasureClusters(SOURCE, 10, 0)])
        figures += store.read("cluster_quality").to_pylist()
    clear, none = figures
    assert clear["n_clusters"] == none["n_clusters"] == 4
    assert clear["n_samples"] == N - N // 50
    assert clear["wss"] < none["wss"]
    assert clear["silhouette"] > 0.4 > none["silhouette"]
    assert clear["stability"] > 0.95 > none["stability"]
