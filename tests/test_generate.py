"""The generator: equal seeds give equal bytes, what it says is drawn, the truth matches the files."""

import hashlib
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.ImageDraw import ImageDraw

from curation.generate import KINDS, counting
from curation.generate.canvas import Colour
from curation.generate.figures import THINGS, Figure
from curation.generate.pool import PLANTED, write_pool
from curation.generate.sample import NUMBERS, Sample


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pool")
    write_pool(out, n=240, seed=3)
    return out


def records(pool: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((pool / "pool.json").read_text())
    return found


def planted(pool: Path, kind: str) -> list[dict[str, Any]]:
    return [
        entry for entry in json.loads((pool / "truth.json").read_text())["records"] if entry["kind"] == kind
    ]


def decode(path: Path) -> None:
    with path.open("rb") as file:
        Image.open(file).load()


def digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def fingerprint(sample: Sample) -> tuple[object, ...]:
    drawn = None if sample.image is None else (sample.image.size, sample.image.tobytes())
    return (drawn, sample.turns, sample.caption)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_draw_equal_samples_and_others_differ(kind: str) -> None:
    draw = KINDS[kind]
    assert fingerprint(draw(random.Random(7))) == fingerprint(draw(random.Random(7)))
    assert len({fingerprint(draw(random.Random(seed))) for seed in range(30)}) >= 29


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_has_its_size_its_turns_and_its_caption(kind: str) -> None:
    for seed in range(60):
        sample = KINDS[kind](random.Random(seed))
        assert sample.kind == kind
        assert sample.caption.strip()
        assert 1 <= len(sample.turns) <= 4
        assert all(question.strip() and answer.strip() for question, answer in sample.turns)
        assert (sample.image is None) == (kind == "arithmetic")
        if sample.image is not None:
            assert sample.image.mode == "RGB"
            assert 96 <= max(sample.image.size) <= 320


def test_the_sums_are_right() -> None:
    checked = 0
    for seed in range(400):
        for question, answer in KINDS["arithmetic"](random.Random(seed)).turns:
            if question.startswith("What is ") and question[8].isdigit() and "%" not in question:
                a, sign, b = question[8:].rstrip("?").split()
                value = {"+": int(a) + int(b), "-": int(a) - int(b), "x": int(a) * int(b)}[sign]
                assert answer.split()[-1] == str(value)
                checked += 1
    assert checked > 30


def test_as_many_things_are_drawn_as_the_answers_say(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: Counter[str] = Counter()

    def counted(name: str, figure: Figure) -> Figure:
        def draw(pen: ImageDraw, x: float, y: float, r: float, colour: Colour) -> None:
            drawn[name] += 1
            figure(pen, x, y, r, colour)

        return draw

    monkeypatch.setattr(counting, "THINGS", {name: counted(name, figure) for name, figure in THINGS.items()})
    checked = 0
    for seed in range(300):
        drawn.clear()
        for question, answer in counting.crowd(random.Random(seed)).turns:
            if question.startswith("Count everything"):
                assert int(answer) == drawn.total()
            elif question.startswith("How many ") and "are there?" in question and "things" not in question:
                asked = question.split()[2]
                number = NUMBERS.index(answer) if answer in NUMBERS else int(answer.replace("none", "0"))
                assert number == drawn[asked if asked == "fish" else asked.removesuffix("s")]
                checked += 1
    assert checked > 50


def test_equal_pools_have_equal_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_pool(tmp_path / name, n=40, seed=seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_a_pool_has_n_records_and_about_fifteen_percent_of_defects(pool: Path) -> None:
    truth = json.loads((pool / "truth.json").read_text())
    assert len(records(pool)) == truth["n"] == 240
    assert truth["seed"] == 3
    assert len(truth["records"]) == sum(truth["kinds"].values()) == 36
    assert set(truth["kinds"]) == set(PLANTED)
    assert Counter(entry["kind"] for entry in truth["records"]) == truth["kinds"]
    assert len({entry["index"] for entry in truth["records"]}) == 36
    assert all(records(pool)[entry["index"]]["id"] == entry["id"] for entry in truth["records"])
    suffixes = Counter(Path(record["image"]).suffix for record in records(pool) if "image" in record)
    assert set(suffixes) == {".png", ".jpg"}


def test_a_pool_of_too_few_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="24 or more"):
        write_pool(tmp_path, n=10)


def test_originals_of_duplicates_carry_no_defect(pool: Path) -> None:
    truth = json.loads((pool / "truth.json").read_text())["records"]
    defects = {entry["index"] for entry in truth}
    originals = [entry["original_index"] for entry in truth if "original_index" in entry]
    assert originals
    assert defects.isdisjoint(originals)
    assert len(set(originals)) == len(originals)
    for entry in truth:
        if "original_index" in entry:
            copy, original = records(pool)[entry["index"]], records(pool)[entry["original_index"]]
            assert copy["conversations"] == original["conversations"]
            assert (copy == original) == (entry["kind"] == "exact_duplicate")


def test_renamed_images_have_the_same_bytes_and_near_duplicates_do_not(pool: Path) -> None:
    for kind, same in (("dup_renamed_image", True), ("near_dup_jpeg", False), ("near_dup_resize", False)):
        for entry in planted(pool, kind):
            copy, original = records(pool)[entry["index"]], records(pool)[entry["original_index"]]
            assert copy["image"] != original["image"]
            equal = (pool / copy["image"]).read_bytes() == (pool / original["image"]).read_bytes()
            assert equal is same


def test_resized_copies_are_smaller(pool: Path) -> None:
    for entry in planted(pool, "near_dup_resize"):
        copy, original = records(pool)[entry["index"]], records(pool)[entry["original_index"]]
        with Image.open(pool / copy["image"]) as small, Image.open(pool / original["image"]) as large:
            assert small.width == round(large.width * 0.6)


def test_broken_images_are_broken_and_all_others_decode(pool: Path) -> None:
    broken = {"missing_image", "truncated_image", "zero_byte_image", "not_an_image"}
    kinds = {entry["index"]: entry["kind"] for kind in broken for entry in planted(pool, kind)}
    for index, record in enumerate(records(pool)):
        if "image" not in record:
            continue
        path = pool / record["image"]
        kind = kinds.get(index)
        assert path.exists() == (kind != "missing_image")
        if kind == "zero_byte_image":
            assert path.stat().st_size == 0
        elif kind is None:
            decode(path)
        elif kind != "missing_image":
            with pytest.raises(OSError, match=r"truncated|cannot identify"):
                decode(path)


def test_only_planted_records_break_the_rules_of_the_format(pool: Path) -> None:
    expected = {
        entry["index"] for kind in ("image_token_count", "bad_roles") for entry in planted(pool, kind)
    }
    found = set()
    for index, record in enumerate(records(pool)):
        turns = record["conversations"]
        roles = [turn["from"] for turn in turns]
        tags = sum(turn["value"].count("<image>") for turn in turns)
        if roles != ["human", "gpt"] * (len(roles) // 2) or tags != ("image" in record):
            found.add(index)
    assert found == expected


def test_no_two_drawn_records_are_alike(pool: Path) -> None:
    added = {entry["index"] for entry in json.loads((pool / "truth.json").read_text())["records"]}
    kept = [record for index, record in enumerate(records(pool)) if index not in added]
    assert len({json.dumps(record["conversations"]) for record in kept}) == len(kept)
    thumbs = []
    for record in kept:
        if "image" in record:
            with Image.open(pool / record["image"]) as image:
                thumbs.append(
                    np.asarray(image.convert("RGB").resize((12, 12), Image.Resampling.BOX), dtype=float)
                )
    stack = np.stack(thumbs)
    for i, thumb in enumerate(stack[:-1]):
        assert np.abs(stack[i + 1 :] - thumb).mean(axis=(1, 2, 3)).min() > 1.0
