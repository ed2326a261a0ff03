"""How near near-duplicates must be is measured on the pool, where they are."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from curation.generate.copies import COPIES
from curation.generate.scenes import landscape
from curation.generate.twins import TWINS
from curation.steps.prune.copies import FEWEST_COPIED, KINDS, OF_A_GROUP, _spread
from curation.steps.prune.eps import LEAST_FOUND, MeasureEps
from curation.steps.prune.pairs import closest_of
from curation.storage.rows import vectors
from curation.workspace import Workspace
from jobs.cli import cli

FLOOR = 0.9
N = 32  # pictures of either kind
SETTINGS = {"run.shard_rows": 32, "cluster.k": 4}


def eps(near: list[float], copies: Any) -> dict[str, Any]:
    stage = MeasureEps(FLOOR, None, by_hash=True)
    cosines = np.broadcast_to(np.asarray(copies, np.float32), (len(copies), len(KINDS)))
    return stage._eps(np.sort(np.array(near, np.float32))[::-1], cosines)


def test_one_of_a_hundred_may_have_another_picture_as_near() -> None:
    far = [-1.0] * 98
    copies = [[0.93], [0.95], [0.97], [0.99]]
    found = eps([*far, 0.98, 0.96], copies)
    assert 1 - found["eps"] > 0.96
    assert found["eps"] == pytest.approx(0.04, abs=1e-6)
    assert found["found"] == found["found_resized"] == 0.5
    narrower = eps([*far[:-1], 0.98, 0.96], copies)
    assert narrower["eps"] == pytest.approx(0.02, abs=1e-6)


def test_where_all_others_are_far_all_that_is_remembered_is_near() -> None:
    found = eps([-1.0] * 50, [[0.91], [0.95]])
    assert (found["eps"], found["found"]) == (pytest.approx(1 - FLOOR), 1)


def test_an_encoder_that_finds_others_nearer_than_copies_has_no_eps() -> None:
    found = eps([0.999] * 50, [[0.97]] * 20)
    assert found["eps"] is None
    assert found["found"] < LEAST_FOUND
    assert eps([0.999] * 50, np.zeros((0, 1)))["eps"] is None
    assert eps([1.0] * 50, [[1 + 1e-6]] * 20)["eps"] is None


def test_pictures_are_taken_evenly_of_groups_while_there_are_some() -> None:
    group = np.repeat(np.arange(3, dtype=np.int32), (4, 200, 400))
    hashes = np.random.default_rng(0).permutation(len(group)).astype(np.uint64)
    usable = np.ones(len(group), bool)
    usable[1] = False
    picked = _spread(group, hashes, usable)
    assert len(picked) == FEWEST_COPIED
    sizes = np.bincount(group[picked])
    assert sizes[0] == 3
    assert abs(sizes[1] - sizes[2]) <= 1
    for number in (1, 2):
        own = hashes[group == number]
        assert set(hashes[picked][group[picked] == number]) == set(np.sort(own)[: sizes[number]])


def test_each_of_many_groups_gets_enough_to_be_measured_by_itself() -> None:
    n = FEWEST_COPIED  # groups, more than are needed for that many pictures
    group = np.repeat(np.arange(n, dtype=np.int32), 2 * OF_A_GROUP)
    hashes = np.random.default_rng(0).permutation(len(group)).astype(np.uint64)
    picked = _spread(group, hashes, np.ones(len(group), bool))
    assert np.bincount(group[picked]).tolist() == [OF_A_GROUP] * n


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Landscapes and receipts that differ in little, with one text; a copy of every fourth landscape."""
    folder = tmp_path_factory.mktemp("pool")
    records = []

    def add(kind: str, number: int, suffix: str, content: bytes) -> None:
        name = f"{kind}-{number}{suffix}"
        (folder / name).write_bytes(content)
        turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "That."}]
        records.append({"id": name, "image": name, "conversations": turns})

    for number in range(N):
        picture = landscape(random.Random(number), (320, 240))[0]
        picture.save(folder / "drawn.png")
        add("scene", number, ".png", (folder / "drawn.png").read_bytes())
        if number % 4 == 0:
            add("copy", number, ".jpg", COPIES["resized_0.6"].of(picture))
    for number in range(N // 4):
        for place, receipt in enumerate(TWINS["receipts"](random.Random(number), 4).images):
            receipt.save(folder / "drawn.png")
            add("receipt", 4 * number + place, ".png", (folder / "drawn.png").read_bytes())
    (folder / "drawn.png").unlink()
    (folder / "data.json").write_text(json.dumps(records))
    return folder


@pytest.fixture(scope="module")
def pruned(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("work")
    Workspace.init(folder, {"d": pool / "data.json"}, images=[pool], model="builtin:tiny")
    workspace = Workspace(folder, SETTINGS)
    return workspace, workspace.run("prune")


def rows_of(workspace: Workspace, kind: str) -> list[dict[str, Any]]:
    """The rows of `copy_eps` of the groups that hold samples of a kind, a row a sample."""
    rows = workspace.store.read("copy_eps").to_pylist()
    ids = workspace.store.read("samples", ["record_id"])["record_id"].to_pylist()
    centroids = workspace.store.read("nearest", ["centroid"])["centroid"].to_pylist()
    return [
        next(row for row in rows if centroid in row["clusters"])
        for ident, centroid in zip(ids, centroids, strict=True)
        if ident.startswith(kind)
    ]


def test_receipts_get_a_narrower_eps_than_landscapes(pruned: tuple[Workspace, dict[str, Any]]) -> None:
    workspace, counts = pruned
    of_scenes, of_receipts = (
        np.mean([row["eps"] or 0 for row in rows_of(workspace, kind)]) for kind in ("scene", "receipt")
    )
    assert of_receipts < of_scenes / 2
    assert counts["copies"]["n_groups"] <= 4
    assert all(row["n_others"] == row["n_samples"] for row in rows_of(workspace, "receipt"))


def test_copies_go_and_nothing_else(pruned: tuple[Workspace, dict[str, Any]]) -> None:
    workspace, counts = pruned
    uids = workspace.store.read("pruned", ["uid"])["uid"].to_pylist()
    samples = workspace.store.read("samples", ["uid", "record_id"]).to_pylist()
    gone = {row["record_id"] for row in samples if row["uid"] in uids}
    assert gone == {f"copy-{number}.jpg" for number in range(0, N, 4)}
    assert counts["n_pruned"] == N // 4


def test_cosines_are_those_of_the_files_themselves(
    pruned: tuple[Workspace, dict[str, Any]], pool: Path
) -> None:
    """The copy of the pool that is `resized_0.6` is as near to its original as those that are measured."""
    store = pruned[0].store
    names = [ref[0]["name"] for ref in store.read("samples", ["images"])["images"].to_pylist()]
    by_name = dict(zip(names, vectors(store.read("vectors", ["image"])["image"]), strict=True))
    own = [by_name[f"scene-{n}.png"] @ by_name[f"copy-{n}.jpg"] for n in range(0, N, 4)]
    measured = store.read("copy_cosines")["resized"].to_numpy()
    assert measured.min() - 0.03 < np.mean(own) < measured.max() + 0.03
    assert measured.max() <= 1 + 1e-5


def test_it_says_what_it_goes_by(pruned: tuple[Workspace, dict[str, Any]]) -> None:
    workspace, counts = pruned

    def said(*words: str) -> str:
        return CliRunner().invoke(cli, ["-C", str(workspace.base), *words], catch_exceptions=False).output

    table = said("status", "--filters")
    assert "COPIES WITHIN" in table
    assert f"{counts['copies']['most_eps']:.4f}" in table
    found = json.loads(said("status", "--filters", "--json"))
    assert found["alignment"] is None
    assert len(found["near_duplicates"]["groups"]) >= counts["copies"]["n_groups"]
    again = said("prune", "--clusters", "4", "--shard-rows", "32")
    assert "within which" in again
    assert "status --filters" in again


def test_pairs_are_close_that_one_side_has_hardly_any_closer_than() -> None:
    left, right = np.array([0, 0, 0, 3, 2, 1]), np.array([1, 2, 3, 0, 4, 0])
    far = np.array([0.1, 0.2, 0.3, 0.3, 0.0, 0.1])
    assert closest_of(left, right, far, 1).tolist() == [True, False, True, True, True, True]
    assert closest_of(left, right, np.zeros(6), 1).tolist() == [True, True, True, True, True, True]
    assert closest_of(left[:3], right[:3], np.zeros(3), 0).tolist() == [False] * 3
    nothing = np.zeros(0, np.int64)
    assert closest_of(nothing, nothing, nothing, 1).tolist() == []


def test_without_a_text_cut_copies_go_and_near_twins_stay(tmp_path: Path) -> None:
    kinds = ("cropped_3", "cropped_10")
    for number in range(12):
        picture = landscape(random.Random(number), (320, 240))[0]
        picture.save(tmp_path / f"scene-{number}.png")
        (tmp_path / f"copy-{number}.jpg").write_bytes(COPIES[kinds[number % 2]].of(picture))
    for kind in ("charts", "receipts"):
        for place, twin in enumerate(TWINS[kind](random.Random(0), 6).images):
            twin.save(tmp_path / f"{kind}-{place}.png")
    Workspace.init(tmp_path / "work", {"d": tmp_path}, model="builtin:tiny")
    workspace = Workspace(tmp_path / "work", SETTINGS)
    workspace.run("prune")
    names = {
        row["uid"]: Path(row["key"].rpartition("#")[2]).stem
        for row in workspace.store.read("samples").to_pylist()
    }
    gone = {
        frozenset((names[row["uid"]], names[row["near_uid"]]))
        for row in workspace.store.read("pruned").to_pylist()
    }
    assert gone == {frozenset((f"scene-{number}", f"copy-{number}")) for number in range(12)}


def test_an_eps_that_is_given_is_that_of_all_and_nothing_is_measured(
    pruned: tuple[Workspace, dict[str, Any]],
) -> None:
    workspace = Workspace(pruned[0].base, {**SETTINGS, "prune.eps": 0.05})
    counts = workspace.run("prune")
    assert "copies" not in counts
    assert "copy_eps" not in [state.stage for state in workspace.states("prune")]


def test_a_picture_too_small_to_be_cut_is_left_out(tmp_path: Path) -> None:
    for number in range(8):
        Image.new("RGB", (1, 1 + number), (10 * number, 0, 0)).save(tmp_path / f"{number}.png")
    rng = np.random.default_rng(0)
    for number in range(8, 16):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((90, 90)).save(tmp_path / f"{number}.png")
    Workspace.init(tmp_path / "work", {"d": tmp_path}, model="builtin:tiny")
    workspace = Workspace(tmp_path / "work", SETTINGS)
    workspace.run("prune")
    measured = workspace.store.read("copy_cosines")
    assert len(measured) == 16
    assert 0 < measured["resized"].null_count <= 8


def test_texts_alone_are_near_by_a_fixed_eps_and_nothing_is_measured_of_them(tmp_path: Path) -> None:
    asked = [f"How long is river number {n}, and where does it rise?" for n in range(12)]
    said = [*asked, asked[3].lower().replace("?", " ?")]
    records = [
        {"id": str(n), "conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": "Long."}]}
        for n, q in enumerate(said)
    ]
    (tmp_path / "data.json").write_text(json.dumps(records))
    Workspace.init(tmp_path / "work", {"d": tmp_path / "data.json"}, model="builtin:tiny")
    counts = Workspace(tmp_path / "work", SETTINGS).run("prune")
    assert counts["pruned"] == {"near_duplicate": 1}
    assert counts["copies"]["n_groups"] == counts["n_looks"] == 0
    assert "copies" not in CliRunner().invoke(cli, ["-C", str(tmp_path / "work"), "prune"]).output


def test_looks_are_counted_as_far_as_the_pruning_goes_by_them(
    pruned: tuple[Workspace, dict[str, Any]],
) -> None:
    workspace, _ = pruned
    counts = Workspace(workspace.base, {**SETTINGS, "prune.semantic": False}).run("prune")
    assert counts["n_looks"] == len(workspace.store.read("looks"))
    found = CliRunner().invoke(cli, ["-C", str(workspace.base), "status", "--filters"])
    assert found.exit_code != 0
    workspace.run("prune")
