"""What of a benchmark is in the pool: by bytes, hashes, embeddings and n-grams; and what becomes of it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curation.commands.decontaminate import leaks_of
from curation.pipeline.config_file import set_keys
from curation.readers import READERS, detect
from curation.steps.decontaminate.leaks import LEVELS
from curation.workspace import Workspace
from jobs.cli import cli
from schemas.errors import ConfigError, ReadError
from scorers.ngrams import COMMON, LEAST_WORDS, Phrases

SMALL = {"run.shard_rows": 16}
LONG = (
    "The quick brown fox jumps over the lazy dog while seventeen curious otters watch from the river bank "
    "and wonder aloud whether anybody will ever write down what they saw"
)


def picture(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """Coarse coloured shapes, unlike those of any other seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def record(ident: str, image: str | None, question: str, answer: str) -> dict[str, Any]:
    turns = [
        {"from": "human", "value": f"<image>\n{question}" if image else question},
        {"from": "gpt", "value": answer},
    ]
    return {"id": ident, **({"image": image} if image else {}), "conversations": turns}


# --- n-grams -----------------------------------------------------------------------------------------------


def grams(turn: str, n: int) -> set[tuple[str, ...]]:
    """N-grams of a turn of plain words; of a short one itself."""
    words = turn.split()
    if len(words) >= n:
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}
    return {tuple(words)} if len(words) >= LEAST_WORDS else set()


def repeats(item: list[str], text: list[str], n: int) -> float:
    """The share of the item's n-grams that the text holds, by Python's sets."""
    wanted = set().union(*(grams(turn, n) for turn in item))
    held = {
        tuple(turn.split()[i : i + size])
        for turn in text
        for size in range(LEAST_WORDS, n + 1)
        for i in range(len(turn.split()) - size + 1)
    }
    return len(wanted & held) / len(wanted) if wanted else 0.0


TURN = st.lists(st.sampled_from(["a", "b"]), max_size=16).map(" ".join)
SAMPLE = st.lists(TURN, max_size=2)


@given(st.lists(SAMPLE, max_size=COMMON), st.lists(SAMPLE, max_size=4), st.sampled_from([8, 9, 13]))
def test_the_share_of_n_grams_is_that_of_sets(items: list[list[str]], texts: list[list[str]], n: int) -> None:
    text, item, share = Phrases.of(items, n).repeated(texts, 0.3)
    found = {(t, i): s for t, i, s in zip(text.tolist(), item.tolist(), share.tolist(), strict=True)}
    expected = {
        (t, i): np.float32(repeats(held, said, n))
        for t, said in enumerate(texts)
        for i, held in enumerate(items)
        if np.float32(repeats(held, said, n)) >= np.float32(0.3)
    }
    assert found == expected


@pytest.mark.parametrize(
    "text",
    [
        LONG.upper(),
        LONG.replace(" ", "\n  "),
        LONG.replace(" fox", ", “fox”!"),
        f"Before it. {LONG} After it.",
        LONG.replace("fi", "\N{LATIN SMALL LIGATURE FI}"),
    ],
)
def test_case_marks_and_white_space_do_not_hide_a_text(text: str) -> None:
    _, item, share = Phrases.of([[LONG]], 13).repeated([[text]], 0.9)
    assert item.tolist() == [0]
    assert share.tolist() == [1.0]


def test_half_of_a_text_is_half_of_its_n_grams() -> None:
    words = LONG.split()
    half = " ".join(words[: 12 + (len(words) - 12) // 2])
    assert Phrases.of([[LONG]], 13).repeated([[half]], 0.4)[2].tolist() == pytest.approx([0.5], abs=0.05)
    assert len(Phrases.of([[LONG]], 13).repeated([[half]], 0.6)[2]) == 0


def test_a_short_question_counts_as_a_whole_and_a_shorter_one_not_at_all() -> None:
    eight, seven = "how many red apples lie on this table", "how many apples lie on this table"
    held = Phrases.of([[eight], [seven]], 13)
    assert held.repeated([[f"please say {eight} today"], [seven]], 0.5)[1].tolist() == [0]
    assert held.totals.tolist() == [1, 0]


def test_what_many_texts_of_a_benchmark_share_is_its_template() -> None:
    template = "answer with the letter of the option that is right and nothing else at all"
    items = [[f"{template}"] for _ in range(COMMON + 1)]
    assert len(Phrases.of(items, 13).repeated([[template]], 0.1)[1]) == 0
    assert len(Phrases.of(items[:-1], 13).repeated([[template]], 0.1)[1]) == COMMON


# --- a folder of images ------------------------------------------------------------------------------------


def test_a_folder_of_images_is_a_dataset(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "sub/c.webp", ".hidden/d.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        picture(len(name)).save(tmp_path / "data" / name)
    (tmp_path / "data" / "notes.txt").write_text("no image")
    (tmp_path / "data" / "broken.png").write_bytes(b"\x89PNG nothing")
    assert detect(tmp_path / "data").name == "images"
    workspace = Workspace.init(tmp_path / "work", {"photos": tmp_path / "data"}, model="builtin:tiny")
    counts = workspace.embed()
    assert (counts["n_read"], counts["n_quarantined"], counts["n_image_vectors"]) == (4, 1, 4)
    rows = workspace.store.read("samples", ["uid", "key", "record_id"]).to_pylist()
    assert [row["record_id"] for row in rows] == ["a.jpg", "b.png", "broken.png", "c.webp"]
    assert len({row["key"] for row in rows}) == 4
    (tmp_path / "data" / "aa.png").write_bytes((tmp_path / "data" / "b.png").read_bytes())
    again = Workspace(workspace.base)
    again.ingest()
    uids = {row["record_id"]: row["uid"] for row in again.store.read("samples").to_pylist()}
    assert {row["record_id"]: row["uid"] for row in rows}.items() <= uids.items()


def test_images_are_cut_into_spans_in_order(tmp_path: Path) -> None:
    for n in range(5):
        picture(n, 16, 16).save(tmp_path / f"{n}.png")
    reader = READERS["images"]
    spans = list(reader.spans(tmp_path, 2))
    assert [span.n_records for span in spans] == [2, 2, 1]
    keys = [found.key for span in spans for found in reader.read(tmp_path, span)]
    assert keys == [f"{n}.png" for n in range(5)]
    (tmp_path / "4.png").unlink()
    with pytest.raises(ReadError, match="the folder has changed"):
        list(reader.read(tmp_path, spans[2]))


# --- small pools -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures with a question each, and some samples of text."""
    folder = tmp_path_factory.mktemp("pool")
    records = []
    for n in range(12):
        picture(n).save(folder / f"{n}.png")
        records.append(record(f"p{n}", f"{n}.png", f"What is in picture {n}?", f"Shapes, number {n}."))
    records.append(record("same-image", "3.png", "And what colours are there?", "Many colours."))
    records.append(record("long", None, LONG, "Nobody knows."))
    records.append(record("other", None, "How is the weather on the moon today?", "There is none."))
    records.append(record("bad", "none.png", "What is this?", "Nothing."))
    template = "please answer the question about the text with a single word or phrase"
    records += [record(f"t{n}", None, template, f"word {n}") for n in range(COMMON + 1)]
    (folder / "pool.json").write_text(json.dumps(records))
    return folder


@pytest.fixture(scope="module")
def embedded(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    Workspace.init(folder, {"pool": pool / "pool.json"}, images=[pool], model="builtin:tiny").embed()
    return folder


@pytest.fixture
def work(embedded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(embedded, tmp_path / "work"))


@pytest.fixture(scope="module")
def cut(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same workspace in shards of 16 rows."""
    folder = tmp_path_factory.mktemp("cut")
    Workspace.init(folder, {"pool": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    Workspace(folder, SMALL).embed()
    return folder


@pytest.fixture
def bench(pool: Path, tmp_path: Path) -> Path:
    """Picture 1 byte for byte, 3 scaled and recompressed, and one that is not in the pool."""
    folder = tmp_path / "bench"
    folder.mkdir()
    shutil.copy(pool / "1.png", folder / "one.png")
    picture(3).resize((200, 150)).save(folder / "three.jpg", quality=70)
    picture(99).save(folder / "new.png")
    return folder


def pairs(found: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(pair["of"]["id"], pair["id"], pair["level"]) for pair in found["pairs"]}


def test_a_folder_of_images_is_found_by_bytes_and_by_hash(work: Path, bench: Path) -> None:
    found = Workspace(work).decontaminate(str(bench))
    expected = {
        ("p1", "one.png", "image"),
        ("p3", "three.jpg", "perceptual"),
        ("same-image", "three.jpg", "perceptual"),
    }
    assert pairs(found) == expected
    assert found["n_leaked"] == 3
    about = found["benchmarks"][0]
    assert (about["name"], about["n_read"], about["n_in_pool"]) == ("bench", 3, 2)
    assert about["levels"] == {"image": 1, "perceptual": 2}
    similar = {pair["id"]: pair["similarity"] for pair in found["pairs"]}
    assert similar["one.png"] == 1
    assert 0.9 < similar["three.jpg"] <= 1


def test_each_level_by_itself(work: Path, bench: Path) -> None:
    def leaked(level: str, **settings: Any) -> set[str]:
        given = {f"decontaminate.{name}": value for name, value in settings.items()}
        workspace = Workspace(work, {"decontaminate.levels": (level,), **given})
        return {pair["of"]["id"] for pair in workspace.decontaminate(str(bench))["pairs"]}

    assert leaked("image") == {"p1"}
    assert leaked("perceptual") == {"p1", "p3", "same-image"}
    assert leaked("embedding", cosine=0.97) == {"p1", "p3", "same-image"}
    assert leaked("embedding", cosine=1.0) == {"p1"}
    assert leaked("text") == set()


def test_without_the_level_of_embeddings_nothing_is_embedded(
    pool: Path, work: Path, bench: Path, tmp_path: Path
) -> None:
    levels = {"decontaminate.levels": ("image", "perceptual", "text")}
    Workspace.init(tmp_path / "new", {"pool": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    workspace = Workspace(tmp_path / "new", levels)
    found = workspace.decontaminate(str(bench))
    assert pairs(found) == pairs(Workspace(work, levels).decontaminate(str(bench)))
    of_bench = Workspace(tmp_path / "new" / ".curate" / "benchmarks" / "bench")
    for store in (workspace.store, of_bench.store):
        assert store.find("image_vectors") is None
        assert store.find("images") is not None
    every = Workspace(tmp_path / "new", {"decontaminate.levels": LEVELS})
    assert every.decontaminate(str(bench))["n_leaked"] == found["n_leaked"]
    assert workspace.store.find("image_vectors") is not None


def test_a_text_is_found_by_its_n_grams_and_a_template_is_not(work: Path, tmp_path: Path) -> None:
    template = "please answer the question about the text with a single word or phrase"
    exam = [
        record("copied", None, f"Read this. {LONG.upper()}!", "So?"),
        record("template", None, template, "a word"),
        record("fresh", None, LONG[::-1], "No."),
    ]
    (tmp_path / "exam.jsonl").write_text("\n".join(map(json.dumps, exam)))
    found = Workspace(work).decontaminate(f"exam={tmp_path / 'exam.jsonl'}")
    assert pairs(found) == {("long", "copied", "text")}
    assert found["benchmarks"][0]["levels"] == {"text": 1}


def test_of_a_sample_with_an_image_the_question_alone_is_no_leak(
    work: Path, pool: Path, tmp_path: Path
) -> None:
    picture(50).save(tmp_path / "x.png")
    exam = [record("asked", "x.png", LONG, "Yes."), record("told", "x.png", "What is it?", LONG)]
    (tmp_path / "exam.json").write_text(json.dumps(exam))
    assert pairs(Workspace(work).decontaminate(str(tmp_path / "exam.json"))) == {("long", "told", "text")}


def test_select_leaves_leaks_out_and_with_tag_leaves_them_in(work: Path, bench: Path) -> None:
    counts = Workspace(work).decontaminate(str(bench))
    assert counts["n_leaked"] == 3

    def reasons() -> dict[str, str]:
        workspace = Workspace(work, {"select.default_filters": False, "capability.backend": "none"})
        workspace.select("1000")
        rows = workspace.store.read("selection").to_pylist()
        ids = workspace.store.read("checked", ["record_id"])["record_id"].to_pylist()
        return {ident: row["reason"] for ident, row in zip(ids, rows, strict=True)}

    dropped = reasons()
    assert {name for name, why in dropped.items() if why == "benchmark_leak"} == {"p1", "p3", "same-image"}
    Workspace(work, {"decontaminate.tag": True}).decontaminate()
    tagged = reasons()
    assert "benchmark_leak" not in tagged.values()
    assert tagged["p1"] == "kept"
    assert Workspace(work).config.decontaminate.tag


def test_the_same_command_again_computes_nothing_and_another_bound_decides_alone(
    work: Path, bench: Path
) -> None:
    first = Workspace(work).decontaminate(str(bench))
    assert {"image_leaks", "text_leaks", "leaks"} <= set(first["computed"])
    again = Workspace(work).decontaminate()
    assert again["computed"] == {}
    assert again["pairs"] == first["pairs"]
    Workspace(work, {"decontaminate.bits": 0}).decontaminate()
    assert set(Workspace(work, {"decontaminate.bits": 4}).decontaminate()["computed"]) <= {
        "image_leaks",
        "leaks",
    }


@pytest.mark.slow
def test_a_benchmark_that_changed_is_read_again(work: Path, bench: Path) -> None:
    Workspace(work).decontaminate(str(bench))
    picture(7).save(bench / "seven.png")
    found = Workspace(work).decontaminate()
    assert ("p7", "seven.png", "image") in pairs(found)


def test_two_benchmarks_are_told_apart(work: Path, bench: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    picture(5).save(other / "five.png")
    found = Workspace(work).decontaminate(str(bench), f"b={other}")
    assert {about["name"]: about["n_leaked"] for about in found["benchmarks"]} == {"bench": 3, "b": 1}
    assert [pair["of"]["id"] for pair in found["pairs"] if pair["benchmark"] == "b"] == ["p5"]


def test_a_leak_says_of_what(work: Path, bench: Path) -> None:
    Workspace(work).decontaminate(str(bench))
    store = Workspace(work).store
    uids = dict(
        zip(
            *(store.read("checked", ["record_id", "uid"])[name].to_pylist() for name in ("record_id", "uid")),
            strict=True,
        )
    )
    (leak,) = leaks_of(store, uids["p1"])
    assert (leak["benchmark"], leak["id"], leak["level"], leak["similarity"]) == (
        "bench",
        "one.png",
        "image",
        1.0,
    )
    assert leaks_of(store, uids["p2"]) == []


@pytest.mark.slow
def test_shards_and_workers_change_nothing(cut: Path, work: Path, bench: Path, tmp_path: Path) -> None:
    Workspace(work).decontaminate(str(bench))
    small = Workspace(shutil.copytree(cut, tmp_path / "small"), SMALL)
    small.decontaminate(str(bench))
    assert small.store.read("leaks").equals(Workspace(work).store.read("leaks"))


@pytest.mark.spark
def test_both_engines_find_the_same_leaks(cut: Path, work: Path, bench: Path, tmp_path: Path) -> None:
    (tmp_path / "exam.json").write_text(json.dumps([record("copied", None, LONG, "So?")]))
    against = (str(bench), str(tmp_path / "exam.json"))
    Workspace(work).decontaminate(*against)
    settings = {**SMALL, "run.engine": "spark", "run.master": "local[2]"}
    spark = Workspace(shutil.copytree(cut, tmp_path / "spark"), settings)
    computed = spark.decontaminate(*against)["computed"]
    assert {"image_leaks", "text_leaks", "leaks"} <= set(computed)
    for table in ("image_leaks", "text_leaks", "leaks"):
        assert spark.store.read(table).equals(Workspace(work).store.read(table)), table
    assert len(spark.store.read("leaks")) == 4


# --- mistakes ----------------------------------------------------------------------------------------------


def test_without_a_benchmark_the_error_says_how_to_name_one(work: Path) -> None:
    with pytest.raises(ConfigError, match="--against BENCHMARK"):
        Workspace(work).decontaminate()


def test_a_benchmark_that_does_not_exist_is_named_and_not_written_down(work: Path, tmp_path: Path) -> None:
    before = (work / "curate.toml").read_text()
    with pytest.raises(ConfigError, match=r"nowhere does not exist; give a dataset or a folder of images"):
        Workspace(work).decontaminate(str(tmp_path / "nowhere"))
    assert (work / "curate.toml").read_text() == before


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.csv", b"a,b\n1,2\n", "notes.csv"),
        ("bad.json", b'[{"id": 1, "conversations": []}]', "benchmark bad: no record could be read"),
    ],
)
def test_a_benchmark_that_cannot_be_read_is_named(
    work: Path, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    before = (work / "curate.toml").read_text()
    with pytest.raises(ReadError, match=words):
        Workspace(work).decontaminate(str(tmp_path / name))
    assert (work / "curate.toml").read_text() == before


def test_an_image_whose_name_is_no_utf8_is_quarantined(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    picture(1).save(folder / "good.png")
    shutil.copy(os.fsencode(folder / "good.png"), os.fsencode(folder) + b"/caf\xe9.png")
    workspace = Workspace.init(tmp_path / "work", {"photos": folder}, model="builtin:tiny")
    assert workspace.ingest()["quarantined"] == {"not_an_image": 1}
    rows = workspace.store.read("checked", ["record_id", "error_message"]).to_pylist()
    assert any(row["record_id"] == "caf\\xe9.png" and "rename" in row["error_message"] for row in rows[:1])


@pytest.mark.slow
def test_a_further_benchmark_joins_those_that_are_there(work: Path, bench: Path, tmp_path: Path) -> None:
    Workspace(work).decontaminate(f"one={bench}")
    found = Workspace(work).decontaminate(f"two={bench}")
    assert [each["name"] for each in found["benchmarks"]] == ["one", "two"]
    assert len(Workspace(work).config.decontaminate.against) == 2


def test_two_benchmarks_of_one_name_are_refused(work: Path, bench: Path) -> None:
    with pytest.raises(ConfigError, match="two benchmarks are called 'b'"):
        Workspace(work).decontaminate(f"b={bench}", f"b={bench.parent}")


# --- settings ----------------------------------------------------------------------------------------------


def test_keys_are_set_where_they_belong_and_the_rest_stays(tmp_path: Path) -> None:
    text = "# mine\n[a]\nx = 1  # one\n\n[b]\nx = 2\nlist = [\n  1,\n]\n"
    (tmp_path / "curate.toml").write_text(text)
    set_keys(tmp_path, "a", {"x": [3], "y": "new"})
    written = (tmp_path / "curate.toml").read_text()
    assert "# mine" in written
    assert "x = [3]  # one\n" in written
    assert written.endswith("[b]\nx = 2\nlist = [\n  1,\n]\n")
    set_keys(tmp_path, "c", {"flag": True})
    assert (tmp_path / "curate.toml").read_text().endswith("[c]\nflag = true\n")
    set_keys(tmp_path, "b", {"list": [2]})
    assert "[b]\nx = 2\nlist = [2]\n" in (tmp_path / "curate.toml").read_text()


def test_the_command_prints_pairs_and_says_what_happens_to_them(
    work: Path, bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    shown = CliRunner().invoke(cli, ["decontaminate", "--against", "../bench", "--limit", "1"])
    assert shown.exit_code == 0, shown.output
    assert "2 of 3" in shown.stdout
    assert "leaves them out" in shown.stdout
    assert "--limit 3" in shown.stdout
    assert Workspace(work).config.decontaminate.against == ("../bench",)
    again = CliRunner().invoke(cli, ["decontaminate", "--tag", "--json"])
    tree = json.loads(again.stdout)
    assert (tree["n_leaked"], tree["tag"]) == (3, True)
