"""The Python API: frames, pictures, own scores, and keywords that are the flags."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import polars as pl
import pytest
from PIL import Image
from polars.testing import assert_frame_equal

from curation import Workspace
from curation.generate.pool import write_pool
from jobs.cli import cli
from schemas.errors import ConfigError
from schemas.flags import TAKES, keywords
from scorers.taxonomy import CAPABILITY_COLUMNS

ROOT = Path(__file__).parent.parent
# Methods that are called otherwise than their command.
METHODS = {"mix": "search_mix", "train-scorer": "train_scorer", "table": "write_table"}
SPEAKING = {"json", "quiet", "debug", "dry_run"}
# Of a command's own flags those that are no keyword of its method, and why.
ELSEWHERE = {
    "status": {"errors", "filters", "limit", "every"},  # methods of their own, and what they take
    "clusters": {"limit"},  # of what is printed
    "report": {"opened"},  # shows the file
    "init": {"data"},  # a dict of datasets
    "proof": {"seeds"},  # n_seeds
    "mix": {"seeds"},
    # list_scores, write_scores, add_scores and drop_scores
    "scores": {"columns", "where", "limit", "out", "add", "replace", "drop"},
}
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


# --- pictures ----------------------------------------------------------------------------------------------


def test_pictures_are_those_of_the_records_in_the_order_asked(ws: Workspace, pool: Path) -> None:
    good = ws.samples().filter(pl.col("error").is_null() & (pl.col("n_images") == 1)).collect()
    asked = good.reverse()["uid"].head(70)
    files = ws.image_bytes(asked)
    assert list(files) == asked.to_list()
    names = dict(good.select("uid", pl.col("images").list.first()).iter_rows())
    assert all(files[uid] == [(pool / names[uid]).read_bytes()] for uid in files)
    pictures = ws.images(good.head(2))
    with Image.open(pool / names[good["uid"][0]]) as expected:
        assert [picture and picture.size for picture in pictures[good["uid"][0]]] == [expected.size]
    assert ws.images(good["uid"][0]).keys() == {good["uid"][0]}
    assert good["uid"][1] in ws.image_bytes([good["id"][1]])


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (["nobody", "noone"], "no sample has the uid or id 'nobody', nor by 1 more"),
        ("f" * 32, "no sample has the uid or id 'ffff"),
        (pl.DataFrame({"kept": [True]}), "no column uid; it has kept"),
        ([5], "not by 5"),
    ],
)
def test_a_sample_that_is_not_there_is_named(ws: Workspace, names: Any, meant: str) -> None:
    for look in (ws.images, ws.image_bytes, ws.show):
        with pytest.raises(ConfigError, match=meant):
            look(names)


def test_a_gallery_shows_pictures_text_and_what_became_of_each(ws: Workspace) -> None:
    frame = ws.scores().filter("kept").sort("rank").select("uid", "alignment").collect()
    shown = ws.show(frame, limit=5)
    page = shown._repr_html_()
    assert page.count("<article>") == 5
    assert page.count('src="data:image/webp;base64,') >= 3
    assert "kept, pick 1 " in page
    assert f"and {len(frame) - 5:,} more" in page
    assert "http" not in page
    values = frame["alignment"].head(5).drop_nulls().to_list()
    assert all(f"alignment {value:.4g}" in page for value in values)
    assert len(repr(shown).splitlines()) == 6


def test_hostile_text_is_text_in_a_gallery(tmp_path: Path) -> None:
    texts = [
        "<script>alert(1)</script>",
        "</pre></script><img src=x onerror=alert(1)>",
        "\"'><b onmouseover=alert(1)>",
        "שלום \u202e evil",
        "\x1b[31mred\x00",
        "long " * 20_000,
    ]
    records = [
        {"id": text[:40], "conversations": [{"from": "human", "value": text}, {"from": "gpt", "value": "ok"}]}
        for text in texts
    ]
    (tmp_path / "pool.json").write_text(json.dumps(records))
    ws = Workspace.init(tmp_path, {"pool": tmp_path / "pool.json"})
    ws.ingest()
    page = ws.show(ws.samples()).html
    tags = set(re.findall(r"<[^>]*>", page.partition("</style>")[2]))
    assert tags <= {
        '<div class="curate">', "</div>", "<article>", "</article>", '<b dir="auto">', "</b>",
        '<small dir="auto">', "</small>", '<pre dir="auto">', "</pre>",
    }  # fmt: skip
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "שלום \\u202e evil" in page
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", page)
    assert len(page) < 20_000


# --- own scores --------------------------------------------------------------------------------------------


@pytest.fixture
def mine(ws: Workspace) -> Iterator[pl.DataFrame]:
    """A column of one's own for two thirds of the samples, which is in the workspace."""
    rows = ws.samples().select("uid", "n_tokens").collect().with_row_index()
    column = (pl.col("index") * 37 % 101).cast(pl.Float64)
    frame = rows.filter(pl.col("index") % 3 > 0).select("uid", difficulty=column)
    ws.add_scores(frame.sample(fraction=1, shuffle=True, seed=1))
    yield frame
    held = set(ws.store.schema("added").names) - {"uid"} if ws.store.manifest("added").shards else set()
    ws.drop_scores(*held)


def test_own_scores_stand_beside_the_others(ws: Workspace, mine: pl.DataFrame, tmp_path: Path) -> None:
    found = ws.scores().select("uid", "difficulty").collect()
    expected = found.select("uid").join(mine, on="uid", how="left", maintain_order="left")
    assert_frame_equal(found, expected)
    assert 0 < found["difficulty"].null_count() < len(found)
    assert ws.verify()["problems"] == []
    ws.export(tmp_path / "out", format="parquet", scores=True, budget="30%")
    exported = pl.read_parquet(tmp_path / "out" / "**" / "train*.parquet")
    by_uid = dict(mine.iter_rows())
    assert {row["uid"]: row["difficulty"] for row in exported.iter_rows(named=True)} == {
        uid: by_uid.get(uid) for uid in exported["uid"]
    }


def test_a_selection_follows_own_scores_and_changes_with_them(ws: Workspace, mine: pl.DataFrame) -> None:
    ws.select(budget=10, strategy="top:difficulty", where="difficulty < 90")
    kept = ws.scores().filter("kept").sort("rank").select("uid", "difficulty").collect()
    usable = ws.scores().filter(pl.col("reason").is_in(["kept", "over_budget"])).collect()
    best = usable.sort("difficulty", descending=True, nulls_last=True)["difficulty"].head(10)
    assert kept["difficulty"].to_list() == best.to_list()
    assert kept["difficulty"].max() < 90  # type: ignore[operator]
    again = ws.select(budget=10, strategy="top:difficulty", where="difficulty < 90")
    assert again["computed"] == {}
    ws.add_scores(mine.with_columns(difficulty=-pl.col("difficulty")), replace=True)
    changed = ws.select(budget=10, strategy="top:difficulty", where="difficulty < 90")
    assert set(changed["computed"]) == {"selection", "strata"}
    assert ws.scores().filter("kept").select(pl.col("difficulty").max()).collect().item() <= 0


def test_own_scores_come_in_parts_and_go_again(ws: Workspace, mine: pl.DataFrame) -> None:
    more = mine.head(5).select("uid", label=pl.lit("hard"), sure=pl.lit(True))
    ws.add_scores(more.to_arrow())
    found = ws.scores().select("label", "sure", "difficulty").collect()
    assert found["label"].count() == found["sure"].count() == 5
    assert found["difficulty"].count() == len(mine)
    assert ws.drop_scores("label", "difficulty") == {"dropped": ["label", "difficulty"], "columns": ["sure"]}
    assert "difficulty" not in ws.scores().collect_schema()
    with pytest.raises(ConfigError, match="no column 'difficulty'"):
        ws.select(budget=10, strategy="top:difficulty")
    ws.add_scores(mine)


def test_own_scores_are_there_for_samples_that_come_later(tmp_path: Path) -> None:
    write_pool(tmp_path, 24)
    ws = Workspace.init(tmp_path, {"pool": tmp_path / "pool.json"}, images=tmp_path, model="builtin:tiny")
    ws.add_scores({"id": [json.loads((tmp_path / "pool.json").read_text())[0]["id"]], "mine": [1]})
    before = ws.scores().select("mine").collect()["mine"]
    write_pool(tmp_path / "more", 24, seed=5)
    ws = Workspace.init(tmp_path, {"more": tmp_path / "more" / "pool.json"}, images=tmp_path / "more")
    ws.score()
    after = ws.scores().select("mine").collect()["mine"]
    assert (len(before), before.sum(), len(after), after.sum()) == (24, 1, 48, 1)


@pytest.mark.spark
def test_own_scores_are_the_same_on_both_engines(tmp_path: Path) -> None:
    write_pool(tmp_path, 48)
    found = {}
    for engine in ("local", "spark"):
        ws = Workspace.init(
            tmp_path / engine, {"pool": tmp_path / "pool.json"}, images=tmp_path, model="builtin:tiny"
        )
        ws = ws.with_settings({**SETTINGS, "run.engine": engine, "run.master": "local[2]"})
        ws.ingest()
        uids = ws.samples().collect()["uid"]
        ws.add_scores({"uid": uids[::2], "mine": list(range(0, len(uids), 2))})
        found[engine] = [ws.store.manifest(table).fingerprint for table in ("checked", "added", "own")]
        assert ws.scores().select("mine").collect()["mine"].to_list()[:3] == [0, None, 2]
    assert found["local"] == found["spark"]


WRONG = {
    "no sample has the id 'nobody', and so for 1 more": {"id": ["nobody", "noone"], "m": [1.0, 2.0]},
    "no sample has the uid 'ffffffffffffffffffffffffffffffff'": {"uid": ["f" * 32], "m": [1.0]},
    "the uid 'xyz' is not 32 digits": {"uid": ["xyz"], "m": [1.0]},
    "the uid .* stands there twice": {"uid": ["0" * 32] * 2, "m": [1.0, 2.0]},
    "have a column alignment already; call yours my_alignment": {"uid": ["0" * 32], "alignment": [1.0]},
    "have a column kept already": {"uid": ["0" * 32], "kept": [True]},
    "difficulty was added before; --replace": {"uid": ["0" * 32], "difficulty": [1.0]},
    "call it 'my_score'": {"uid": ["0" * 32], "my score": [1.0]},
    "the column m is of list": {"uid": ["0" * 32], "m": [[1.0]]},
    "the column m has infinite values": {"uid": ["0" * 32], "m": [float("inf")]},
    "1 rows have no uid": {"uid": [None], "m": [1.0]},
    "has ids only": {"uid": ["0" * 32]},
    "has the columns name, m": {"name": ["a"], "m": [1.0]},
    "there is no such file": "nowhere.parquet",
    "ends in .parquet, .csv, .jsonl": "scores.txt",
    "is no table": 5,
}


@pytest.mark.parametrize("meant", WRONG)
def test_wrong_own_scores_are_refused_by_name(ws: Workspace, mine: pl.DataFrame, meant: str) -> None:
    with pytest.raises(ConfigError, match=meant):
        ws.add_scores(WRONG[meant])
    assert len(ws.scores().filter(pl.col("difficulty").is_not_null()).collect()) == len(mine)


def test_an_id_of_two_samples_names_none(tmp_path: Path) -> None:
    write_pool(tmp_path, 24)
    records = json.loads((tmp_path / "pool.json").read_text())
    records[1]["id"] = records[0]["id"] = "same"
    (tmp_path / "pool.json").write_text(json.dumps(records))
    ws = Workspace.init(tmp_path, {"pool": tmp_path / "pool.json"}, images=tmp_path, model="builtin:tiny")
    with pytest.raises(ConfigError, match="several samples have the id 'same'; name them by uid"):
        ws.add_scores({"id": ["same"], "mine": [1.0]})


def test_scores_are_listed_and_written_by_condition(
    ws: Workspace, mine: pl.DataFrame, tmp_path: Path
) -> None:
    frame = ws.scores().filter(pl.col("difficulty") > 50).collect()
    listed = ws.list_scores(columns=["id", "difficulty"], where="difficulty > 50", limit=3)
    assert (listed["n_matching"], listed["n_samples"]) == (len(frame), ws.samples().collect().height)
    assert listed["rows"] == frame.select("id", "difficulty").head(3).to_dicts()
    ws.write_scores(tmp_path / "all.parquet")
    assert_frame_equal(pl.read_parquet(tmp_path / "all.parquet"), ws.scores().collect())
    ws.write_scores(tmp_path / "some.csv", columns=["uid", "difficulty"], where=["difficulty > 50", "kept"])
    expected = frame.filter("kept").select("uid", "difficulty")
    assert_frame_equal(pl.read_csv(tmp_path / "some.csv", schema=expected.schema), expected)
    with pytest.raises(ConfigError, match="did you mean difficulty"):
        ws.list_scores(columns="dificulty")


# --- keywords ----------------------------------------------------------------------------------------------


def taken(method: Any) -> set[str]:
    """The keywords of a method, those of its settings too."""
    names = set(inspect.signature(method).parameters) - {"self", "progress"}
    if "settings" not in names:
        return names
    (declared,) = get_args(get_type_hints(method)["settings"])
    return (names - {"settings"}) | set(declared.__optional_keys__)


@pytest.mark.parametrize(
    "name", [name for name in cli.commands if hasattr(Workspace, METHODS.get(name, name))]
)
def test_every_flag_of_a_command_is_a_keyword_of_its_method(name: str) -> None:
    flags = {(parameter.name or "").removesuffix("_") for parameter in cli.commands[name].params}
    wanted = flags - SPEAKING - ELSEWHERE.get(name, set())
    assert wanted - taken(getattr(Workspace, METHODS.get(name, name))) == set()
    assert set(keywords(name) if name in TAKES else ()) <= flags


def test_the_types_of_the_keywords_are_those_of_the_settings() -> None:
    done = subprocess.run(
        [sys.executable, "docs/keywords.py", "--check"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (lambda ws: ws.select(stratgy="random"), r"did you mean strategy\?"),
        (lambda ws: ws.cluster(k=8), r"did you mean clusters\?"),
        (lambda ws: ws.prune(to="80%"), r"did you mean prune_to\?"),
        (lambda ws: ws.embed(where="n_tokens < 9"), r"select\(\) has it"),
        (lambda ws: ws.export("out", fromat="llava"), r"did you mean format\?"),
    ],
)
def test_an_unknown_keyword_is_refused_by_the_name_that_is_meant(
    ws: Workspace, call: Any, meant: str
) -> None:
    with pytest.raises(TypeError, match=meant):
        call(ws)


def test_a_wrong_value_is_refused_by_its_keyword(ws: Workspace) -> None:
    with pytest.raises(ConfigError, match="clusters: input should be 'auto' or 'root'"):
        ws.cluster(clusters="many")  # type: ignore[arg-type]


def test_keywords_do_what_the_flags_do(ws: Workspace) -> None:
    middle = ws.samples().select(pl.col("n_tokens").median()).collect().item()
    found = ws.select(budget=12, strategy="random", where=f"n_tokens < {middle}", seed=3)
    assert found["n_selected"] == 12
    assert found["filtered"][f"n_tokens < {middle}"] > 0
    assert ws.samples().filter(pl.col("kept")).select(pl.col("n_tokens").max()).collect().item() < middle
    assert "computed" in ws.select(budget="30%")


def test_one_text_where_a_list_may_stand_is_one_of_them(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "pool.json").write_text("[]")
    made = Workspace.init(tmp_path / "work", tmp_path / "pool.json", images=str(tmp_path))
    (dataset,) = made.config.datasets.values()
    assert [Path(root).resolve() for root in dataset.images] == [tmp_path.resolve()]
    asked = ws.asked("decontaminate", {"leak_level": "image", "against": tmp_path})
    assert asked.config.decontaminate.levels == ("image",)
    assert asked.config.decontaminate.against == (str(tmp_path),)
    heads = ws.asked("score", {"head": {"nsfw": Path("a.safetensors"), "toxic@text": "b.safetensors"}})
    assert {name: head.on for name, head in heads.config.score.heads.items()} == {
        "nsfw": "image",
        "toxic": "text",
    }


# --- the page, the types -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    write_pool(tmp_path, 60)
    (tmp_path / "pool.json").rename(tmp_path / "mixture.json")
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block.replace('model="builtin"', 'model="builtin:tiny"'), known)
    assert known["counts"]["n_selected"] > 10
    assert "samples have no column 'beauty'" in known["sentence"]
    assert set(pl.read_parquet(tmp_path / "subset" / "**" / "train*.parquet")["asks"]) > {1}
    for name in re.findall(r"`(\w+)`", page.partition("| column | is |")[2].partition("| the others")[0]):
        columns = {*known["ws"].samples().collect_schema(), *known["ws"].scores().collect_schema()}
        assert name in columns or name == "scores", name


def test_every_package_says_that_it_is_typed() -> None:
    for package in ("schemas", "scorers", "clustering", "curation", "jobs"):
        assert (ROOT / package / "py.typed").is_file()


def test_every_public_method_is_typed_and_says_what_it_does() -> None:
    for name, method in inspect.getmembers(Workspace, callable):
        if not name.startswith("_"):
            assert "return" in method.__annotations__, name
            assert len((method.__doc__ or "").split()) > 3, name
