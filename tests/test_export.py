"""Exports of a small pool that went through the real chain, and what `explain` says of its records."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curation.commands.explain import explain
from curation.commands.export import Asked, export
from curation.progress import Silent
from curation.readers import READERS
from curation.workspace import Workspace
from curation.writers import WRITERS
from curation.writers.card import size_category
from curation.writers.facts import Facts
from curation.writers.hf import Hf
from curation.writers.kept import Kept, split
from curation.writers.pictures import BYTES, Pictures
from schemas.errors import CurateError, ExportError, WorkspaceError
from tests.places import here

TOPICS = ["a red kite", "the chart of May", "two dogs", "a blue cup", "an old map", "the number 7"]


@dataclass
class Made:
    """A workspace with a finished selection, and the records as they stand in the files."""

    workspace: Workspace
    folder: Path
    raw: list[bytes]  # the LLaVA records, byte for byte, in file order


def _picture(number: int) -> Image.Image:
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((48, 40), Image.Resampling.NEAREST)


def _record(number: int) -> bytes:
    """LLaVA records as mixtures hold them: ids of both types, extra keys, 0 to 2 images, odd spaces."""
    topic = f"{TOPICS[number % 6]} {number}"
    record: dict[str, object] = {"id": number if number % 3 else f"id-{number:04d}"}
    if number % 6 == 4:
        record["image"] = [f"img/{number}.png", "img/0.jpg"]
        question = "<image>\n<image>\nHow do they differ?"
    elif number % 6 == 5:
        question = f"Tell me about {topic}."
    else:
        record["image"] = f"img/{number}.{'jpg' if number % 2 == 0 else 'png'}"
        question = f"What is {topic}?\n<image>" if number % 2 else f"<image>\nWhat is {topic}?"
    said = [{"from": "human", "value": question}, {"from": "gpt", "value": f"It is {topic} — “ü”."}]
    record |= {"conversations": said, "source": ["coco", "gqa", "a|b"][number % 3], "n": 1.50}
    if number % 4 == 1:
        return json.dumps(record, ensure_ascii=True, indent=2).encode()
    return json.dumps(record, ensure_ascii=False, separators=(" ,  ", " :\t")).encode()


def _write_images(folder: Path) -> None:
    (folder / "img").mkdir(parents=True)
    for number in range(18):
        _picture(number).save(folder / "img" / f"{number}.png")
        _picture(number).save(folder / "img" / f"{number}.jpg", quality=80)


def _write_tar(path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        for number in range(4):
            buffer = io.BytesIO()
            _picture(100 + number).save(buffer, "WEBP", lossless=True)
            for name, data in (
                (f"{number:03d}.txt", f"a caption of {TOPICS[number]}".encode()),
                (f"{number:03d}.webp", buffer.getvalue()),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def _write_messages(path: Path) -> None:
    lines = []
    for number in range(4):
        parts = [{"type": "image"}, {"type": "text", "text": f"Name {TOPICS[number]}, please."}]
        said = [{"role": "user", "content": parts}, {"role": "assistant", "content": TOPICS[number]}]
        record = {"id": f"m{number}", "messages": said, "images": [f"img/{number + 6}.png"], "lang": "en"}
        lines.append(json.dumps(record))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("pool")
    _write_images(folder)
    raw = [_record(number) for number in range(18)]
    broken = raw[0].replace(b"id-0000", b"broken").replace(b"img/0.jpg", b"img/missing.png")
    twin = raw[2].replace(b'"id" :\t2 ', b'"id" :\t"twin" ')
    assert twin != raw[2]
    (folder / "mix.json").write_bytes(b"[\n  " + b" ,\n\n".join([*raw, broken, twin]) + b"]\n")
    _write_tar(folder / "web.tar")
    _write_messages(folder / "chat.jsonl")
    data = {"mix": folder / "mix.json", "web": folder / "web.tar", "chat": folder / "chat.jsonl"}
    workspace = Workspace.init(folder / "work", data, images=[folder], model="builtin:tiny")
    # Plain squares are blank to the filters.
    workspace = Workspace(workspace.base, {"select.default_filters": False})
    counts = workspace.select(budget="80%", strategy="random")
    assert counts["n_selected"] == 21
    return Made(Workspace(folder / "work"), folder, raw)


class Interrupting(Silent):
    """Ctrl-C in the middle of an export."""

    def advance(self, n: int) -> None:
        raise KeyboardInterrupt


KILLED = """
import os, signal, sys
from contextlib import contextmanager
from curation.progress import Silent
from curation.workspace import Workspace

class Killing(Silent):
    def advance(self, n):
        os.kill(os.getpid(), signal.SIGKILL)

Workspace(sys.argv[1], progress=Killing()).export(sys.argv[2], format="llava")
"""


def _copy(made: Made, to: Path, **options: Any) -> Workspace:
    shutil.copytree(here(made.workspace.base), to)
    return Workspace(to, **options)


def _kept(made: Made) -> list[dict[str, Any]]:
    """The kept samples in pool order."""
    store = made.workspace.store
    keep = store.read("selection", ["keep"])["keep"]
    kept: list[dict[str, Any]] = store.read("samples").filter(keep).to_pylist()
    return kept


def _records(out: Path) -> list[dict[str, Any]]:
    """Of a LLaVA export: first those of one image or none."""
    files = ("train.json", "train.several_images.json")
    return [record for name in files for record in json.loads((out / "data" / name).read_text())]


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- hf ---------------------------------------------------------------------------------------------------


def test_hf_opens_with_load_from_disk_and_holds_the_kept_samples_in_pool_order(made, tmp_path):
    counts = made.workspace.export(tmp_path / "out", format="hf")
    dataset = datasets.load_from_disk(str(tmp_path / "out"))["train"]
    kept = _kept(made)
    assert counts["n_kept"] == len(dataset) == len(kept) == 21
    assert dataset["uid"][:] == [row["uid"].hex() for row in kept]
    assert dataset["id"][:] == [row["record_id"] for row in kept]
    assert [record.encode() for record in dataset["record"]] == [row["record"] for row in kept]
    assert sorted(dataset["rank"]) == list(range(21))
    assert {"cluster", "alignment", "min_side", "n_tokens", "dataset", "source"} <= set(dataset.column_names)


def test_hf_images_decode_and_are_the_bytes_of_the_files(made, tmp_path):
    counts = made.workspace.export(tmp_path / "out", format="hf")
    dataset = datasets.load_from_disk(str(tmp_path / "out"))["train"]
    sizes = {image.size for row in dataset for image in row["images"]}
    assert sizes == {(48, 40)}
    plain = dataset.cast_column("images", datasets.List(datasets.Image(decode=False)))
    shown = [(row["dataset"], image) for row in plain for image in row["images"]]
    assert len(shown) == counts["n_images"]
    for name, image in shown:
        if name != "web":
            assert image["bytes"] == (made.folder / image["path"]).read_bytes()
        else:
            with tarfile.open(made.folder / "web.tar") as tar:
                member = tar.extractfile(image["path"])
                assert member is not None
                assert image["bytes"] == member.read()


def test_hf_conversations_are_the_record_s_own_words_and_llava_s_names(made, tmp_path):
    made.workspace.export(tmp_path / "out", format="hf")
    for row in datasets.load_from_disk(str(tmp_path / "out"))["train"]:
        if row["dataset"] == "mix":
            assert row["conversations"] == json.loads(row["record"])["conversations"]
        assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt"]
        assert sum(turn["value"].count("<image>") for turn in row["conversations"]) == len(row["images"])


def test_an_export_is_cut_into_shards_that_open_as_one(made, tmp_path):
    whole = _rows_of(made, Hf(), tmp_path / "whole")
    cut = _rows_of(made, Hf(shard_bytes=1), tmp_path / "cut")
    assert len(list((tmp_path / "whole" / "train").glob("data-*-of-00001.arrow"))) == 1
    assert whole == cut


def _rows_of(made: Made, writer: Hf, out: Path) -> list[dict[str, Any]]:
    store = made.workspace.store
    out.mkdir()
    small = (part for batch in Kept(store).batches() for part in split(batch, limit=4000))
    facts = Facts(Pictures(out, BYTES, {}), Kept(store).schema(), "0" * 32, str(out))
    writer.write(out, {"train": small}, facts)
    rows: list[dict[str, Any]] = (
        datasets.load_from_disk(str(out))["train"].with_format("arrow")[:].to_pylist()
    )
    return rows


@pytest.mark.parametrize("format", WRITERS)
def test_equal_exports_are_equal_to_the_byte(format, made, tmp_path):
    made.workspace.export(tmp_path / "a", format=format)
    made.workspace.export(tmp_path / "b", format=format)
    first, second = _files(tmp_path / "a"), _files(tmp_path / "b")
    if format == "open_clip":  # its paths are absolute, and so is what follows from them
        first, second = (
            {name: data for name, data in files.items() if "json" not in name} for files in (first, second)
        )
        a, b = (str(tmp_path / name).encode() for name in "ab")
        first["data/train.tsv"] = first["data/train.tsv"].replace(a, b)
    assert first == second


# --- parquet ----------------------------------------------------------------------------------------------


def test_parquet_loads_by_file_and_by_folder_with_images(made, tmp_path):
    made.workspace.export(tmp_path / "out", format="parquet")
    files = str(tmp_path / "out" / "data" / "train-00000-of-00001.parquet")
    cache = str(tmp_path / "cache")
    by_file = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)
    by_folder = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=cache)
    assert by_file.features == by_folder.features
    # Images written by hand for old versions: what today's make of it is the feature they write themselves.
    assert by_file.features["images"] in (datasets.List(datasets.Image()), [datasets.Image()])
    assert by_file["uid"][:] == by_folder["uid"][:] == [row["uid"].hex() for row in _kept(made)]
    assert all(image.size == (48, 40) for row in by_folder for image in row["images"])


def test_parquet_can_be_curated_again(made, tmp_path):
    made.workspace.export(tmp_path / "out", format="parquet")
    file = tmp_path / "out" / "data" / "train-00000-of-00001.parquet"
    reader = READERS["parquet"]
    records = [record for span in reader.spans(file, 100) for record in reader.read(file, span)]
    assert [record.error for record in records] == [None] * 21
    assert [len(record.images) for record in records] == [row["n_images"] for row in _kept(made)]


# --- llava ------------------------------------------------------------------------------------------------


def test_llava_records_leave_byte_for_byte_as_they_came(made, tmp_path):
    counts = made.workspace.export(tmp_path / "out", format="llava")
    data = (tmp_path / "out" / "data" / "train.json").read_bytes()
    kept = [row["record"] for row in _kept(made) if row["dataset"] == "mix" and row["n_images"] < 2]
    assert data.startswith(b"[\n" + b",\n".join(kept) + b",\n")
    further = (tmp_path / "out" / "data" / "train.several_images.json").read_bytes()
    apart = [row["record"] for row in _kept(made) if row["n_images"] > 1]
    assert further == b"[\n" + b",\n".join(apart) + b"\n]\n"
    assert set(kept) <= set(made.raw)
    assert len(kept) > 10
    converted = counts["n_kept"] - len(kept) - len(apart)
    assert counts["changed"] == {"converted": converted, "several_images": len(apart)}


@pytest.mark.parametrize("images", ["link", "copy", "paths"])
def test_every_path_of_a_record_leads_to_the_picture_that_was_ingested(images, made, tmp_path):
    workspace = made.workspace
    if images == "paths":  # those in the tar have none
        workspace = _copy(made, tmp_path / "work", overrides={"select.where": "dataset <> 'web'"})
        workspace.select("80%", "random")
    counts = workspace.export(tmp_path / "out", format="llava", images=images)
    records = _records(tmp_path / "out")
    assert len(records) == counts["n_kept"]
    assert {type(record["id"]) for record in records} == {int, str}
    roots = (
        [tmp_path / "out" / "images"]
        if images != "paths"
        else list(made.workspace.config.datasets["mix"].images)
    )
    store = workspace.store
    keep = store.read("selection", ["keep"])["keep"]
    rows = sorted(store.read("samples").filter(keep).to_pylist(), key=lambda row: row["n_images"] > 1)
    for record, row in zip(records, rows, strict=True):
        named = record.get("image", [])
        found = [
            Path(here(workspace.base), roots[0], path)
            for path in ([named] if isinstance(named, str) else named)
        ]
        assert [hashlib.sha256(path.read_bytes()).digest() for path in found] == [
            ref["sha256"] for ref in row["images"]
        ]
        assert {turn["from"] for turn in record["conversations"]} == {"human", "gpt"}
    linked = {path.stat().st_nlink > 1 for path in (tmp_path / "out" / "images").rglob("*.png")}
    assert linked == ({images == "link"} if images != "paths" else set())


def test_images_in_containers_are_named_by_their_hash_and_have_no_path(made, tmp_path):
    made.workspace.export(tmp_path / "out", format="llava")
    copied = sorted((tmp_path / "out" / "images").rglob("*.webp"))
    assert len(copied) == sum(row["dataset"] == "web" for row in _kept(made))
    for path in copied:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem
        assert path.parent.name == path.stem[:2]
    with pytest.raises(
        ExportError, match=r"inside .*web\.tar, where no path leads; export with --images copy"
    ):
        made.workspace.export(tmp_path / "other", format="llava", images="paths")


def test_other_formats_become_llava_records_with_their_further_keys(made, tmp_path):
    made.workspace.export(tmp_path / "out", format="llava")
    records = json.loads((tmp_path / "out" / "data" / "train.json").read_text())
    chat = next(record for record in records if str(record["id"]).startswith("m"))
    assert list(chat) == ["id", "image", "conversations", "lang"]
    assert chat["conversations"][0]["value"].startswith("<image>\nName ")


def test_a_subset_of_datacomp_is_sorted_pairs_of_the_uids(made, tmp_path):
    made.workspace.export(tmp_path / "out", format="datacomp")
    uids = np.load(tmp_path / "out" / "data" / "train.npy")
    assert uids.dtype == np.dtype("u8,u8")
    expected = sorted((int(row["uid"].hex()[:16], 16), int(row["uid"].hex()[16:], 16)) for row in _kept(made))
    assert uids.tolist() == expected


def test_a_sidecar_says_what_became_of_every_sample(made, tmp_path):
    made.workspace.export(tmp_path / "out", format="llava")
    rows = pq.read_table(tmp_path / "out" / "selection.parquet").to_pylist()
    assert len(rows) == 28
    twin = next(row for row in rows if row["id"] == "twin")
    assert (twin["keep"], twin["reason"]) == (False, "exact_duplicate")
    assert next(row for row in rows if row["uid"] == twin["kept_uid"])["id"] == "2"


# --- the folder -------------------------------------------------------------------------------------------


def test_a_folder_in_use_is_refused_and_left_alone(made, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ExportError, match=r"not empty|no earlier export"):
            export(made.workspace, tmp_path, Asked("llava"), overwrite=overwrite)
    assert _files(tmp_path) == {"notes.txt": b"mine"}
    assert list(tmp_path.parent.glob(f".{tmp_path.name}.*")) == []


def test_overwrite_replaces_an_earlier_export_whole(made, tmp_path):
    made.workspace.export(tmp_path / "out", format="hf")
    with pytest.raises(ExportError, match="--overwrite"):
        made.workspace.export(tmp_path / "out", format="llava")
    made.workspace.export(tmp_path / "out", format="llava", overwrite=True)
    assert not list((tmp_path / "out").rglob("*.arrow"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_overwrite_never_takes_away_what_the_export_is_made_of(made):
    (made.folder / "curate.json").write_text("{}")
    with pytest.raises(ExportError, match="which the export is made of"):
        made.workspace.export(made.folder, format="llava", overwrite=True)
    (made.folder / "curate.json").unlink()


def test_an_interrupted_export_goes_on_where_it_stopped(made, tmp_path):
    workspace = Workspace(made.workspace.base, progress=Interrupting())
    with pytest.raises(KeyboardInterrupt):
        workspace.export(tmp_path / "out", format="llava")
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".out.")
    placed = {path.relative_to(left): path.stat().st_ino for path in left.rglob("*.webp")}
    assert placed
    made.workspace.export(tmp_path / "out", format="llava")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert {path: (tmp_path / "out" / path).stat().st_ino for path in placed} == placed
    made.workspace.export(tmp_path / "whole", format="llava")
    assert _files(tmp_path / "out") == _files(tmp_path / "whole")


@pytest.mark.parametrize("format", ["hf", "parquet", "webdataset"])
def test_finished_shards_are_not_written_again(format, made, tmp_path, monkeypatch):
    chosen: Any = WRITERS[format]
    monkeypatch.setitem(WRITERS, format, replace(chosen, shard_bytes=1))
    store = made.workspace.store
    facts = Facts(Pictures(tmp_path / "on", BYTES, {}), Kept(store).schema(), "0" * 32, "on")
    small = [part for batch in Kept(store).batches() for part in split(batch, limit=4000)]
    assert len(small) > 3
    (tmp_path / "on").mkdir()

    def stopping() -> Iterator[pa.RecordBatch]:
        yield from small[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        WRITERS[format].write(tmp_path / "on", {"train": stopping()}, facts)
    first = {path.stat().st_ino for path in (tmp_path / "on").rglob("*.part")}
    assert len(first) == 1
    WRITERS[format].write(tmp_path / "on", {"train": iter(small)}, facts)
    made_now = [path for path in (tmp_path / "on").rglob("*-0*") if path.is_file()]
    assert first < {path.stat().st_ino for path in made_now}
    assert not list((tmp_path / "on").rglob("*.part"))
    assert len(made_now) == len(small)


def test_an_export_that_is_there_is_left_as_it_is(made, tmp_path):
    counts = made.workspace.export(tmp_path / "out", format="llava")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    again = made.workspace.export(tmp_path / "out", format="llava")
    assert {**again, "seconds": 0} == {**counts, "seconds": 0}
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


@pytest.mark.slow
def test_a_killed_export_leaves_no_half_result_and_the_next_one_clears_up(made, tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(made.workspace.base), str(tmp_path / "out")]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": str(root)})
    script.unlink()
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert len(list(tmp_path.iterdir())) == 1
    made.workspace.export(tmp_path / "out", format="llava")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_settings_of_the_selection_are_exported_and_other_flags_select_again(made, tmp_path):
    base = _copy(made, tmp_path / "work").base
    Workspace(base, {"prune.key": "image"}).select("50%", "random")
    first = Workspace(base).export(tmp_path / "one", format="llava")
    told = json.loads((tmp_path / "one" / "curate.json").read_text())
    assert (told["config"]["prune"]["key"], told["config"]["select"]["strategy"]) == ("image", "random")
    Workspace(base, {"prune.key": "joint"}).export(tmp_path / "two", format="llava")
    again = json.loads((tmp_path / "two" / "curate.json").read_text())
    assert (again["config"]["prune"]["key"], again["config"]["select"]["strategy"]) == ("joint", "random")
    assert again["counts"]["n_pruned"] == sum(again["counts"]["pruned"].values())
    assert again["counts"]["n_candidates"] >= told["counts"]["n_candidates"]
    assert first["n_kept"] == told["n_kept"]


def test_what_is_exported_holds_no_secret_and_nothing_of_the_machine(made, tmp_path):
    workspace = _copy(made, tmp_path / "work", overrides={"run.spark_conf": {"fs.s3a.secret.key": "HUNTER2"}})
    workspace.select("50%", "random")
    workspace.export(tmp_path / "out", format="llava")
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or b"HUNTER2" not in path.read_bytes()
    assert "HUNTER2" not in (tmp_path / "work" / ".curate" / "selected.json").read_text()


def test_a_selection_without_the_semantic_level_is_exported(made, tmp_path):
    workspace = _copy(made, tmp_path / "work", overrides={"prune.semantic": False})
    shutil.rmtree(here(workspace.base) / ".curate" / "ledger" / "probes", ignore_errors=True)
    (workspace.base / ".curate" / "tables" / "probes.json").unlink()
    workspace.select("50%", "random")
    assert Workspace(workspace.base).export(tmp_path / "out", format="llava")["n_kept"] > 0


def test_an_export_that_was_killed_between_two_renames_comes_back(made, tmp_path):
    made.workspace.export(tmp_path / "out", format="llava")
    before = {path.name for path in (tmp_path / "out").iterdir()}
    (tmp_path / "out").rename(tmp_path / ".out.123.old")
    with pytest.raises(KeyboardInterrupt):
        Workspace(made.workspace.base, progress=Interrupting()).export(tmp_path / "out", format="llava")
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".partial"] == ["out"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == before


def test_an_image_that_changed_since_it_was_read_stops_the_export(made, tmp_path):
    path = Path(next(row for row in _kept(made) if row["dataset"] == "mix")["images"][0]["path"])
    held = path.read_bytes()
    path.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    try:
        with pytest.raises(ExportError, match="changed since it was ingested"):
            made.workspace.export(tmp_path / "out", format="parquet")
    finally:
        path.write_bytes(held)
    assert not (tmp_path / "out").exists()


def test_an_unknown_format_is_refused_with_the_names_of_the_known(made, tmp_path):
    with pytest.raises(ExportError, match="hf, parquet, messages"):
        made.workspace.export(tmp_path / "out", format="csv")


# --- which selection --------------------------------------------------------------------------------------


def test_without_a_selection_the_error_shows_the_command(made, tmp_path):
    workspace = Workspace.init(tmp_path / "new", {"mix": made.folder / "mix.json"}, model="builtin:tiny")
    with pytest.raises(WorkspaceError, match="curate select --budget 30%"):
        workspace.export(tmp_path / "out")


def test_a_finished_selection_is_exported_without_running_the_chain_again(made, tmp_path):
    log = made.workspace.store.root / "log.jsonl"
    before = log.read_bytes()
    made.workspace.export(tmp_path / "out", format="llava")
    assert log.read_bytes() == before


def test_a_budget_that_was_asked_for_is_selected_first(made, tmp_path):
    workspace = _copy(made, tmp_path / "work", overrides={"select.budget": "5"})
    assert workspace.export(tmp_path / "out", format="llava")["n_kept"] == 5
    # It is now the selection there is.
    assert Workspace(tmp_path / "work").export(tmp_path / "again", format="llava")["n_kept"] == 5


def test_a_selection_whose_inputs_changed_is_made_anew_with_its_own_settings(made, tmp_path):
    workspace = _copy(made, tmp_path / "work", overrides={"prune.semantic": False})
    workspace.prune()
    workspace.export(tmp_path / "out", format="llava")
    made_by = json.loads((tmp_path / "out" / "curate.json").read_text())
    assert (made_by["counts"]["budget"], made_by["counts"]["strategy"]) == ("80%", "random")
    assert list(made_by["counts"]["pruned"]) == ["exact_duplicate"]


# --- tables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_any_table_leaves_as_a_file_that_others_read(suffix, made, tmp_path):
    read = pl.read_csv if suffix == "csv" else pl.read_parquet
    names = made.workspace.tables()["tables"]
    assert {"samples", "selection", "pruned"} <= set(names)
    for name, about in names.items():
        told = made.workspace.write_table(name, tmp_path / f"{name}.{suffix}")
        frame = read(tmp_path / f"{name}.{suffix}")
        assert (told["rows"], frame.columns) == (about["rows"], about["columns"])
        assert len(frame) == about["rows"]
    uids = read(tmp_path / f"selection.{suffix}").filter(pl.col("keep"))["uid"].to_list()
    assert uids == [row["uid"].hex() for row in _kept(made)]
    with pytest.raises(ExportError, match=r"there is no table 'nosuch'; there are .*samples"):
        made.workspace.write_table("nosuch", tmp_path / "a.csv")


# --- the card ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", WRITERS)
def test_the_card_tells_counts_sources_model_and_how_to_load(format, made, tmp_path):
    made.workspace.export(tmp_path / "out", format=format)
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\nlicense: unknown\n")
    assert "| read | 28 |" in card
    assert "| quarantined: missing_image | 1 |" in card
    assert "| pruned: exact_duplicate | 1 |" in card
    assert "| selected | 21 |" in card
    assert "a\\|b" in card
    assert "- model: builtin" in card
    assert "load" in card


def test_sizes_are_named_as_the_hub_names_them():
    sizes = {999: "n<1K", 1000: "1K<n<10K", 250_000: "100K<n<1M", 1_000_000: "1M<n<10M", 10**12: "n>1T"}
    assert {n: size_category(n) for n in sizes} == sizes


# --- looking at records -----------------------------------------------------------------------------------


def test_errors_lists_the_bad_records_with_file_line_code_and_sentence(made):
    (bad,) = made.workspace.errors(limit=10)["records"]
    assert (bad["id"], bad["dataset"], bad["file"]) == ("broken", "mix", "mix.json")
    assert bad["code"] == "missing_image"
    lines = (made.folder / "mix.json").read_bytes().splitlines()
    assert b'"broken"' in lines[bad["line"] - 1]
    assert "img/missing.png" in bad["message"]
    assert made.workspace.errors(limit=0)["records"] == []


def test_explain_says_what_a_pruned_record_duplicates(made):
    (found,) = explain(made.workspace, "twin")["matches"]
    assert (found["keep"], found["reason"]) == (False, "exact_duplicate")
    assert (found["pruned"]["similarity"], found["pruned"]["kept"]["id"]) == (1.0, "2")
    assert found["pruned"]["kept"]["text"] == found["text"]
    assert {"alignment", "min_side"} <= set(found["scores"])


def test_explain_finds_by_uid_and_by_the_beginning_of_one(made):
    (found,) = explain(made.workspace, "id-0003")["matches"]
    for ident in (found["uid"], found["uid"][:9], found["uid"].upper()):
        assert explain(made.workspace, ident)["matches"] == [found]


def test_explain_returns_every_record_of_an_id(made, tmp_path):
    (tmp_path / "two.json").write_bytes(b"[" + made.raw[5] + b"," + made.raw[5] + b"]")
    workspace = Workspace.init(tmp_path / "work", {"two": tmp_path / "two.json"}, model="builtin:tiny")
    workspace.ingest()
    found = explain(workspace, "5")
    assert found["n_matches"] == 2
    assert {match["why"] for match in found["matches"]} == {"nothing is selected yet"}


def test_explain_of_a_bad_record_shows_its_error(made):
    (found,) = explain(made.workspace, "broken")["matches"]
    assert found["error"]["code"] == "missing_image"
    assert found["reason"] == "quarantined"


def test_explain_of_nothing_is_an_error(made):
    with pytest.raises(CurateError, match="there is no record 'nobody'"):
        explain(made.workspace, "nobody")
