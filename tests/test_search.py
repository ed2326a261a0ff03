"""Search: by a text, by a picture, and more like a sample; exact below a size, and almost above it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from clustering.vectors import unit
from curation.commands.verify import collect_garbage
from curation.generate.pool import write_pool
from curation.progress import Silent
from curation.search import build
from curation.search.hits import Searcher
from curation.search.sides import SIDES
from curation.storage.rows import vector_array
from curation.storage.store import Store
from curation.workspace import Workspace
from jobs.cli import cli
from schemas.columns import SHA256, UID, vector
from schemas.errors import ConfigError, CurateError, ReadError

HOSTILE = '<script>alert(1)</script> "quoted" \x1b[31m \u202eRTL \U0001f600 ' + "long " * 20_000
DIM = 24


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of 48 generated records and three of our own, embedded."""
    folder = tmp_path_factory.mktemp("searched")
    write_pool(folder, 48)
    records = json.loads((folder / "pool.json").read_text())
    shown = next(record["image"] for record in records if record.get("image"))
    says = [("mine-1", "What is this?", "a lighthouse"), ("mine-2", HOSTILE, "yes")]
    records += [
        {"id": name, "image": shown, "conversations": [
            {"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]}
        for name, question, answer in says
    ]  # fmt: skip
    only_text = [{"from": "human", "value": "Name a fruit."}, {"from": "gpt", "value": "plum"}]
    records.append({"id": "mine-3", "conversations": only_text})
    (folder / "pool.json").write_text(json.dumps(records))
    Workspace.init(folder, {"pool": folder / "pool.json"}, images=[folder], model="builtin:tiny").embed()
    return folder


@pytest.fixture
def ws(pool: Path) -> Workspace:
    return Workspace(pool)


def test_a_text_finds_the_sample_that_says_it(ws: Workspace) -> None:
    found = ws.search("Name a fruit.\nplum", by="text", n=3)
    assert found["results"][0]["id"] == "mine-3"
    assert found["results"][0]["cosine"] == pytest.approx(1, abs=1e-3)
    assert found["results"][0]["text"] == "user: Name a fruit.\nassistant: plum"
    assert found["recall"] == 1
    assert [each["score"] for each in found["results"]] == sorted(
        (e["score"] for e in found["results"]), reverse=True
    )


def test_a_picture_finds_the_samples_that_show_it_once(ws: Workspace, pool: Path) -> None:
    shown = next(row for row in ws.samples().collect().iter_rows(named=True) if row["id"] == "mine-1")
    (path,) = shown["images"]
    for image in (pool / path, (pool / path).read_bytes()):
        first, second = ws.search(image=image, n=2)["results"]
        assert first["cosine"] == pytest.approx(1, abs=1e-3)
        assert first["n_same"] == 3
        assert first["images"][0]["name"] == path
        assert second["images"][0]["name"] != path


def test_more_like_a_sample_leaves_out_the_sample_itself(ws: Workspace) -> None:
    found = ws.search(like="mine-1", n=100)
    assert found["by"] == ["image"]
    assert "mine-1" not in [each["id"] for each in found["results"]]
    assert found["results"][0]["n_same"] == 2, "others show the same picture"
    assert ws.search(like="mine-3")["by"] == ["text"]
    with pytest.raises(ConfigError, match="no image to compare"):
        ws.search(like="mine-3", by="image")


def test_the_answer_is_that_of_a_product_with_every_vector(ws: Workspace) -> None:
    rows = np.concatenate([rows for _, rows in SIDES["text"].blocks(ws.store)])
    samples = ws.samples().collect()
    asked = samples["id"].to_list().index("mine-2")
    uid = samples["uid"][asked]
    own = rows[asked] @ rows.T
    order = [at for at in np.argsort(-own, kind="stable") if at != asked and rows[at].any()]
    found = ws.search(like=uid, by="text", n=8)["results"]
    assert [each["cosine"] for each in found] == pytest.approx([own[at] for at in order[:8]], abs=1e-5)


def test_conditions_decide_what_is_searched(ws: Workspace) -> None:
    found = ws.search("a picture", n=100, where=["n_images = 0", "n_tokens < 9"])
    assert [each["id"] for each in found["results"]] == ["mine-3"]
    assert found["n_among"] == 1
    assert ws.search("a picture", where=["n_images > 90"])["results"] == []
    with pytest.raises(ConfigError, match="no column 'beauty'"):
        ws.search("a picture", where=["beauty > 3"])


def test_what_cannot_be_searched_for_is_said(ws: Workspace, pool: Path) -> None:
    (pool / "no.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match="one of a text"):
        ws.search("a", like="mine-1")
    with pytest.raises(ReadError, match=r"no\.png"):
        ws.search(image=pool / "no.png")
    with pytest.raises(CurateError, match="no record 'nobody'"):
        ws.search(like="nobody")
    with pytest.raises(ConfigError, match="embedded by builtin:tiny"):
        ws.with_settings({"embed.model": "builtin"}).search("a red car")


def test_the_command_prints_hostile_text_as_text(pool: Path) -> None:
    done = CliRunner().invoke(
        cli, ["-C", str(pool), "search", "--like", "mine-1", "--by", "text", "--n", "60"]
    )
    assert done.exit_code == 0, done.output
    assert "<script>alert(1)</script>" in done.stdout
    assert not set(done.stdout) & {"\x1b", "\u202e"}
    assert max(map(len, done.stdout.splitlines())) <= 80
    one = CliRunner().invoke(cli, ["-C", str(pool), "search", "--image", "nowhere.png"])
    assert one.exit_code == 1
    assert "nowhere.png" in one.stderr


def test_an_index_is_made_anew_for_other_vectors_and_gc_removes_the_old_one(tmp_path: Path) -> None:
    store = stored(tmp_path, 40)
    Searcher(store, Silent()).index("image")
    (first,) = (tmp_path / "search").glob("image-*.faiss")
    made = first.stat().st_mtime_ns
    Searcher(store, Silent()).index("image")
    assert first.stat().st_mtime_ns == made, "what is there is not made again"
    store = stored(tmp_path, 50)
    assert Searcher(store, Silent()).index("image").n == 50
    old, new = sorted((tmp_path / "search").glob("image-*.faiss"), key=lambda path: path.stat().st_mtime_ns)
    collect_garbage(store)
    assert not old.exists()
    assert new.exists()


def test_inverted_lists_find_what_they_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "EXACT", 1000)
    store = stored(tmp_path, 4000)
    searcher = Searcher(store, Silent())
    index = searcher.index("image")
    assert 0 < index.facts.n_probes < index.faiss.nlist, "it does not look at everything"
    rows = np.concatenate([rows for _, rows in SIDES["image"].blocks(store)])
    queries = unit(rows[::200] + 0.1 * np.random.default_rng(1).normal(size=(20, DIM)))
    everything, some = np.ones(4000, bool), np.arange(4000) % 50 == 0
    for among in (everything, some):
        shares = []
        for query in queries:
            exact = np.where(among, rows @ query, -2)
            hits = searcher.nearest({"image": query}, 10, among)
            assert all(among[hit.position] for hit in hits)
            shares.append(len({hit.position for hit in hits} & {*np.argsort(-exact)[:10].tolist()}) / 10)
        assert np.mean(shares) >= 0.95


def stored(root: Path, n: int) -> Store:
    """A store with `n` samples of one picture each, around 40 centres."""
    store, rng = Store(root), np.random.default_rng(n)
    centres = rng.normal(size=(40, DIM))
    rows = unit(centres[rng.integers(0, 40, n)] + 0.4 * rng.normal(size=(n, DIM)))
    uids = [number.to_bytes(16, "big") for number in range(n)]
    uid, whole = pa.array(uids, pa.binary(16)), np.ones(n, bool)
    sha = pa.array([each * 2 for each in uids], pa.binary(32))
    places = pa.array([[{"shard": 0, "row": row}] for row in range(n)], PLACES.field(0).type)
    tables = {
        "samples": ([uid], pa.schema([UID])),
        "checked": ([uid, pa.nulls(n, pa.string())], pa.schema([UID, pa.field("error", pa.string())])),
        "image_places": ([places], PLACES),
        "images": ([sha], pa.schema([SHA256])),
        "image_vectors": ([sha, vector_array(rows, whole)], pa.schema([SHA256, vector("vector", DIM)])),
        "vectors": ([uid, vector_array(rows, whole)], pa.schema([UID, vector("text", DIM)])),
    }
    for name, (columns, schema) in tables.items():
        ref = store.commit(name, f"{n:032d}", schema, [pa.record_batch(columns, schema=schema)])
        store.publish(name, {"params": {}}, [ref])
    return store


PLACES = pa.schema([("places", pa.list_(pa.struct([("shard", pa.int32()), ("row", pa.int32())])))])
