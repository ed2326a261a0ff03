"""Pruning: which of duplicates stay, how thoroughly they are looked for, and what is said about it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import networkx as nx  # its types are a package of their own, not installed
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from clustering.neighbours import across
from curation.commands.explain import explain
from curation.commands.groups import groups
from curation.generate.pool import write_pool
from curation.steps.cluster.stages import cluster_vectors
from curation.steps.prune.linkage import LINKAGES, Graph, component, leader, least_similar
from curation.steps.prune.similarity import Likeness
from curation.workspace import Workspace
from schemas.errors import ConfigError, CurateError

# --- linkages --------------------------------------------------------------------------------------------


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 14))
    pairs = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=30))
    pairs = sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]})
    values = draw(st.lists(st.sampled_from([0.7, 0.8, 0.9]), min_size=len(pairs), max_size=len(pairs)))
    left, right = (np.array([pair[end] for pair in pairs], np.int64) for end in (0, 1))
    graph = Graph(n, left, right, np.array(values, np.float32))
    return graph, np.array(draw(st.permutations(range(n))), np.int64)


def cosines_of(graph):
    cosine = {}
    for i, j, s in zip(graph.left.tolist(), graph.right.tolist(), graph.similarity.tolist(), strict=True):
        cosine[i, j] = cosine[j, i] = s
    return cosine


@given(graphs())
def test_no_two_leaders_are_near_and_every_other_row_points_at_its_nearest_leader(drawn):
    graph, order = drawn
    kept, cosine = leader(graph, order), cosines_of(graph)
    stays: list[int] = []
    for row in order.tolist():  # the definition, one row at a time
        if not any((row, other) in cosine for other in stays):
            stays.append(row)
    assert np.flatnonzero(~kept.goes).tolist() == sorted(stays)
    for row in np.flatnonzero(kept.goes).tolist():
        best = max(stays, key=lambda other: (cosine.get((row, other), 0.0), -stays.index(other)))
        assert kept.kept_by[row] == best
        pair = kept.pair[row]
        assert {row, best} == {graph.left[pair], graph.right[pair]}


@given(graphs())
def test_a_chain_drops_whatever_has_an_earlier_neighbour(drawn):
    graph, order = drawn
    kept, cosine = LINKAGES["chain"](graph, order), cosines_of(graph)
    place = np.argsort(order)
    for row in range(graph.n):
        earlier = [other for other in range(graph.n) if (row, other) in cosine and place[other] < place[row]]
        assert kept.goes[row] == bool(earlier)
        if earlier:
            assert not kept.goes[kept.kept_by[row]]
            best = max(earlier, key=lambda other: (cosine[row, other], -place[other]))
            assert {row, best} == {graph.left[kept.pair[row]], graph.right[kept.pair[row]]}


@settings(deadline=None)  # the first example imports scipy
@given(graphs())
def test_components_are_those_of_networkx(drawn):
    graph, order = drawn
    kept = component(graph, order)
    oracle = nx.Graph()
    oracle.add_nodes_from(range(graph.n))
    oracle.add_edges_from(zip(graph.left.tolist(), graph.right.tolist(), strict=True))
    place = np.argsort(order)
    for members in nx.connected_components(oracle):
        first = min(members, key=lambda row: place[row])
        assert all(kept.kept_by[row] == (-1 if row == first else first) for row in members)


@given(graphs(), st.integers(0, 15))
def test_a_target_is_met_exactly_by_the_least_similar_rows(drawn, n_kept):
    graph, order = drawn
    kept, cosine = least_similar(graph, order, n_kept), cosines_of(graph)
    assert np.count_nonzero(~kept.goes) == min(n_kept, graph.n)
    place = np.argsort(order)

    def highest(row):
        return max((s for (i, j), s in cosine.items() if i == row and place[j] < place[row]), default=-1.0)

    ranked = sorted(range(graph.n), key=lambda row: (highest(row), place[row]))
    assert set(np.flatnonzero(~kept.goes)) == set(ranked[:n_kept])
    for row in np.flatnonzero(kept.kept_by >= 0):
        assert not kept.goes[kept.kept_by[row]]


@given(graphs(), st.sampled_from(sorted(LINKAGES)))
def test_pairs_that_stand_twice_and_the_other_way_round_change_nothing(drawn, linkage):
    graph, order = drawn
    doubled = Graph(
        graph.n,
        np.concatenate([graph.left, graph.right]),
        np.concatenate([graph.right, graph.left]),
        np.tile(graph.similarity, 2),
    )
    once, twice = LINKAGES[linkage](graph, order), LINKAGES[linkage](doubled, order)
    np.testing.assert_array_equal(once.kept_by, twice.kept_by)


def test_an_order_that_is_no_permutation_is_refused():
    none = np.empty(0, np.int64)
    with pytest.raises(ValueError, match="each of the 2 rows once"):
        leader(Graph(2, none, none, np.empty(0, np.float32)), np.array([0, 0]))


# --- on a pool -------------------------------------------------------------------------------------------

SMALL = {"run.shard_rows": 64}


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A generated pool of 300 samples with planted defects, after `prune`."""
    pool = tmp_path_factory.mktemp("pool")
    write_pool(pool, 300, seed=5)
    path = tmp_path_factory.mktemp("work") / "work"
    Workspace.init(path, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    workspace = Workspace(path, SMALL)
    workspace.prune()
    return workspace


def again(workspace: Workspace, **changes: object) -> tuple[dict[str, Any], pa.Table]:
    """Counts and `pruned` after another `prune` of the same workspace."""
    changed = Workspace(
        workspace.base, {**SMALL, **{f"prune.{name}": each for name, each in changes.items()}}
    )
    return changed.prune(), changed.store.read("pruned")


def test_another_eps_is_only_another_decision(pruned: Workspace) -> None:
    before, _ = again(pruned)
    counts, table = again(pruned, redundant=0.1)
    assert set(counts["computed"]) == {"pruned", "prune_curve"}
    assert counts["curve"][0.1] == counts["n_candidates"] < before["n_candidates"]
    assert counts["curve"] == before["curve"]
    redundant = table.filter(pc.equal(table["reason"], "redundant"))
    assert len(redundant) == counts["pruned"]["redundant"] > 0
    assert pc.min(redundant["similarity"]).as_py() >= np.float32(0.9)
    assert "redundant" not in before["pruned"]


@pytest.mark.parametrize("linkage", sorted(LINKAGES))
def test_no_two_that_stay_are_redundant_and_what_goes_names_one_that_stays(
    pruned: Workspace, linkage: str
) -> None:
    counts, table = again(pruned, linkage=linkage, redundant=0.08)
    gone = set(table["uid"].to_pylist())
    assert counts["n_pruned"] == len(gone) == len(table)
    assert not gone & set(table["kept_uid"].to_pylist())
    pairs = pruned.store.read("neighbours").to_pylist()
    near = [pair for pair in pairs if pair["similarity"] >= np.float32(0.92)]
    assert near
    assert all(pair["uid"] in gone or pair["other"] in gone for pair in near)


@pytest.mark.parametrize(("keep", "sign"), [("best:n_tokens", 1), ("hard", -1), ("easy", 1)])
def test_of_two_duplicates_the_preferred_one_stays(pruned: Workspace, keep: str, sign: int) -> None:
    # By component what goes has none before it that stays but the one that stands for it.
    _, table = again(pruned, keep=keep, linkage="component")
    column = {"best:n_tokens": "n_tokens"}.get(keep, "similarity")
    name = "checked" if column == "n_tokens" else "clusters"
    values = pruned.store.read(name, ["uid", column])
    value = dict(zip(values["uid"].to_pylist(), values[column].to_pylist(), strict=True))
    first: dict[bytes, list[bytes]] = {}
    for row in table.to_pylist():
        first.setdefault(row["kept_uid"], []).append(row["uid"])
    alone = {kept: uids[0] for kept, uids in first.items() if len(uids) == 1}
    assert len(alone) > 5
    assert all(sign * value[kept] >= sign * value[gone] for kept, gone in alone.items())


def test_a_random_rule_follows_from_the_seed(pruned: Workspace) -> None:
    first, second = again(pruned, keep="random")[1], again(pruned, keep="random")[1]
    assert first.equals(second)
    assert not first.equals(again(pruned)[1])


@pytest.mark.parametrize("to", ["80%", "100", "1"])
def test_a_target_keeps_exactly_so_many(pruned: Workspace, to: str) -> None:
    counts, table = again(pruned, to=to)
    n = counts["n_read"] - counts["n_quarantined"]
    assert counts["n_candidates"] == (int(0.8 * n) if to == "80%" else int(to))
    named = table.filter(table["kept_uid"].is_valid())
    assert not set(named["kept_uid"].to_pylist()) & set(table["uid"].to_pylist())


def test_by_image_all_but_one_question_on_an_image_go(pruned: Workspace) -> None:
    counts, _ = again(pruned, key="image", eps=0.0)
    checked = pruned.store.read("checked", ["images_hash", "error"])
    good = checked.filter(checked["error"].is_null())["images_hash"]
    distinct = pc.count_distinct(good.drop_null()).as_py() + good.null_count
    # Copies of records without images go as well; equal pixels in other files may.
    assert counts["n_candidates"] <= distinct
    assert counts["pruned"]["exact_duplicate"] >= len(good) - distinct


def test_by_text_samples_with_one_text_are_copies(pruned: Workspace) -> None:
    _, table = again(pruned, key="text", eps=0.0)
    exact = set(table.filter(pc.equal(table["reason"], "exact_duplicate"))["uid"].to_pylist())
    checked = pruned.store.read("checked", ["uid", "text_hash", "error"]).to_pylist()
    texts = [row["text_hash"] for row in checked if row["error"] is None and row["uid"] not in exact]
    assert len(texts) == len(set(texts))


def test_more_probes_find_more_and_the_chosen_number_reaches_the_recall(pruned: Workspace) -> None:
    counts, _ = again(pruned, probes="auto", min_similarity=0.7, recall=1.0)
    curve = pruned.store.read("probes").to_pylist()
    recalls = [row["recall"] for row in curve]
    assert recalls == sorted(recalls)
    assert recalls[0] < 1.0  # pairs lie across clusters here, so that the test can fail
    assert counts["probes"] == next(i for i, recall in enumerate(recalls) if recall >= max(recalls))
    assert counts["probes_recall"] == max(recalls)


@pytest.mark.parametrize("probes", [0, 1, 3])
def test_the_recall_of_pieces_of_cut_clusters_is_the_share_of_pairs_that_meet(
    pruned: Workspace, probes: int
) -> None:
    # Fitted on so few samples that it misses which clusters are large: they are cut.
    changes: dict[str, object] = {"cluster.k": 4, "cluster.points": 4, "cluster.max_size": 15}
    changes |= {"prune.probes": probes, "prune.min_similarity": 0.7, "prune.key": "vectors"}
    Workspace(pruned.base, {**SMALL, **changes}).prune()
    store = pruned.store
    assert store.manifest("centroids").rows < len(pc.unique(store.read("clusters")["cluster"].drop_null()))
    visits = store.read("visits", ["uid", "visits"]).to_pylist()
    goes = {row["uid"]: row["visits"] for row in visits if row["visits"]}
    # A piece on either side, and two of each further centroid: however many pieces there are.
    assert max(len(each) for each in goes.values()) <= 1 + (2 + 2 * probes if probes else 0)
    members = {uid: set(each) for uid, each in goes.items()}
    table = store.read("vectors")
    _, source = cluster_vectors(pruned.context)
    rows = source.rows(table)
    at = {uid: row for row, uid in enumerate(table["uid"].to_pylist())}
    uids = list(goes)
    own = np.ascontiguousarray(rows[[at[uid] for uid in uids]])
    i, j, similarity = across([own], [own], 0.7)
    meet = {}
    for a in range(len(uids)):
        ends = np.flatnonzero((i == a) & (j != a))
        order = ends[np.lexsort((j[ends], -similarity[ends]))][:8]
        for b in j[order].tolist():
            one, two = uids[a], uids[b]
            meet[a, b] = goes[one][0] in members[two] or goes[two][0] in members[one]
    recall = store.read("probes").to_pylist()[probes]
    assert recall["n_pairs"] == len(meet) > 100
    share = sum(meet.values()) / len(meet)
    # `Visit` leaves out what is too far to matter; ties at the eighth place may fall either way.
    assert recall["recall"] == pytest.approx(share, abs=0.01)
    assert recall["recall"] < 1


def test_with_every_cluster_visited_the_pairs_are_those_of_brute_force(pruned: Workspace) -> None:
    again(pruned, probes=16, min_similarity=0.85, neighbours=200)
    store = pruned.store
    table = store.read("vectors")
    firsts = store.read("firsts", ["first"])["first"].to_numpy()
    table = table.append_column("n_images", store.read("checked", ["n_images"])["n_images"])
    members = table.take(pa.array(np.flatnonzero(firsts)))
    _, source = cluster_vectors(pruned.context)
    likeness = Likeness("joint", source)
    expected = set()
    for _, own in likeness.groups(members):
        views = likeness.views(members.take(pa.array(own)))
        i, j, _ = across(views, views, 0.85)
        uids = members["uid"].take(pa.array(own)).to_pylist()
        expected |= {frozenset((uids[a], uids[b])) for a, b in zip(i, j, strict=True) if a != b}
    pairs = store.read("neighbours").to_pylist()
    near = [pair for pair in pairs if pair["similarity"] >= np.float32(0.85)]
    assert len(expected) > 20
    assert {frozenset((pair["uid"], pair["other"])) for pair in near} == expected


def copies_of(record: dict[str, Any], name: str, image: Image.Image, folder: Path) -> dict[str, Any]:
    image.save(folder / name, quality=80)
    return {**record, "id": name, "image": name}


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Ten photo-like pictures, each again at another size, and again mirrored, with the same text."""
    folder = tmp_path_factory.mktemp("looks")
    write_pool(folder, 60, seed=2)
    records = json.loads((folder / "pool.json").read_text())
    made: list[dict[str, Any]] = []
    for record in records:
        if isinstance(record.get("image"), str) and (folder / record["image"]).is_file() and len(made) < 30:
            with contextlib.suppress(OSError), Image.open(folder / record["image"]) as image:
                picture = image.convert("RGB")
                if np.asarray(picture.convert("L")).std() < 40:
                    continue
                number = len(made) // 3
                talk = [
                    {"from": "human", "value": f"<image>\nWhat is {number}?"},
                    {"from": "gpt", "value": "It."},
                ]
                base = {"conversations": talk}
                made.append(copies_of(base, f"{number}-plain.jpg", picture, folder))
                smaller = picture.resize((picture.width * 3 // 4, picture.height * 3 // 4))
                made.append(copies_of(base, f"{number}-small.jpg", smaller, folder))
                made.append(copies_of(base, f"{number}-flip.jpg", ImageOps.mirror(picture), folder))
    (folder / "looks.json").write_text(json.dumps(made))
    path = tmp_path_factory.mktemp("work") / "work"
    Workspace.init(path, {"looks": folder / "looks.json"}, images=[folder], model="builtin:tiny")
    return Workspace(path, SMALL)


def test_by_hash_resized_pictures_go_and_mirrored_ones_for_their_own_reason(looks: Workspace) -> None:
    counts, table = again(looks, semantic=False, perceptual=6)
    assert set(counts["pruned"]) == {"perceptual_duplicate"}
    n_small = counts["n_pruned"]
    assert n_small >= 9
    counts, table = again(looks, semantic=False, perceptual=6, flip=True)
    assert counts["pruned"]["perceptual_duplicate"] == n_small
    assert counts["pruned"]["flipped_duplicate"] >= 8
    assert pc.min(table["similarity"]).as_py() >= np.float32(1 - 6 / 64)
    counts, _ = again(looks, semantic=False, perceptual="off", flip=True)
    assert set(counts["pruned"]) == {"flipped_duplicate"}


@pytest.mark.parametrize(
    "changes",
    [
        {"perceptual": "off"},
        {"perceptual": 12},
        {"perceptual": "off", "hash_bits": 256},
        {"perceptual": 0, "hash_bits": 256},
    ],
)
def test_every_copy_of_a_mirrored_picture_goes_and_bits_are_those_of_64(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    coarse = np.random.default_rng(3).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((216, 216), Image.Resampling.BICUBIC)
    dotted = np.asarray(picture).copy()
    dotted[::7, ::5] += 40 * (dotted[::7, ::5] < 200).astype(np.uint8)
    ImageOps.mirror(picture).save(tmp_path / "0.png")
    picture.save(tmp_path / "1.png")
    picture.save(tmp_path / "2.jpg", quality=97)
    Image.fromarray(dotted).save(tmp_path / "3.png")
    talk = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A pattern."}]
    moved = [{"from": "human", "value": "What?\n<image>"}, {"from": "gpt", "value": "A pattern."}]
    names = ["0.png", "1.png", "2.jpg", "3.png"]
    records = [{"id": name, "image": name, "conversations": talk} for name in names]
    records.append({"id": "moved", "image": "0.png", "conversations": moved})
    (tmp_path / "data.json").write_text(json.dumps(records))
    Workspace.init(tmp_path / "work", {"d": tmp_path / "data.json"}, images=[tmp_path], model="builtin:tiny")
    workspace = Workspace(tmp_path / "work", SMALL)
    counts, table = again(workspace, semantic=False, flip=True, **changes)
    bits = workspace.store.read("look_alikes").to_pylist()
    apart = {row["bits"] for row in bits if row["flipped"]}
    assert {1 - bit / 64 for bit in apart} >= {row["similarity"] for row in table.to_pylist()} - {1.0}
    # Where unmirrored pictures do not count, neither does one text with its mark elsewhere.
    moved_goes = changes["perceptual"] != "off"
    assert counts["n_pruned"] == 3 + moved_goes
    assert counts["pruned"]["flipped_duplicate"] == 3


def test_by_hash_a_picture_with_another_question_stays_but_for_the_key_image(looks: Workspace) -> None:
    path = looks.base.parent / "other"
    source = Path(next(iter(looks.config.datasets.values())).path)
    records = json.loads(source.read_text())
    for number, record in enumerate(records):
        record["conversations"][0]["value"] += f" Question {number}."
    (source.parent / "other.json").write_text(json.dumps(records))
    Workspace.init(
        path, {"other": source.parent / "other.json"}, images=[source.parent], model="builtin:tiny"
    )
    assert again(Workspace(path, SMALL), semantic=False, perceptual=6)[0]["n_pruned"] == 0
    counts, _ = again(Workspace(path, SMALL), semantic=False, perceptual=6, key="image")
    assert counts["pruned"]["perceptual_duplicate"] >= 9


@pytest.fixture(scope="module")
def resaved(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A picture in three files of equal pixels and one that differs in a pixel, with one text and another."""
    folder = tmp_path_factory.mktemp("resaved")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    picture, changed = (
        Image.fromarray(pixels),
        Image.fromarray(pixels ^ (np.indices((40, 60)).sum(0) == 0)[..., None]),
    )
    picture.save(folder / "a.png")
    picture.save(folder / "b.png", compress_level=0)
    picture.convert("RGBA").save(folder / "c.webp", lossless=True)
    changed.save(folder / "d.png")
    shown = [
        ("a.png",),
        ("a.png",),
        ("b.png",),
        ("c.webp",),
        ("d.png",),
        ("a.png", "b.png"),
        ("c.webp", "a.png"),
    ]
    asked = [(*images, "Which?") for images in shown] + [("b.png", "What else?")]
    records = []
    for number, (*images, question) in enumerate(asked):
        talk = [
            {"from": "human", "value": "<image>\n" * len(images) + question},
            {"from": "gpt", "value": "Noise."},
        ]
        records.append({"id": str(number), "image": images, "conversations": talk})
    (folder / "data.json").write_text(json.dumps(records))
    path = tmp_path_factory.mktemp("work") / "work"
    Workspace.init(path, {"data": folder / "data.json"}, images=[folder], model="builtin:tiny")
    return Workspace(path, SMALL)


@pytest.mark.parametrize(
    ("exact", "key", "gone"),
    [
        ("bytes", "joint", {1: "exact_duplicate"}),
        (
            "pixels",
            "joint",
            {1: "exact_duplicate", 2: "pixel_duplicate", 3: "pixel_duplicate", 6: "pixel_duplicate"},
        ),
        ("bytes", "image", {1: "exact_duplicate", 7: "exact_duplicate"}),
        (
            "pixels",
            "image",
            {1: "exact_duplicate", **dict.fromkeys((2, 3, 6, 7), "pixel_duplicate")},
        ),
    ],
)
def test_equal_pixels_in_other_files_are_copies(
    resaved: Workspace, exact: str, key: str, gone: dict[int, str]
) -> None:
    _, table = again(resaved, exact=exact, key=key, semantic=False, perceptual="off")
    checked = resaved.store.read("checked", ["uid", "record_id"]).to_pylist()
    name = {row["uid"]: int(row["record_id"]) for row in checked}
    assert {name[row["uid"]]: row["reason"] for row in table.to_pylist()} == gone
    stands_for = {name[row["uid"]]: name[row["kept_uid"]] for row in table.to_pylist()}
    assert stands_for.get(6, 5) == 5
    assert pc.all(pc.equal(table["similarity"], 1.0)).as_py()


def test_pictures_without_any_text_have_equal_texts(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).resize((320, 240), Image.Resampling.BICUBIC)
    (tmp_path / "photos").mkdir()
    picture.save(tmp_path / "photos" / "a.png")
    picture.resize((200, 150)).save(tmp_path / "photos" / "b.png")
    ImageOps.invert(picture).save(tmp_path / "photos" / "c.png")
    Workspace.init(tmp_path / "work", {"photos": tmp_path / "photos"}, model="builtin:tiny")
    counts, _ = again(Workspace(tmp_path / "work", SMALL), semantic=False)
    assert counts["pruned"] == {"perceptual_duplicate": 1}


def test_every_sample_has_at_least_one_neighbour(pruned: Workspace) -> None:
    again(pruned)
    store = pruned.store
    visits = store.read("visits")
    takes_part = set(visits.filter(visits["visits"].is_valid())["uid"].to_pylist())
    listed = set(store.read("neighbours", ["uid"])["uid"].to_pylist())
    assert len(takes_part - listed) <= 3  # alone in their cluster with as many images


def test_explain_shows_both_samples_and_the_group(pruned: Workspace) -> None:
    _, table = again(pruned)
    row = table.to_pylist()[0]
    match = explain(pruned, row["uid"].hex())["matches"][0]["pruned"]
    assert match["kept"]["uid"] == row["kept_uid"].hex()
    assert match["kept"]["text"]
    assert match["n_group"] == 1 + sum(other["group"] == row["group"] for other in table.to_pylist())


def test_every_group_is_listed_with_all_that_goes(pruned: Workspace) -> None:
    counts, table = again(pruned)
    found = groups(pruned, 1000)
    assert found["n_groups"] == len(found["groups"]) == pc.count_distinct(table["group"]).as_py()
    assert sum(len(group["pruned"]) for group in found["groups"]) == counts["n_pruned"]
    sizes = [group["n"] for group in found["groups"]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(groups(pruned, 2)["groups"]) == 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"key": "text", "flip": True}, "--key text does not"),
        ({"to": "50%", "semantic": False}, "--no-semantic"),
        ({"keep": "best:beauty"}, "no column 'beauty'"),
        ({"keep": "worst"}, "no rule; there are first"),
        ({"to": "many"}, "many"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    pruned: Workspace, changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises((ConfigError, CurateError), match=sentence):
        again(pruned, **changes)
