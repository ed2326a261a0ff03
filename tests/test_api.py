"""The Python API: frames, pictures, own scores, and keywords that are the flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from curation import Workspace
from curation.generate.pool import write_pool
from scorers.taxonomy import CAPABILITY_COLUMNS

# Shards of few rows, so that frames are put together of several.
SETTINGS: dict[str, Any] = {"run.shard_rows": 32, "run.device": "cpu"}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of 96 generated records with a selection."""
    folder = tmp_path_factory.mktemp("pool")
    write_pool(folder, 96)
    Workspace.init(folder, {"pool": folder / "pool.json"}, images=[folder], model="builtin:tiny")
    Workspace(folder, SETTINGS).select("30%")
    return folder


@pytest.fixture
def ws(pool: Path) -> Workspace:
    return Workspace(pool, SETTINGS)


# --- frames ------------------------------------------------------------------------------------------------


def test_samples_say_what_they_are_and_what_became_of_them(ws: Workspace) -> None:
    frame = ws.samples().collect()
    rows = ws.store.read("samples").to_pylist()
    decided = ws.store.read("selection").to_pylist()
    assert len(ws.store.manifest("samples").shards) > 2
    assert frame["uid"].to_list() == [row["uid"].hex() for row in rows]
    assert frame["id"].to_list() == [row["record_id"] for row in rows]
    assert frame["turns"].to_list() == [row["turns"] for row in rows]
    assert frame["images"].to_list() == [[image["name"] for image in row["images"]] for row in rows]
    said = ["\n".join(f"{turn['role']}: {turn['text']}" for turn in row["turns"]) for row in rows]
    assert frame["text"].to_list() == said
    assert frame["kept"].to_list() == [row["keep"] for row in decided]
    assert frame["reason"].to_list() == [row["reason"] for row in decided]
    assert frame["error"].null_count() < len(frame)


def test_scores_have_every_column_of_the_catalogue_that_is_there(ws: Workspace) -> None:
    frame = ws.scores().collect()
    for table, name in (
        ("alignment", "alignment"),
        ("hygiene", "min_blur"),
        ("capability", CAPABILITY_COLUMNS[0]),
    ):
        expected = pl.Series(name, ws.store.read(table, [name])[name].to_pylist(), frame.schema[name])
        assert frame[name].equals(expected), name
    assert frame["uid"].to_list() == ws.samples().select("uid").collect()["uid"].to_list()


def test_a_lazy_frame_answers_as_a_whole_one_would(ws: Workspace) -> None:
    lazy, whole = ws.scores(), ws.scores().collect()
    asked = pl.col("kept") & (pl.col("n_tokens") > 20)
    assert_frame_equal(
        lazy.filter(asked).select("id", "alignment").collect(), whole.filter(asked)["id", "alignment"]
    )
    assert_frame_equal(lazy.slice(30, 40).collect(engine="streaming"), whole.slice(30, 40))
    assert_frame_equal(lazy.filter(asked).head(7).collect(), whole.filter(asked).head(7))
    assert lazy.select(pl.len()).collect().item() == len(whole)


def test_what_was_not_made_for_new_samples_is_null(tmp_path: Path) -> None:
    for seed, name in enumerate(("old", "new")):
        write_pool(tmp_path / name, 24, seed=seed)
    images = [tmp_path / "old", tmp_path / "new"]
    ws = Workspace.init(tmp_path, {"old": images[0] / "pool.json"}, images=images[:1], model="builtin:tiny")
    ws.ingest()
    assert ws.samples().select("kept", "cluster").collect().null_count().row(0) == (24, 24)
    ws.score()
    ws = Workspace.init(tmp_path, {"new": images[1] / "pool.json"}, images=images[1:])
    ws.ingest()
    found = ws.scores().group_by("dataset").agg(pl.col("n_answer_words").count()).sort("dataset").collect()
    assert dict(found.iter_rows())["new"] == 0
    assert dict(found.iter_rows())["old"] > 12
