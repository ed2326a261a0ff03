"""Reading text in pictures: what is read, what cannot be, and the same bytes for any number of workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from curation.models import ocr
from curation.models.ocr import Ocr, resolve_ocr
from curation.steps.ingest.images import Decoded, DistinctImages
from curation.steps.ingest.stages import ingest_stages
from curation.steps.score.ocr import IMAGE_TEXT, ReadImages
from curation.steps.score.text_agreement import text_agreement_stages
from curation.workspace import Workspace
from schemas.errors import ModelUnavailable
from schemas.stages import Stage

RECEIPT = ("SWEET FOREST CAFE", "Date 30/05/2017", "TOTAL RM 18.80")
TABLE = ("Hornets 9", "Wolves 14")


def picture(*lines: str) -> Image.Image:
    """Lines of black text on white."""
    drawn = Image.new("RGB", (360, 40 + 50 * len(lines)), "white")
    for n, line in enumerate(lines):
        ImageDraw.Draw(drawn).text((20, 20 + 50 * n), line, "black", ImageFont.load_default(28))
    return drawn


@pytest.fixture(scope="module")
def reader() -> Ocr:
    return resolve_ocr(960)


def made(folder: Path) -> Path:
    """A pool of two shards: text, no text, a broken file, a text beside another picture, and none at all."""
    for name, drawn in {"receipt": picture(*RECEIPT), "table": picture(*TABLE), "blank": picture()}.items():
        drawn.save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes((folder / "table.png").read_bytes()[:200])
    asked = "<image>\nWhat is the total?"
    records = [
        ("right", ["receipt.png"], asked, "RM 18.80, on 30 May 2017"),
        ("wrong", ["table.png"], asked, "RM 18.80, on 30 May 2017"),
        ("blank", ["blank.png"], asked, "18.80"),
        ("broken", ["broken.png"], asked, "18.80"),
        *((f"text {n}", [], "Name a bird.", f"Number {n}: an owl.") for n in range(14)),
        ("both", ["table.png", "receipt.png"], f"<image>\n{asked}", "18.80 for the Hornets"),
        ("nothing said", ["table.png"], "<image>\nIs it?", "No."),
    ]
    (folder / "pool.json").write_text(
        json.dumps(
            [
                {
                    "id": name,
                    "image": images,
                    "conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": said}],
                }
                for name, images, asked, said in records
            ]
        )
    )
    return folder / "pool.json"


def pool_read(folder: Path, pool: Path, **settings: object) -> Workspace:
    """A workspace where the pool is ingested and read; no encoder is loaded for that."""
    Workspace.init(folder, {"pool": pool}, images=[pool.parent], model="builtin:tiny")
    workspace = Workspace(folder, {"run.shard_rows": 16, **settings})
    assert workspace.compute(stages(workspace)).computed["image_text"] == 2
    return workspace


def stages(work: Workspace) -> list[Stage]:
    read, _ = text_agreement_stages()
    return [*ingest_stages(work.context), ReadImages(DistinctImages(32, 10**7), resolve_ocr(960)), read]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, pool: Path) -> Workspace:
    return pool_read(tmp_path_factory.mktemp("work"), pool)


def rows(work: Workspace, table: str) -> Iterator[tuple[str, dict[str, object]]]:
    names = work.store.read("checked", ["record_id"])["record_id"].to_pylist()
    return zip(names, work.store.read(table).to_pylist(), strict=True)


def test_lines_are_read_with_their_places(reader):
    lines = reader.load().lines(picture(*RECEIPT))
    assert [line.text for line in lines] == list(RECEIPT)
    assert all(line.confidence > 0.9 for line in lines)
    tops = [line.corners[:, 1].min() for line in lines]
    assert tops == pytest.approx([(20 + 50 * n) / 190 for n in range(3)], abs=0.05)
    assert all(0 <= line.corners.min() <= line.corners.max() <= 1 for line in lines)


def test_pictures_of_any_shape_can_be_read(reader):
    for size in ((1, 1), (3, 600), (600, 3)):
        assert reader.load().lines(Image.new("RGB", size, "white")) == []


def test_larger_pictures_are_shrunk(reader):
    large = picture("TOTAL").resize((3600, 900))
    (line,) = reader.load().lines(large)
    assert line.text == "TOTAL"
    assert large.size == (3600, 900)


def test_what_is_read_does_not_depend_on_threads(reader):
    pictures = [picture(*RECEIPT), picture(*TABLE), picture("Rome"), picture()] * 2
    alone = [repr(reader.load().lines(each)) for each in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert [repr(lines) for lines in pool.map(reader.load().lines, pictures)] == alone


def test_a_pool_is_read_and_what_cannot_be_says_why(work):
    read = {row["text_reason"]: name for name, row in rows(work, "text_agreement") if row["text_reason"]}
    found = dict(rows(work, "text_agreement"))
    assert found["right"]["text_agreement"] == 1
    assert found["wrong"]["text_agreement"] == 0
    assert found["both"]["text_agreement"] == 1
    assert found["both"]["image_amounts"] == ["18.8"]
    assert found["right"]["image_dates"] == ["2017-05-30"]
    assert read == {
        "no_text": "blank",
        "truncated_image": "broken",
        "no_image": "text 13",
        "nothing_said": "nothing said",
    }


def test_images_have_their_text_once_and_broken_ones_a_reason(work):
    table = work.store.read("image_text")
    assert table.schema.equals(IMAGE_TEXT)
    read = {
        None if row["lines"] is None else tuple(line["text"] for line in row["lines"]): row
        for row in table.to_pylist()
    }
    assert set(read) == {RECEIPT, TABLE, (), None}
    assert read[RECEIPT]["n_words"] == 8
    assert 0.1 < read[RECEIPT]["text_share"] < 0.6
    assert (read[()]["n_words"], read[()]["text_share"], read[()]["error"]) == (0, 0, None)
    assert read[None]["error"] == "truncated_image"
    box = read[TABLE]["lines"][0]
    assert box["left"] < box["right"] < 0.6
    assert box["top"] < box["bottom"] < 0.6


def test_what_was_read_is_not_read_again(work):
    assert not work.compute(stages(work)).computed


@pytest.mark.slow
def test_workers_write_the_same_bytes(work, pool, tmp_path):
    shared_out = pool_read(tmp_path, pool, **{"run.workers": 2})
    for table in ("image_text", "text_agreement"):
        ours, theirs = (each.store.manifest(table).shards for each in (work, shared_out))
        assert len(ours) == 2
        assert [shard.checksum for shard in ours] == [shard.checksum for shard in theirs]


def test_an_image_that_the_reader_fails_on_is_a_null_row(reader):
    stage = ReadImages(DistinctImages(32, 10**7), reader)
    odd = Decoded(bytes(32), 3, Image.new("F", (8, 8)))  # a mode that no source hands on
    row = stage.prepare(odd)
    assert row["error"] == "stage_failed"
    assert "lines" not in row


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setattr(ocr, "PACKAGES", (*ocr.PACKAGES, "a-reader-that-is-not-there"))
    with pytest.raises(ModelUnavailable, match=r"a-reader-that-is-not-there: pip install 'curate\[ocr\]'"):
        resolve_ocr(960)


def test_other_models_than_the_known_ones_are_refused(monkeypatch):
    monkeypatch.setitem(ocr.MODELS, "det", (ocr.MODELS["det"][0], "0" * 64))
    with pytest.raises(ModelUnavailable, match=r"is not the model that curate knows \(sha256 090f04ab"):
        resolve_ocr(960)
    monkeypatch.setitem(ocr.MODELS, "det", ("gone.onnx", "0" * 64))
    with pytest.raises(ModelUnavailable, match=r"gone\.onnx.*pip install 'curate\[ocr\]'"):
        resolve_ocr(960)
