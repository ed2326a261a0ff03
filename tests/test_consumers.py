"""Exports opened by those who read them: `datasets`, old and new, and trainers, each with its versions."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curation.commands.convert import convert
from curation.generate.pool import write_pool
from curation.progress import Silent
from curation.workspace import Workspace
from curation.writers.kept import Kept
from tests.consumers.environments import PACKAGES, Unavailable, consume, environment
from tests.consumers.rules import Record, Seen, internvl, llava, llava_next, qwen_vl
from tests.consumers.seen import content, picture

pytestmark = pytest.mark.slow

Turns = list[list[str]]
ROLES = {"human": "user", "gpt": "assistant"}
DEFAULT_SYSTEM = ["system", "You are a helpful assistant."]  # of Qwen's template, where a record has none
# Records as mixtures hold them: ids of both types, keys of clashing types, several images, system turns.
ODD: list[tuple[dict[str, Any], list[str]]] = [
    ({"id": 7, "image": ["images/a.png", "images/b.jpg"], "meta": {"n": [1, "b"]}}, ["<image><image>\nAnd?"]),
    ({"id": "end", "image": "images/b.jpg", "meta": 1.50}, ["What stands in the picture?\n<image>", "Sure?"]),
    ({"id": "middle", "image": ["images/c.webp"], "meta": "x"}, ["Before <image> and “after” — ü."]),
    ({"id": "text", "score": "high"}, ["Tell me about\n\n  a \"quoted\",\ttabbed text, and NA."]),
    ({"id": "empty", "image": "", "score": 3}, ["Is there a picture with this?", "Are you sure?"]),
    ({"id": "system", "image": "images/d.png", "system": "In one word."}, ["<image>\nWhat colour is it?"]),
    ({"id": "later", "image": "images/e.png"}, ["Can you see pictures?", "<image>\nWhat is here?"]),
]  # fmt: skip


@dataclass
class Sample:
    """What a record holds, told from the files that were written for it."""

    turns: Turns
    images: list[Path]

    @property
    def pictures(self) -> list[str]:
        return [picture(str(path)) for path in self.images]

    @property
    def contents(self) -> list[str]:
        return [content(path.read_bytes()) for path in self.images]


@dataclass
class Made:
    """A workspace with a finished selection of two datasets, whose images have names in common."""

    workspace: Workspace
    folder: Path
    kept: dict[str, Sample]  # by id, in the order of the pool
    exports: dict[str, Path] = field(default_factory=dict)

    def export(self, format_: str, **asked: Any) -> Path:
        name = "-".join([format_, *map(str, asked.values())])
        if name not in self.exports:
            self.workspace.export(self.folder / "out" / name, format=format_, **asked)
            self.exports[name] = self.folder / "out" / name
        return self.exports[name]


def _noise(number: int) -> Image.Image:
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((96, 72), Image.Resampling.NEAREST)


def _write_odd(folder: Path, taken: str) -> list[dict[str, Any]]:
    """ODD as JSONL, and one whose image has the name that a picture of the other dataset has."""
    records = []
    for keys, questions in [*ODD, ({"id": "taken", "image": taken}, ["<image>\nWhat is this?"])]:
        record = dict(keys)
        turns = [{"from": "system", "value": record.pop("system")}] if "system" in record else []
        for number, question in enumerate(questions):
            answer = f"It is {record['id']}, {number}."
            turns += [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
        records.append({**record, "conversations": turns})
    (folder / "images").mkdir(parents=True)
    names = ["images/a.png", "images/b.jpg", "images/c.webp", "images/d.png", "images/e.png", taken]
    for number, name in enumerate(names):
        _noise(number).save(folder / name)
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    (folder / "odd.jsonl").write_text(text, encoding="utf-8")
    return records


def _sample(record: dict[str, Any], folder: Path) -> Sample:
    named = record.get("image") or []
    paths = [named] if isinstance(named, str) else named
    turns = [[ROLES.get(turn["from"], turn["from"]), turn["value"]] for turn in record["conversations"]]
    return Sample(turns, [folder / path for path in paths])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("consumers")
    write_pool(folder / "pool", 40)
    records = json.loads((folder / "pool" / "pool.json").read_text(encoding="utf-8"))
    taken = next(record["image"] for record in records if "image" in record)
    odd = _write_odd(folder / "odd", taken)
    Workspace.init(
        folder / "work",
        {"pool": folder / "pool" / "pool.json"},
        images=[folder / "pool"],
        model="builtin:tiny",
    )
    Workspace.init(folder / "work", {"odd": folder / "odd" / "odd.jsonl"}, images=[folder / "odd"])
    # Squares of noise are blank to the filters.
    workspace = Workspace(folder / "work", {"select.default_filters": False})
    workspace.select(budget="100%", strategy="random")
    known = {str(record["id"]): _sample(record, folder / "odd") for record in odd}
    known |= {record["id"]: _sample(record, folder / "pool") for record in records}
    ids = [row["record_id"] for batch in Kept(workspace.store).batches() for row in batch.to_pylist()]
    assert {str(record["id"]) for record in odd} < set(ids)
    return Made(workspace, folder, {name: known[name] for name in ids})


def canonical(turns: Turns) -> list[list[str]]:
    """Turns with texts and images as parts, spaces around images left aside, as templates set their own."""
    made = []
    for role, text in turns:
        parts = (part if part == "<image>" else part.strip() for part in re.split("(<image>)", text))
        made.append([role, *(part for part in parts if part)])
    return made


def folded(turns: Turns) -> Turns:
    """With what the system says in front of the first question, where a format has no place for it."""
    if turns[0][0] != "system":
        return turns
    (_, system), (role, text), *others = turns
    return [[role, f"{system}\n\n{text}"], *others]


def read(folder: Path, name: str = "train") -> list[Record]:
    """The records of NAME.json or NAME.jsonl."""
    (path,) = folder.glob(f"{name}.json*")
    text = path.read_text(encoding="utf-8")
    lines = [text] if path.suffix == ".json" else text.removesuffix("\n").split("\n")
    found: list[Any] = [json.loads(line) for line in lines]
    return found[0] if path.suffix == ".json" else found


def answers(sample: Sample) -> str:
    """What the assistant says, as a caption."""
    return "\n".join(text for role, text in sample.turns if role == "assistant")


def pairs(made: Made) -> list[list[str]]:
    """Picture and caption of each kept sample that has one image."""
    found = [sample for sample in made.kept.values() if len(sample.images) == 1]
    return [[sample.pictures[0], answers(sample)] for sample in found]


def titles(made: Made) -> list[list[str]]:
    """The same with captions on one line."""
    return [[image, " ".join(caption.split())] for image, caption in pairs(made)]


def tars(made: Made) -> str:
    """The pattern in braces that the card names."""
    folder = made.export("webdataset")
    named = re.search(r"FOLDER(/data/train-\{.*?\}\.tar)", (folder / "README.md").read_text(encoding="utf-8"))
    assert named
    return f"{folder}{named[1]}"


def said(row: dict[str, Any]) -> Turns:
    """The turns of a row, under the names that its format has."""
    if "conversations" in row:
        return [[ROLES.get(turn["from"], turn["from"]), turn["value"]] for turn in row["conversations"]]
    return [[turn["role"], _text(turn["content"])] for turn in row["messages"]]


def _text(found: str | list[dict[str, Any]]) -> str:
    if isinstance(found, str):
        return found
    return "".join("<image>" if part["type"] == "image" else part["text"] for part in found)


def consumed(name: str | None, script: str, *arguments: Path | str, scratch: Path, **variables: str) -> Any:
    """What the consumer saw; skips the test where its packages are not to be had."""
    try:
        return consume(name, script, *arguments, scratch=scratch, **variables)
    except Unavailable as error:
        pytest.skip(str(error))


def check_rows(rows: list[dict[str, Any]], made: Made, folder: Path, *, original: bool) -> None:
    """Rows are the kept samples: the same ids in the same order, turns, pictures, and their own bytes.

    Pictures that rows name lie in `folder`.
    """
    assert [row["id"] for row in rows] == list(made.kept)
    for row, sample in zip(rows, made.kept.values(), strict=True):
        if "messages" in row and not isinstance(row["messages"][0]["content"], str):
            assert canonical(said(row)) == canonical(sample.turns)
        else:
            assert said(row) == sample.turns
        assert [picture(str(folder / path)) for path in row["paths"]] + row["pictures"] == sample.pictures
        if original:
            assert row["contents"] == sample.contents


def check_chats(rows: list[dict[str, Any]], made: Made, *, packed_anew: bool = False) -> None:
    """Prompts hold the turns of the kept samples in their order, an image in each of its places.

    Of images that the consumer packs anew, a JPEG over a JPEG, only their number is compared.
    """
    assert len(rows) == len(made.kept)
    for row, sample in zip(rows, made.kept.values(), strict=True):
        turns = row["turns"][1:] if row["turns"][0] == DEFAULT_SYSTEM else row["turns"]
        assert canonical(turns) == canonical(sample.turns)
        assert len(row["pictures"]) == len(sample.images)
        assert packed_anew or row["pictures"] == sample.pictures


BYTES = ("hf", "parquet", "messages")
WAYS = {
    "hf": ("from_disk", "whole", "streamed"),
    "parquet": ("parquet", "whole", "streamed"),
    "messages": ("parquet", "whole", "streamed"),
    "messages.jsonl": ("lines", "whole"),
    "sharegpt": ("lines", "whole"),
    "llama_factory": ("lines",),
}


@pytest.mark.parametrize("version", ["datasets-2.16", "datasets-3.6", None], ids=str)
def test_datasets_opens_exports_from_disk_as_files_as_a_folder_and_as_a_stream(
    version: str | None, made: Made, tmp_path: Path
) -> None:
    asked = {f"{way}={made.export(name)}": name for name, ways in WAYS.items() for way in ways}
    seen = consumed(version, "open_datasets", *asked, scratch=tmp_path)
    assert version is None or seen["version"].startswith(version.removeprefix("datasets-"))
    for one, name in asked.items():
        check_rows(seen["opened"][one], made, made.export(name), original=name in BYTES)


def test_datasets_finds_pictures_by_path(made: Made, tmp_path: Path) -> None:
    by_path, clip = made.export("parquet", images="paths"), made.export("open_clip")
    asked = [f"whole={by_path}", f"whole={clip}"]
    rows, titled = (
        consumed("datasets-2.16", "open_datasets", one, scratch=tmp_path)["opened"][one] for one in asked
    )
    check_rows(rows, made, by_path, original=False)
    seen = [[picture(row["filepath"]), row["title"]] for row in titled]
    assert seen == titles(made)


def test_datasets_finds_splits_by_name(made: Made, tmp_path: Path) -> None:
    asked = {"shuffle": 1, "split": "train=0.7,val=0.3"}
    disk, lines = (made.export(name, **asked) for name in ("hf", "messages.jsonl"))
    ways = {f"splits_from_disk={disk}": disk, f"splits={disk}": disk, f"splits={lines}": lines}
    seen = consumed("datasets-2.16", "open_datasets", *ways, scratch=tmp_path)["opened"]
    for one, folder in ways.items():
        assert seen[one].keys() == {"train", "val"}
        rows = [*seen[one]["train"], *seen[one]["val"]]
        assert len(rows) == len(made.kept)
        assert {row["id"] for row in rows} == made.kept.keys()
        train = [row["id"] for row in seen[one]["train"]]
        assert train != [name for name in made.kept if name in train]  # shuffled
        for row in rows:
            pictures = [picture(str(folder / path)) for path in row["paths"]] + row["pictures"]
            assert pictures == made.kept[row["id"]].pictures


def test_texts_without_images_may_fill_the_first_10_mb_of_lines(tmp_path: Path) -> None:
    """`datasets` decides on the columns of JSONL by its first 10 MB."""
    said = [{"from": "human", "value": "q" * 9000}, {"from": "gpt", "value": "That."}]
    records: list[Record] = [{"id": str(number), "conversations": said} for number in range(1500)]
    pictured = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "That."}]
    records += [
        {"id": str(number), "image": "a.png", "conversations": pictured, "more": 1} for number in (1500, 1501)
    ]
    (tmp_path / "data.json").write_text(json.dumps(records))
    _noise(0).save(tmp_path / "a.png")
    convert(str(tmp_path / "data.json"), tmp_path / "out", format="messages.jsonl", progress=Silent())
    path = tmp_path / "out" / "data" / "train.jsonl"
    assert path.stat().st_size > 13_000_000
    seen = consumed(
        "datasets-3.6", "open_datasets", f"lines={tmp_path / 'out'}", scratch=tmp_path / "scratch"
    )
    (rows,) = seen["opened"].values()
    assert [row["id"] for row in rows] == ["1500", *map(str, range(1500)), "1501"]
    assert [len(row["paths"]) for row in rows] == [1, *[0] * 1500, 1]


def test_trl_trains_a_tiny_qwen2_vl_on_messages(made: Made, tmp_path: Path) -> None:
    seen = consumed("trl", "train_trl", made.export("messages"), scratch=tmp_path)
    assert len(seen["losses"]) == 3
    assert all(0 < loss < 100 for loss in seen["losses"])
    check_chats(seen["rows"], made)


def test_llama_factory_loads_exports_to_input_ids(made: Made, tmp_path: Path) -> None:
    """Its own folder as it is, and Parquet by the entry that the card gives."""
    folder = made.export("messages")
    (entry,) = re.findall(r"dataset_info.json: (.*)", (folder / "README.md").read_text(encoding="utf-8"))
    (tmp_path / "dataset_info.json").write_text(entry.replace("FOLDER", str(folder)), encoding="utf-8")
    asked = [f"curated_train={made.export('llama_factory')}", f"curated={tmp_path}"]
    seen = consumed("llamafactory", "load_llama_factory", *asked, scratch=tmp_path / "scratch")
    for one, packed_anew in zip(asked, (False, True), strict=True):
        check_chats(seen[one], made, packed_anew=packed_anew)
        assert all(row["learned"] for row in seen[one])


def test_ms_swift_loads_and_encodes_messages(made: Made, tmp_path: Path) -> None:
    folder = made.export("messages.jsonl")
    data = folder / "data" / "train.jsonl"
    seen = consumed("ms-swift", "load_swift", data, scratch=tmp_path, ROOT_IMAGE_DIR=str(folder))
    check_chats(seen, made)


def test_webdataset_reads_the_tars(made: Made, tmp_path: Path) -> None:
    seen = consumed("webdataset", "read_tars", tars(made), scratch=tmp_path)
    rows = [{**sample["record"], "contents": sample["contents"]} for sample in seen["samples"]]
    assert [row["id"] for row in rows] == list(made.kept)
    for row, found, sample in zip(rows, seen["samples"], made.kept.values(), strict=True):
        assert said(row) == sample.turns
        assert row["contents"] == sample.contents
        assert found["caption"] == answers(sample)
    assert seen["pairs"] == pairs(made)


def test_open_clip_reads_its_csv_and_the_tars(made: Made, tmp_path: Path) -> None:
    data = made.export("open_clip") / "data" / "train.tsv"
    seen = consumed("open_clip", "read_pairs", data, tars(made), scratch=tmp_path)
    assert seen["csv"] == titles(made)
    counted = Counter(map(tuple, seen["tars"]))
    assert counted.keys() == set(map(tuple, pairs(made)))


@pytest.mark.parametrize(
    ("format_", "trainer"),
    [("llava", llava), ("llava", llava_next), ("llava.jsonl", internvl), ("qwen_vl", qwen_vl)],
)
def test_dataset_classes_take_records_of_llava_whole(
    format_: str, trainer: Callable[[Record, Path], Seen], made: Made
) -> None:
    """LLaVA a file without its records of several images, LLaVA-NeXT these too."""
    folder = made.export(format_)
    records = read(folder / "data")
    apart = (
        [name for name, sample in made.kept.items() if len(sample.images) > 1] if format_ == "llava" else []
    )
    assert [str(record["id"]) for record in records] == [name for name in made.kept if name not in apart]
    if trainer is llava_next:
        further = read(folder / "data", "train.several_images")
        assert [str(record["id"]) for record in further] == apart == ["7"]
        records += further
    for record in records:
        sample = made.kept[str(record["id"])]
        turns, pictures = trainer(record, folder / "images")
        assert turns == folded(sample.turns)
        assert pictures == sample.pictures


_TURNS = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "That."}]


@pytest.mark.parametrize(
    ("trainer", "record"),
    [
        (llava, {"image": "", "conversations": _TURNS}),
        (llava, {"image": None, "conversations": _TURNS}),
        (llava, {"image": ["a.png"], "conversations": _TURNS}),
        (llava, {"image": "gone.png", "conversations": _TURNS}),
        (llava, {"image": "a.png", "conversations": [{"from": "system", "value": "Be short."}, *_TURNS]}),
        (llava, {"image": "a.png", "conversations": [*_TURNS, *_TURNS]}),
        (llava, {"image": "a.png", "conversations": [_TURNS[0], *_TURNS]}),
        (llava, {"conversations": _TURNS}),
        (internvl, {"image": ["a.png", "a.png"], "conversations": _TURNS}),
        (internvl, {"image": "a.png", "conversations": [*_TURNS, {"from": "system", "value": "Be short."}]}),
        (internvl, {"image": "a.png", "conversations": [*_TURNS, *_TURNS]}),
        (internvl, {"image": "gone.png", "conversations": _TURNS}),
        (qwen_vl, {"image": ["a.png", "a.png"], "conversations": _TURNS}),
        (qwen_vl, {"image": "a.png", "conversations": [*_TURNS, *_TURNS]}),
    ],
)
def test_the_restated_rules_refuse_what_trainers_crash_on(
    trainer: Callable[[Record, Path], Seen], record: Record, tmp_path: Path
) -> None:
    _noise(0).save(tmp_path / "a.png")
    with pytest.raises((TypeError, KeyError, AssertionError, ValueError, OSError)):
        trainer(record, tmp_path)


def test_fiftyone_finds_a_picture_for_each_sample_and_no_name_that_it_keeps_for_itself(made: Made) -> None:
    """What its importer does with samples.json, which needs a database: joins paths to the folder."""
    folder = made.export("fiftyone")
    assert not (folder / "metadata.json").exists()  # with a version in it, another importer takes over
    samples = json.loads((folder / "samples.json").read_text(encoding="utf-8"))["samples"]
    seen = [(sample["record_id"], picture(str(folder / sample["filepath"]))) for sample in samples]
    assert seen == [(name, image) for name, sample in made.kept.items() for image in sample.pictures]
    for sample in samples:
        assert not {"id", "metadata", "media_type", "created_at", "last_modified_at"} & sample.keys()
        assert not [name for name in sample if name.startswith("_")]
        assert sample["source"]["_cls"] == "Classification"


def test_lists_name_the_kept_samples(made: Made) -> None:
    rows = (made.export("ids") / "data" / "train.csv").read_text(encoding="utf-8").splitlines()[1:]
    uids, _, ids = zip(*(row.split(",") for row in rows), strict=True)
    assert list(ids) == list(made.kept)
    subset = np.load(made.export("datacomp") / "data" / "train.npy")
    # datacomp's resharder looks uids up by bisection
    assert [f"{first:016x}{second:016x}" for first, second in subset.tolist()] == sorted(uids)


def test_an_environment_that_pip_cannot_make_says_which_package_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(Unavailable, match=rf"pip cannot install {PACKAGES['trl'][0]}: ERROR: .*trl"):
        environment("trl")
    assert [path.suffix for path in (tmp_path / "curate-consumers").iterdir()] == [".lock"]
