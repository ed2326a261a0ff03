"""`curate validate`: what it counts, where it says that things stand, and when it exits with 1."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from curation.commands import validate_images
from curation.commands.validate import validate
from curation.commands.validate_estimate import INGEST, TABLES
from curation.commands.validate_images import Pictures
from curation.pipeline.rates import RATES
from curation.progress import Silent
from curation.workspace import Workspace
from jobs.cli import cli
from schemas.errors import ConfigError, ReadError
from schemas.settings import Dataset

Row = dict[str, Any]
TOKEN = "<image>\n"


def picture(path: Path, size: tuple[int, int] = (12, 8), value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 90, 200)).save(path)


def record(i: int, image: Any = "a.png", asked: str = f"{TOKEN}What?", **others: Any) -> Row:
    turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": f"A box, {i}."}]
    return {"id": i, **({} if image is None else {"image": image}), "conversations": turns, **others}


def written(folder: Path, records: list[Row], name: str = "data.json") -> Path:
    lines = [json.dumps(each, ensure_ascii=False) for each in records]
    text = "\n".join(lines) if name.endswith("jsonl") else f"[{', '.join(lines)}]"
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def curate(*words: Any) -> Result:
    return CliRunner().invoke(cli, ["validate", *map(str, words)])


def by_name(found: Row) -> dict[str, Row]:
    return {trainer["name"]: trainer for trainer in found["trainers"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", (20, 30), 9)
    return tmp_path


@pytest.fixture
def crashing(folder: Path) -> Path:
    """As the case `llava-trainers-crash`: five of eight stop LLaVA."""
    records = [record(i, asked="2 + 2?", image=value) for i, value in enumerate(["", []])]
    records += [record(2, ["a.png"]), {**record(3, None, "2 + 2?"), "image": None}, record(4)]
    records[4]["conversations"].insert(0, {"from": "system", "value": "Be brief."})
    return written(folder, [*records, *(record(i) for i in range(5, 8))])


def test_what_is_right_is_counted_and_exits_with_0(folder):
    records = [record(0), record(1, "b.png"), record(2, "b.png"), record(3, None, "2 + 2?")]
    path = written(folder, records)
    before = sorted(folder.iterdir())
    result = curate(path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "LLaVA 1.2.2: takes all records as they are" in result.stdout
    assert sorted(folder.iterdir()) == before
    found = validate(str(path))
    assert (found["format"], found["container"]) == ("llava", "JSON array")
    assert found["records"] | {"tokens": 0} == {
        "records": 4, "samples": 4, "turns": 8, "tokens": 0, "images": 3, "text_only": 1, "several_images": 0
    }  # fmt: skip
    assert found["records"]["tokens"] > 20
    assert found["images"] == {
        "distinct": 2, "missing": 0, "broken": 0, "formats": {"PNG": 2},
        "bytes": (folder / "a.png").stat().st_size + (folder / "b.png").stat().st_size,
        "width": {"min": 12, "mean": 16.0, "max": 20}, "height": {"min": 8, "mean": 19.0, "max": 30},
    }  # fmt: skip
    assert found["crashes"] == []
    judged = [name for name, trainer in by_name(found).items() if trainer["judged"]]
    assert judged == ["llava", "llamafactory", "swift"]
    assert list(found["estimate"]["steps"]) == ["ingest", "embed", "score", "cluster", "prune", "select"]
    assert found["estimate"]["seconds"] > 0


def test_five_of_eight_crash_llava_and_the_exit_code_says_so(crashing):
    result = curate(crashing, "--json", "--trainer", "llava")
    assert result.exit_code == 1
    assert result.stderr == "curate: LLaVA would crash on 5 of 8 records\n"
    (llava,) = (trainer for trainer in json.loads(result.stdout)["trainers"] if trainer["judged"])
    assert llava["records"]["crash"] == 5
    rules = {problem["rule"]: problem for problem in llava["problems"]}
    assert {name: rule["n"] for name, rule in rules.items()} == {
        "image_is_no_string": 3, "image_is_empty": 1, "unknown_role": 1
    }  # fmt: skip
    assert [place["id"] for place in rules["image_is_no_string"]["first"]] == ["1", "2", "3"]
    assert rules["unknown_role"]["source"] == "llava/train/train.py: preprocess_v1"


def test_only_the_trainers_that_are_asked_decide_the_exit_code(crashing):
    assert curate(crashing, "--trainer", "swift").exit_code == 0  # gives way to others, and trains
    result = curate(crashing)
    assert result.exit_code == 1
    assert "LLaMA-Factory would crash" in result.stderr


def test_a_trainer_that_cannot_open_the_file_is_not_asked_unless_it_is_named(folder):
    path = written(folder, [record(0)], "data.jsonl")
    assert not by_name(validate(str(path)))["llava"]["judged"]
    assert curate(path).exit_code == 0
    result = curate(path, "--trainer", "llava")
    assert result.exit_code == 1
    assert "LLaVA reads a JSON array" in result.stderr
    assert "this is JSONL" in result.stderr


@pytest.mark.parametrize("name", ["data.json", "data.jsonl", "data.jsonl.gz"])
def test_every_finding_says_where_its_record_begins(folder, name):
    records = [record(i, "gone.png" if i % 3 else "a.png") for i in range(1200)]
    path = written(folder, records, name.removesuffix(".gz"))
    text = path.read_bytes()
    if name.endswith("gz"):
        path.unlink()
        path = folder / name
        path.write_bytes(gzip.compress(text))
    listed = validate(str(path), limit=None)["errors"]["missing_image"]["first"]
    assert [place["record"] for place in listed] == [str(i) for i in range(1200) if i % 3]
    for place in listed:
        there = text[place["byte"] :]
        assert there.startswith(json.dumps(records[int(place["record"])], ensure_ascii=False).encode())
        assert place["line"] == 1 + text.count(b"\n", 0, place["byte"])
        assert place["file"] == name


def test_the_first_of_each_kind_are_listed_or_all(folder):
    path = written(folder, [record(i, "gone.png") for i in range(9)] + [record(9)])
    few, every = curate(path, "--limit", 2), curate(path, "--all")
    assert few.stdout.count("'gone.png' is not in") == 2 * 4  # an error, and what three trainers trip over
    assert "and 7 more (--all)" in few.stdout
    assert every.stdout.count("'gone.png' is not in") == 9 * 4
    errors = json.loads(curate(path, "--json").stdout)["errors"]
    assert (errors["missing_image"]["n"], len(errors["missing_image"]["first"])) == (9, 9)


def faulty(folder: Path) -> Path:
    """A file with every kind of fault, and the images that it needs."""
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("no picture")
    (folder / "cut.png").write_bytes((folder / "b.png").read_bytes()[:60])
    picture(folder / "thin.png", (900, 2))
    picture(folder / "large.png", (400, 300))
    named = ("a", "gone", "empty", "text", "cut", "thin", "large", "../outside")
    records = [record(i, f"{name}.png") for i, name in enumerate(named)]
    records += [record(20, "https://example.org/a.png"), record(21, None), record(22, "a.png", "No token")]
    records += [record(23, 5), {"id": 24}, {"id": 25, "conversations": "x"}, {**record(26), "video": "a.mp4"}]
    records += [{"id": 27, "image": "a.png", "conversations": record(27)["conversations"][:1]}]
    path = written(folder, records, "data.jsonl")
    path.write_text(path.read_text() + '\n{"id": 28, "conversations": [}\n[1, 2]\n')
    return path


def test_errors_are_those_of_ingest(folder):
    path = faulty(folder)
    limits = {"images.max_pixels": 100_000}
    found = validate(str(path), overrides=limits)
    Workspace.init(folder / "work", {"data": path}, model="builtin:tiny")
    counts = Workspace(folder / "work", {**limits, "run.max_errors": "100%"}).run("ingest")
    assert {code: error["n"] for code, error in found["errors"].items()} == counts["quarantined"]
    assert len(counts["quarantined"]) > 10
    assert found["records"]["samples"] == counts["n_read"] - counts["n_quarantined"] == 1


def test_images_are_looked_up_but_not_opened_on_request(folder):
    found = validate(str(faulty(folder)), decode=False)
    opened = {"truncated_image", "not_an_image", "zero_byte_image", "extreme_aspect"}
    assert not opened & set(found["errors"])
    assert found["errors"]["missing_image"]["n"] == 1
    images = found["images"]
    assert (images["missing"], images["broken"], images["bytes"], images["width"]) == (1, None, None, None)


def test_images_that_trainers_cannot_open_are_told_from_those_that_curate_refuses(folder):
    """Trainers open a narrow image and a large one. One under another spelling they do not find."""
    picture(folder / "thin.png", (900, 2))
    picture(folder / "large.png", (400, 300))
    picture(folder / unicodedata.normalize("NFD", "café.png"))
    (folder / "cut.png").write_bytes((folder / "b.png").read_bytes()[:60])
    names = ("thin.png", "large.png", unicodedata.normalize("NFC", "café.png"), "cut.png")
    path = written(folder, [record(i, name) for i, name in enumerate(names)])
    found = validate(str(path), trainers=["llava"], overrides={"images.max_pixels": 100_000})
    assert {code: error["n"] for code, error in found["errors"].items()} == {
        "extreme_aspect": 1, "image_too_large": 1, "truncated_image": 1
    }  # fmt: skip
    assert found["repaired"] == {"spelling": 1}
    (problem,) = by_name(found)["llava"]["problems"]
    assert (problem["rule"], [place["id"] for place in problem["first"]]) == ("image_not_opened", ["2", "3"])
    assert "another spelling" in problem["first"][0]["message"]


def test_repairs_are_those_of_ingest(folder):
    path = written(folder, [record(i, "a.png", "No token") for i in range(4)])
    assert validate(str(path))["records"]["samples"] == 0
    result = curate(path, "--image-token", "insert", "--trainer", "llava", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["records"]["samples"], found["repaired"]) == (0, 4, {"image_token": 4})
    # The trainer reads the file as it is.
    assert by_name(found)["llava"]["records"] == {"crash": 0, "dropped": 0, "replaced": 0, "wrong": 4}


def test_a_file_that_is_damaged_does_not_hide_the_others(folder):
    for name in ("a", "b", "c"):
        pq.write_table(
            pa.table({"question": ["Hm?"], "answer": ["Yes."], "image": ["a.png"]}),
            folder / f"{name}.parquet",
        )
    whole = (folder / "b.parquet").read_bytes()
    (folder / "b.parquet").write_bytes(whole[: len(whole) // 2])
    result = curate(folder, "--format", "parquet", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["records"]["samples"]) == (1, 2)
    assert [unread["file"] for unread in found["files"]["unread"]] == ["b.parquet"]
    assert "b.parquet cannot be read" in result.stderr


def test_images_in_parquet_are_seen_as_trainers_see_them(folder):
    data = (folder / "a.png").read_bytes()
    images = [{"bytes": data, "path": "a.png"}, None, {"bytes": data[:40], "path": "b.png"}]
    said = [[{"role": "user", "content": "What?"}, {"role": "assistant", "content": "A box."}]] * 3
    pq.write_table(pa.table({"messages": said, "image": images}), folder / "data.parquet")
    found = validate(str(folder / "data.parquet"))
    trl = by_name(found)["trl"]
    assert {problem["rule"]: problem["first"][0]["record"] for problem in trl["problems"]} == {
        "image_is_null": "1", "image_not_opened": "2"
    }  # fmt: skip
    assert (found["container"], found["images"]["broken"]) == ("Parquet", 1)
    assert not by_name(found)["llava"]["judged"]


def test_columns_of_two_types_stop_llama_factory_only(folder):
    path = written(folder, [record(0), {**record(1), "id": "one"}, {**record(2), "id": "two"}])
    found = by_name(validate(str(path)))
    (problem,) = found["llamafactory"]["problems"]
    assert (problem["rule"], problem["n"], problem["first"][0]["record"]) == ("mixed_types", 1, "1")
    assert (found["llava"]["problems"], found["swift"]["problems"]) == ([], [])


def test_a_folder_of_llama_factory_is_read_as_its_dataset_info_says(folder):
    written(folder, [record(i) for i in range(3)])
    info: Row = {"mine": {"file_name": "data.json", "formatting": "sharegpt"}}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    (problem,) = by_name(validate(str(folder)))["llamafactory"]["problems"]
    assert (problem["rule"], problem["n"]) == ("tag_count", 3)  # it names no column of images
    info["mine"]["columns"] = {"messages": "conversations", "images": "image"}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    found = by_name(validate(str(folder)))
    assert found["llamafactory"]["problems"] == found["llava"]["problems"] == []


@pytest.mark.parametrize(
    ("format_", "trainers"),
    [
        ("llava", ["llava"]),
        ("llava.jsonl", ["internvl"]),
        ("messages", ["trl", "swift"]),
        ("messages.jsonl", ["llamafactory", "swift"]),
        ("sharegpt", ["llamafactory", "swift"]),
        ("llama_factory", ["llamafactory", "swift"]),
    ],
)
def test_what_is_converted_is_what_trainers_read(crashing, format_, trainers):
    """Records that stop trainers leave in a shape that they take."""
    out = crashing.parent / "out"
    words = ["convert", str(crashing), str(out), "--format", format_]
    assert CliRunner().invoke(cli, words).exit_code == 0
    found = by_name(validate(str(out), trainers=trainers))
    assert [name for name, trainer in found.items() if trainer["judged"]] == trainers
    for name in trainers:
        assert found[name]["opens_the_file"]
        assert found[name]["problems"] == []


def test_data_that_no_trainer_reads_is_no_failure(folder):
    (folder / "data.csv").write_text("image,caption\na.png,A box\nb.png,Another\n")
    result = curate(folder / "data.csv")
    assert result.exit_code == 0
    assert result.stdout.count("is not asked") == 5


def test_what_cannot_be_asked_for_is_refused(folder):
    path = written(folder, [record(0)])
    with pytest.raises(ConfigError, match="known are llava, internvl, llamafactory, trl, swift"):
        validate(str(path), trainers=["llama"])
    with pytest.raises(ReadError, match="does not exist"):
        validate(str(folder / "nothing.json"))
    result = curate(written(folder, [record(0, "gone.png")]))
    assert (result.exit_code, "no record can be read" in result.stderr) == (1, True)


def test_keys_and_folders_of_images_are_given_as_for_init(folder):
    picture(folder / "elsewhere/c.png")
    path = written(
        folder, [{"img": "c.png", "said": "A box"}, {"img": "c.png", "said": "Again"}], "data.jsonl"
    )
    source = Dataset(path=str(path), image_key="img", text_key="said", images=(str(folder / "elsewhere"),))
    found = validate(str(path), source=source)
    assert (found["records"]["samples"], found["images"]["distinct"]) == (2, 1)
    flags = ("--images", folder / "elsewhere", "--image-key", "img", "--text-key", "said")
    assert curate(path, *flags).exit_code == 0


def test_data_at_a_url_is_read_without_leaving_a_copy(folder, monkeypatch):
    system = fsspec.filesystem("memory")
    system.pipe("/validated/data.jsonl", json.dumps(record(0)).encode())
    system.pipe("/validated/a.png", (folder / "a.png").read_bytes())
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    found = validate("memory://validated/data.jsonl", overrides={"images.allow_remote": True})
    assert (found["records"]["samples"], found["images"]["formats"]) == (1, {"PNG": 1})
    assert sorted(folder.rglob("*")) == before


def test_images_beyond_those_that_are_remembered_are_looked_at_again(folder, monkeypatch):
    monkeypatch.setattr(validate_images, "MOST_SEEN", 1)
    pictures = Pictures(decoding=True, max_pixels=1 << 20)
    place = {"offset": 0, "length": -1, "column": None, "row": None, "sha256": b"", "n_bytes": 0}
    refs = [{"path": str(folder / name), "name": name, **place} for name in ("a.png", "b.png", "b.png")]
    assert pictures.look(refs) + pictures.look(refs) == [None] * 6
    assert (pictures.n, pictures.complete, pictures.tree()["distinct"]) == (3, False, None)


@pytest.mark.slow
def test_the_estimate_knows_every_table_that_a_run_makes(folder):
    path = written(folder, [record(i) for i in range(3)])
    workspace = Workspace.init(folder / "work", {"data": path}, model="builtin:tiny", progress=Silent())
    workspace = workspace.with_settings({"select.budget": "50%"})
    planned = {stage["stage"] for stage in workspace.plan("select")["plan"]}
    assert planned == {
        "samples",
        "images",
        *INGEST,
        *(table for tables in TABLES.values() for table in tables),
    }
    assert set(RATES) & planned >= {"image_vectors", "chunk_vectors", "neighbours"}


MEASURED = """\
import re, sys
from curation.commands.validate import validate
found = validate(sys.argv[1])
# The peak of this program alone, and not of the one that started it.
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())
print(found["records"]["records"], peak[1])
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(folder):
    peaks = []
    for n in (5_000, 20_000):
        path = written(folder, [record(i, asked=f"{TOKEN}{'What is this? ' * 60}") for i in range(n)])
        ran = subprocess.run(
            [sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True
        )
        n_read, peak = map(int, ran.stdout.split())
        assert n_read == n
        peaks.append(peak)
    assert path.stat().st_size > 15e6
    assert peaks[1] - peaks[0] < 12_000  # kB


@pytest.mark.parametrize("name", ["messages.jsonl", "sharegpt.jsonl", "wds", "parquet"])
def test_real_samples_in_every_format_stop_no_trainer(shared, name):
    source = Dataset(path=str(shared / "formats" / name), images=(str(shared / "mixture"),))
    found = validate(source.path, source=source, decode=False)
    assert (found["records"]["samples"], found["errors"], found["crashes"]) == (600, {}, [])
    for trainer in found["trainers"]:
        assert trainer.get("problems", []) == []
