"""What trainers open: every format there and back, splits, orders, two folders of pictures, `convert`."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from curation.commands.convert import convert
from curation.progress import Silent
from curation.readers.sources import find_spans
from curation.steps.ingest.records import Ingest
from curation.steps.ingest.stages import ingest_stages
from curation.workspace import Workspace
from curation.writers import WRITERS
from curation.writers.hf_columns import features
from curation.writers.shuffle import shuffled
from curation.writers.splits import parse_shares
from jobs.cli import cli
from schemas.errors import ExportError, NothingLeft
from tests.places import here

Row = dict[str, Any]
# Formats that hold whole samples: the others name them only.
WHOLE = [name for name in WRITERS if name not in ("open_clip", "datacomp", "fiftyone", "ids")]


def png(value: int, size: int = 8) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (size, size), (value % 256, 40, 200 - value % 200)).save(out, "PNG")
    return out.getvalue()


def record(n: int, image: Any = None, **changes: Any) -> Row:
    shown = "<image>\n" * (len(image) if isinstance(image, list) else bool(image))
    turns = [{"from": "human", "value": f"{shown}Which, {n}? “ü”"}, {"from": "gpt", "value": f"The {n}th."}]
    return {"id": n, **({"image": image} if image is not None else {}), "conversations": turns, **changes}


def folder_of(at: Path, records: list[Row], n_images: int, first: int = 0) -> Path:
    """`data.json` and `img/0.png`, ... of their own shades."""
    (at / "img").mkdir(parents=True, exist_ok=True)
    for number in range(n_images):
        (at / "img" / f"{number}.png").write_bytes(png(first + number))
    (at / "data.json").write_text(json.dumps(records))
    return at / "data.json"


def turned(data: Path, out: Path, format: str, **asked: Any) -> dict[str, Any]:
    return convert(str(data), out, format=format, progress=Silent(), **asked)


def curate(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def canonical(data: Path, at: Path) -> list[tuple[Any, ...]]:
    """The turns and image hashes of `data`, as `curate ingest` reads it, sorted."""
    result = curate("-C", str(at), "init", f"d={data}", "--json")
    assert result.exit_code == 0, result.stderr
    workspace = Workspace(at)
    stage = ingest_stages(workspace.context)[0]
    assert isinstance(stage, Ingest)
    spans = find_spans(workspace.config, workspace.store.root, workspace.base, Silent())
    rows = [
        row
        for found in spans
        for row in stage.prepare((found.value, list(found.value.records()))).to_pylist()
    ]
    assert [row["error"] for row in rows] == [None] * len(rows)
    return sorted(
        (
            tuple((turn["role"], turn["text"]) for turn in row["turns"]),
            tuple(ref["sha256"] for ref in row["images"]),
        )
        for row in rows
    )


# --- LLaVA's trainers --------------------------------------------------------------------------------------

SYSTEM = {"from": "system", "value": "Be brief."}
CRASHING = [
    record(0, image=None) | {"image": None},
    record(1) | {"image": ""},
    record(2) | {"image": []},
    record(3, ["img/0.png"]),
    {**record(4, "img/1.png"), "conversations": [SYSTEM, *record(4, "img/1.png")["conversations"]]},
    record(5, "img/2.png"),
]


def test_what_crashes_llava_s_trainers_is_mended_and_counted(tmp_path: Path) -> None:
    data = folder_of(tmp_path, CRASHING, 3)
    told = turned(data, tmp_path / "out", "llava")
    made = json.loads((tmp_path / "out" / "data" / "train.json").read_bytes())
    assert [each.get("image", "absent") for each in made] == [
        "absent", "absent", "absent", "img/0.png", "img/1.png", "img/2.png",
    ]  # fmt: skip
    assert made[4]["conversations"][0] == {"from": "human", "value": "Be brief.\n\n<image>\nWhich, 4? “ü”"}
    assert [turn["from"] for each in made for turn in each["conversations"]] == ["human", "gpt"] * 6
    assert told["changed"] == {"image_empty": 3, "image_unwrapped": 1, "system_folded": 1}


def test_raw_keeps_the_bytes_of_what_crashes_trainers(tmp_path: Path) -> None:
    data = folder_of(tmp_path, CRASHING, 3)
    assert turned(data, tmp_path / "out", "llava", raw=True)["changed"] == {}
    lines = (tmp_path / "out" / "data" / "train.json").read_text().splitlines()[1:-1]
    assert [line.removesuffix(",") for line in lines] == [json.dumps(each) for each in CRASHING]


ODD = ["", " ", "\\u00e9 é", "tab\tand\\n", "\\ud83d\\ude00", "</s>", "“ ”", "\\/"]


def odd_records(n: int, seed: int = 0) -> Iterator[bytes]:
    """LLaVA records as no serializer writes them: ids of all kinds, double keys, floats, escapes."""
    draw = random.Random(seed)
    for number in range(n):
        id_ = draw.choice([f"{number}", f'"{number}"', f'"id-{number}\\u00fc"', "-7", "1e3", "1.0", "null"])
        extra = draw.choice(
            [
                "",
                ', "": ""',
                ', "a": 1.0, "a": 1e3',
                ', "n": {"deep": [[], {}, {"x": null}]}',
                ',"source"\n:\t"s"',
            ]
        )
        text = draw.choice(ODD).replace("\t", "\\t")
        pad = draw.choice(["", " ", "\n\t"])
        yield (
            f'{{"id": {id_}{extra}{pad},"conversations" : [{{"from":"human","value":"{text} {number}"}},{pad}'
            f'{{"value":"yes {text}","from": "gpt"}}]{pad}}}'
        ).encode()


@pytest.mark.parametrize("n", [2_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_records_of_llava_go_there_and_back_byte_for_byte(n: int, tmp_path: Path) -> None:
    data = tmp_path / "data.json"
    with data.open("wb") as file:
        for number, each in enumerate(odd_records(n)):
            file.write((b",\n " if number else b"[") + each)
        file.write(b"]")
    told = turned(data, tmp_path / "there", "llava", raw=True)
    assert (told["n_kept"], told["n_rejected"], told["changed"]) == (n, 0, {})
    turned(tmp_path / "there", tmp_path / "back", "llava", raw=True)
    written = (tmp_path / "back" / "data" / "train.json").read_bytes()
    assert written == b"[\n" + b",\n".join(odd_records(n)) + b"\n]\n"


# --- there and back ----------------------------------------------------------------------------------------

MIXED = [
    record(0, "img/0.png", source="coco"),
    record(1, ["img/1.png", "img/2.png"], deep={"a": [1]}),
    record(2),
    {**record(3, "img/0.png"), "conversations": [SYSTEM, *record(3, "img/0.png")["conversations"]]},
    {"id": "x", "image": "img/3.png", "conversations": [
        {"from": "human", "value": "Look:\n<image>\nwhat?"}, {"from": "gpt", "value": "One."},
        {"from": "human", "value": "And now?"}, {"from": "gpt", "value": "Two <b>."}]},
]  # fmt: skip


@pytest.fixture(scope="module")
def zero(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MIXED as LLaVA's trainers take it: without a system turn."""
    at = tmp_path_factory.mktemp("zero")
    turned(folder_of(at, MIXED, 4), at / "out", "llava")
    return at / "out"


@pytest.mark.parametrize("there", WHOLE)
def test_each_format_into_each_other_and_back_has_the_same_turns_and_pictures(
    there: str, zero: Path, tmp_path: Path
) -> None:
    turned(zero, tmp_path / "there", there)
    expected = canonical(zero, tmp_path / "w0")
    for back in WHOLE:
        turned(tmp_path / "there", tmp_path / back, back)
        assert canonical(tmp_path / back, tmp_path / f"w-{back}") == expected


@pytest.mark.parametrize("format", ["sharegpt", "messages", "messages.jsonl", "webdataset", "llama_factory"])
def test_further_keys_come_out_again(format: str, tmp_path: Path) -> None:
    data = folder_of(tmp_path, MIXED, 4)
    turned(data, tmp_path / "there", format)
    turned(tmp_path / "there", tmp_path / "back", "messages.jsonl")
    lines = (tmp_path / "back" / "data" / "train.jsonl").read_text().splitlines()
    extra = [json.loads(json.loads(line).get("extra", "{}")) for line in lines]
    assert {"source": "coco"} in [{k: v for k, v in each.items() if k == "source"} for each in extra]
    assert {"a": [1]} in [each.get("deep") for each in extra]


# --- the formats ------------------------------------------------------------------------------------------


def test_a_tar_holds_the_images_as_they_came_and_its_members_lie_together(tmp_path: Path) -> None:
    turned(folder_of(tmp_path, MIXED, 4), tmp_path / "out", "webdataset")
    with tarfile.open(tmp_path / "out" / "data" / "train-000000.tar") as tar:
        members = [(member.name.partition("."), tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    sizes = json.loads((tmp_path / "out" / "data" / "sizes.json").read_text())
    assert sizes == {"train-000000.tar": 5}
    keys = [key for (key, _, _), _ in members]
    assert len([key for key, _ in itertools.groupby(keys)]) == len(set(keys)) == 5
    assert [end for (_, _, end), _ in members][:6] == ["png", "json", "txt", "0.png", "1.png", "json"]
    images = [data for (_, _, end), data in members if end.endswith("png")]
    assert images == [png(0), png(1), png(2), png(0), png(3)]
    assert [data for (_, _, end), data in members if end == "txt"][-1] == b"One.\nTwo <b>."


def test_open_clip_takes_pairs_alone_and_the_others_are_counted(tmp_path: Path) -> None:
    told = turned(folder_of(tmp_path, MIXED, 4), tmp_path / "out", "open_clip")
    lines = [line.split("\t") for line in (tmp_path / "out" / "data" / "train.tsv").read_text().splitlines()]
    assert lines[0] == ["filepath", "title"]
    assert [title for _, title in lines[1:]] == ["The 0th.", "The 3th.", "One. Two <b>."]
    assert [Path(path).read_bytes() for path, _ in lines[1:]] == [png(0), png(0), png(3)]
    assert told["changed"] == {"no_pair": 2}


def test_titles_that_pandas_would_lose_are_left_out_and_counted(tmp_path: Path) -> None:
    records = [record(n, "img/0.png") for n in range(3)]
    records[1]["conversations"][1]["value"] = "None"
    told = turned(folder_of(tmp_path, records, 1), tmp_path / "out", "open_clip")
    assert told["changed"] == {"no_title": 1}
    read = pl.read_csv(tmp_path / "out" / "data" / "train.tsv", separator="\t")
    assert read["title"].to_list() == ["The 0th.", "The 2th."]


def test_trl_s_messages_are_parts_in_the_order_of_the_text(tmp_path: Path) -> None:
    turned(folder_of(tmp_path, MIXED, 4), tmp_path / "out", "messages")
    (row,) = [
        row
        for row in pq.read_table(tmp_path / "out" / "data" / "train-00000-of-00001.parquet").to_pylist()
        if row["id"] == "x"
    ]
    text = [
        {"type": "text", "text": "Look:"},
        {"type": "image", "text": None},
        {"type": "text", "text": "what?"},
    ]
    assert row["messages"][0] == {"role": "user", "content": text}
    assert row["messages"][1] == {"role": "assistant", "content": [{"type": "text", "text": "One."}]}
    assert row["conversations"] == MIXED[4]["conversations"]


def test_fiftyone_gets_a_sample_an_image(tmp_path: Path) -> None:
    told = turned(folder_of(tmp_path, MIXED, 4), tmp_path / "out", "fiftyone")
    samples = json.loads((tmp_path / "out" / "samples.json").read_text())["samples"]
    shown = [(tmp_path / "out" / each["filepath"]).read_bytes() for each in samples]
    assert shown == [png(0), png(1), png(2), png(0), png(3)]
    assert [each["record_id"] for each in samples] == ["0", "1", "1", "3", "x"]
    assert samples[0]["source"] == {"_cls": "Classification", "label": "coco"}
    assert told["changed"] == {"no_image": 1}


def test_datacomp_takes_the_records_own_uids(tmp_path: Path) -> None:
    own = "00112233445566778899aabbccddeeff"
    turned(folder_of(tmp_path, [record(0, uid=own), record(1, uid="no")], 0), tmp_path / "out", "datacomp")
    uids = [(int(a), int(b)) for a, b in np.load(tmp_path / "out" / "data" / "train.npy")]
    assert len(uids) == 2
    assert (0x0011223344556677, 0x8899AABBCCDDEEFF) in uids


def test_llama_factory_finds_the_data_of_each_split(tmp_path: Path) -> None:
    turned(folder_of(tmp_path, MIXED, 4), tmp_path / "out", "llama_factory")
    (entry,) = json.loads((tmp_path / "out" / "dataset_info.json").read_text()).values()
    rows = json.loads((tmp_path / "out" / entry["file_name"]).read_text())
    for row in rows:
        assert [(tmp_path / "out" / path).read_bytes()[:4] for path in row["images"]] == [b"\x89PNG"] * len(
            row["images"]
        )
        asked = "".join(turn["value"] for turn in row[entry["columns"]["messages"]])
        assert asked.count("<image>") == len(row["images"])


def test_features_are_in_the_form_that_old_and_new_datasets_read() -> None:
    image = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
    turn = pa.struct([pa.field("role", pa.string())])
    schema = pa.schema(
        [
            ("images", pa.list_(image)),
            ("turns", pa.list_(turn)),
            ("v", pa.list_(pa.float32(), 2)),
            ("h", pa.binary(16)),
        ]
    )
    value = {"dtype": "string", "_type": "Value"}
    assert features(schema) == {
        "images": [{"_type": "Image"}],
        "turns": [{"role": value}],
        "v": {"feature": {"dtype": "float32", "_type": "Value"}, "length": 2, "_type": "Sequence"},
        "h": {"dtype": "binary", "_type": "Value"},
    }


# --- convert ----------------------------------------------------------------------------------------------


def test_what_cannot_be_converted_is_kept_with_its_reason(tmp_path: Path) -> None:
    data = folder_of(tmp_path, [record(0, "img/0.png"), record(1, "img/gone.png"), {"id": 2}], 1)
    result = curate("convert", str(data), str(tmp_path / "out"), "--format", "messages.jsonl")
    assert result.exit_code == 0, result.stderr
    assert "converted  1 of 3 records of llava" in result.stdout
    rejected = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert [(each["error"], each["file"], each["line"]) for each in rejected] == [
        ("missing_image", "data.json", 1),
        ("no_turns", "data.json", 1),
    ]
    assert json.loads(rejected[1]["record"]) == {"id": 2}


def test_nothing_that_can_be_converted_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(NothingLeft, match=r"none of the 1 records .*img/gone.png.* is not in"):
        turned(folder_of(tmp_path, [record(1, "img/gone.png")], 0), tmp_path / "out", "llava")
    assert not (tmp_path / "out").exists()


def test_an_option_that_a_format_has_not_is_refused_with_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="webdataset takes no --images link; it takes bytes"):
        turned(folder_of(tmp_path, MIXED, 4), tmp_path / "out", "webdataset", images="link")


def test_a_conversion_is_not_written_over_its_own_data(tmp_path: Path) -> None:
    data = folder_of(tmp_path / "out", MIXED, 4)
    (tmp_path / "out" / "curate.json").write_text("{}")
    with pytest.raises(ExportError, match="which the export is made of"):
        turned(data, tmp_path / "out", "llava", overwrite=True)


# --- exports of a pool ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two datasets with folders of their own, in which one name is two pictures; images shared in a chain."""
    at = tmp_path_factory.mktemp("two")
    chained = [record(n, [f"img/{n}.png", f"img/{n + 1}.png"]) for n in range(3)]
    ones = [record(10 + n, f"img/{n % 20}.png") for n in range(60)]
    a = folder_of(at / "a", [*chained, *ones, *(record(100 + n) for n in range(20))], 20)
    b = folder_of(at / "b", [record(200 + n, f"img/{n}.png") for n in range(20)], 20, first=50)
    Workspace.init(at / "work", {"a": a, "b": b}, model="builtin:tiny")
    quick = {"prune.semantic": False, "prune.perceptual": False, "capability.backend": "none"}
    workspace = Workspace(at / "work", {**quick, "select.default_filters": False})
    assert workspace.select(budget="100%", strategy="random")["n_selected"] == 103
    return workspace


def kept(workspace: Workspace) -> list[Row]:
    rows: list[Row] = workspace.store.read("samples").to_pylist()
    return rows


@pytest.mark.parametrize("images", ["link", "copy", "paths"])
@pytest.mark.parametrize("format", ["llava", "sharegpt", "open_clip"])
def test_two_folders_of_images_never_mix(format: str, images: str, pool: Workspace, tmp_path: Path) -> None:
    pool.export(tmp_path / "out", format=format, images=images)
    if format == "open_clip":
        lines = (tmp_path / "out" / "data" / "train.tsv").read_text().splitlines()[1:]
        shown = [[line.split("\t")[0]] for line in lines]
        expected = [row for row in kept(pool) if row["n_images"] == 1]
    else:
        records = [
            each
            for path in sorted((tmp_path / "out" / "data").iterdir(), key=lambda path: len(path.name))
            for each in json.loads(path.read_text())
        ]
        key = "image" if format == "llava" else "images"
        shown = [[each] if isinstance(each := row.get(key, []), str) else each for row in records]
        expected = kept(pool)
        if format == "llava":
            expected = sorted(expected, key=lambda row: row["n_images"] > 1)
    root = tmp_path / "out" / ("images" if format == "llava" else "")
    found = [[hashlib.sha256((root / path).read_bytes()).digest() for path in paths] for paths in shown]
    assert found == [[ref["sha256"] for ref in row["images"]] for row in expected]
    assert all(
        Path(path).is_absolute() == (images == "paths" or format == "open_clip")
        for each in shown
        for path in each
    )


def test_no_image_is_in_two_splits_and_sizes_are_as_asked(pool: Workspace, tmp_path: Path) -> None:
    told = pool.export(tmp_path / "out", format="sharegpt", split="train=0.8,val=0.2", scores=True)
    parts = {
        name: json.loads((tmp_path / "out" / "data" / f"{name}.json").read_text())
        for name in ("train", "val")
    }
    assert told["splits"] == {name: len(rows) for name, rows in parts.items()}
    assert sum(told["splits"].values()) == 103
    assert abs(told["splits"]["val"] - 20.6) <= 6
    shown = {name: {path for row in rows for path in row["images"]} for name, rows in parts.items()}
    assert not shown["train"] & shown["val"]
    chained = [name for name, rows in parts.items() for row in rows if len(row["images"]) == 2]
    assert len(set(chained)) == 1
    assert all("n_words" in row["scores"] for rows in parts.values() for row in rows)
    assert "- split: val\n        path: data/val.json" in (tmp_path / "out" / "README.md").read_text()


def test_splits_of_saved_datasets_open_by_name(pool: Workspace, tmp_path: Path) -> None:
    import datasets

    pool.export(tmp_path / "out", format="hf", split="train=90%,val=10%", shuffle=3)
    opened = datasets.load_from_disk(str(tmp_path / "out"))
    assert {name: len(rows) for name, rows in opened.items()} == {
        name: len(rows)
        for name, rows in datasets.load_dataset(
            str(tmp_path / "out"), cache_dir=str(tmp_path / "cache")
        ).items()
    }
    uids = [uid for rows in opened.values() for uid in rows["uid"]]
    assert sorted(uids) == sorted(row["uid"].hex() for row in kept(pool))
    assert uids != [row["uid"].hex() for row in kept(pool)]


@pytest.mark.parametrize("text", ["train=0.9", "train=0.5,train=0.5", "train=1,val=0", "a", "a=-1,b=2"])
def test_shares_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ExportError, match="name each split once"):
        parse_shares(text)


def test_an_order_follows_from_the_seed_alone_and_holds_every_row_once(tmp_path: Path) -> None:
    def batches(size: int) -> Iterator[pa.RecordBatch]:
        rows = pa.table({"n": range(1000), "s": [f"{n}" for n in range(1000)]})
        yield from rows.to_batches(max_chunksize=size)

    def drawn(size: int, seed: int, bucket: int) -> list[int]:
        made = shuffled(batches(size), 1000, seed, tmp_path / "order", bucket)
        return [n for batch in made for n in batch["n"].to_pylist()]

    first = drawn(7, 0, 64)
    assert first == drawn(100, 0, 20_000)
    assert sorted(first) == list(range(1000))
    assert first not in (drawn(7, 1, 64), list(range(1000)))
    assert not (tmp_path / "order").exists()


def test_the_card_names_the_licence_and_no_place_of_this_machine(pool: Workspace, tmp_path: Path) -> None:
    pool.export(tmp_path / "out", format="messages", license="cc-by-4.0")
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\nlicense: cc-by-4.0\n")
    for name in ("README.md", "curate.json"):
        assert str(here(pool.base).parent) not in (tmp_path / "out" / name).read_text()


def test_an_export_goes_to_a_url_with_its_summary_last(pool: Workspace, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    told = pool.export("memory://bucket/out", format="llava")
    local = pool.export(tmp_path / "out", format="llava")
    assert (told["out"], told["n_kept"]) == ("memory://bucket/out", local["n_kept"])
    for path in (tmp_path / "out").rglob("*"):
        name = path.relative_to(tmp_path / "out")
        if path.is_file() and name.name != "curate.json":
            assert memory.cat_file(f"/bucket/out/{name}") == path.read_bytes()
    created = {name: memory.created(name) for name in memory.find("/bucket/out")}
    assert max(created, key=lambda name: created[name]).endswith("curate.json")
    assert pool.export("memory://bucket/out", format="llava")["bytes"] == told["bytes"]
    with pytest.raises(ExportError, match="--overwrite"):
        pool.export("memory://bucket/out", format="sharegpt")


def test_a_hub_that_cannot_be_reached_leaves_the_export(
    pool: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.hf_api.ENDPOINT", "http://127.0.0.1:9", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ExportError, match=r"is written, but could not be pushed to me/mine"):
        pool.export(tmp_path / "out", format="ids", push="me/mine")
    assert (tmp_path / "out" / "data" / "train.csv").is_file()
