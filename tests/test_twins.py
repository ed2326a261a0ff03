"""Near-twins differ, in little; copies are copies; what pruning does with either."""

from __future__ import annotations

import io
import itertools
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from PIL.Image import Image as Picture

from curation.generate import words
from curation.generate.copies import COPIES, FRAME, opaque
from curation.generate.twins import MOST, TWINS, Family
from curation.workspace import Workspace

SEEDS = range(5)
LITTLE = 0.05  # share of the pixels that a single number, word or thing takes up on average
MUCH = 0.2  # and at most


def family(kind: str, seed: int, k: int = 4) -> Family:
    return TWINS[kind](random.Random(f"{kind}/{seed}"), k)


def differing(one: Picture, two: Picture) -> float:
    """Share of the pixels that differ."""
    return float((np.asarray(one) != np.asarray(two)).any(axis=2).mean())


def read(content: bytes) -> Picture:
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        return picture


@pytest.fixture(scope="module")
def picture() -> Picture:
    return family("scenes", 1, 1).images[0]


@pytest.mark.parametrize("kind", TWINS)
def test_equal_seeds_draw_equal_twins(kind: str) -> None:
    one, two = (family(kind, 3) for _ in range(2))
    assert [image.tobytes() for image in one.images] == [image.tobytes() for image in two.images]
    assert (one.question, one.answers, one.shared) == (two.question, two.answers, two.shared)
    assert one.images[0].tobytes() != family(kind, 4).images[0].tobytes()


@pytest.mark.parametrize("kind", TWINS)
def test_any_two_twins_differ_in_some_pixels_and_in_few(kind: str) -> None:
    shares = []
    for seed in SEEDS:
        drawn = family(kind, seed, MOST)
        assert len({image.size for image in drawn.images}) == 1
        shares += [differing(one, two) for one, two in itertools.combinations(drawn.images, 2)]
    assert min(shares) > 0
    assert np.mean(shares) < LITTLE
    assert max(shares) < MUCH


@pytest.mark.parametrize("kind", TWINS)
def test_every_twin_has_an_answer_of_its_own_to_one_question(kind: str) -> None:
    for seed in SEEDS:
        drawn = family(kind, seed, MOST)
        assert len(drawn.images) == len(set(drawn.answers)) == MOST
        assert all(drawn.shared)
        assert drawn.question.endswith("?")
        assert all(image.mode == "RGB" and 300 <= max(image.size) <= 800 for image in drawn.images)


def test_every_kind_of_difference_is_drawn() -> None:
    found = {family(kind, seed, 2).what for kind in TWINS for seed in range(30)}
    assert found == {
        *("date", "number", "goods", "price"),
        *("value", "label", "year", "point", "name"),
        *("cell", "mass", "force", "step", "thing"),
    }


@pytest.mark.parametrize("kind", COPIES)
def test_equal_pictures_give_equal_copies_in_other_files(kind: str, picture: Picture) -> None:
    content = COPIES[kind].of(picture)
    assert content == COPIES[kind].of(picture)
    copy = read(content)
    assert copy.format == COPIES[kind].format
    assert copy.size != picture.size or differing(copy.convert("RGB"), picture) > 0


@pytest.mark.parametrize(
    ("kind", "size", "box"),
    [
        ("resized_0.5", (200, 100), (0, 0, 200, 100)),
        ("resized_2.0", (800, 400), (0, 0, 800, 400)),
        ("jpeg_40", (400, 200), (0, 0, 400, 200)),
        ("webp", (400, 200), (0, 0, 400, 200)),
        ("padded_white", (400, 400), (0, 100, 400, 300)),
        ("padded_black", (400, 400), (0, 100, 400, 300)),
        ("letterboxed", (400, 260), (0, 30, 400, 230)),
        ("pillarboxed", (520, 200), (60, 0, 460, 200)),
        ("bordered", (400 + 2 * FRAME, 200 + 2 * FRAME), (FRAME, FRAME, 400 + FRAME, 200 + FRAME)),
    ],
)
def test_a_copy_has_the_whole_picture_at_its_place(
    kind: str, size: tuple[int, int], box: tuple[int, int, int, int], picture: Picture
) -> None:
    picture = picture.resize((400, 200))
    copy = read(COPIES[kind].of(picture))
    assert copy.size == size
    shown = copy.crop(box).convert("L").resize((80, 40), Image.Resampling.BOX)
    wanted = picture.convert("L").resize((80, 40), Image.Resampling.BOX)
    assert np.abs(np.asarray(shown, float) - np.asarray(wanted, float)).mean() < 3


@pytest.mark.parametrize(
    ("kind", "box"),
    [
        ("cropped_3", (12, 6, 388, 194)),
        ("cropped_10", (20, 10, 380, 190)),
        ("cropped_one_side", (0, 0, 360, 200)),
    ],
)
def test_a_cropped_copy_lacks_the_edges(kind: str, box: tuple[int, int, int, int], picture: Picture) -> None:
    picture = picture.resize((400, 200))
    copy, wanted = read(COPIES[kind].of(picture)), picture.crop(box)
    assert copy.size == wanted.size
    assert np.abs(np.asarray(copy, float) - np.asarray(wanted, float)).mean() < 3


def test_a_square_is_not_padded_to_a_square(picture: Picture) -> None:
    square = picture.resize((200, 200))
    assert not COPIES["padded_white"].fits(square)
    assert COPIES["padded_white"].fits(picture.resize((200, 240)))
    assert COPIES["bordered"].fits(square)


def test_what_is_transparent_is_white_in_a_copy() -> None:
    clear = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    assert opaque(clear).getpixel((3, 3)) == (255, 255, 255)
    palette = Image.new("P", (4, 4))
    palette.info["transparency"] = 0
    assert opaque(palette).getpixel((1, 1)) == (255, 255, 255)


# --- what pruning does at its defaults ----------------------------------------------------------------------


def slip(rng: random.Random, shop: str | None = None) -> tuple[Picture, str, str]:
    """A receipt of the usual layout, its date and its total; in a given shop the same goods are bought."""
    picture = Image.new("RGB", (300, 560), "white")
    pen = ImageDraw.Draw(picture)
    date = f"{rng.randint(1, 28):02d}.{rng.randint(1, 12):02d}.{rng.randint(2012, 2025)}"
    pen.text((150, 24), shop or rng.choice(words.SHOPS), "black", font_size=18, anchor="ma")
    pen.text((150, 52), date, "black", font_size=14, anchor="ma")
    prices = [rng.randint(90, 4999) for _ in range(9 if shop else rng.randint(6, 13))]
    for row, price in enumerate(prices):
        goods = words.GOODS[row] if shop else rng.choice(words.GOODS)
        pen.text((24, 92 + 27 * row), goods, "black", font_size=14)
        pen.text((276, 92 + 27 * row), f"{price / 100:.2f}", "black", font_size=14, anchor="ra")
    total = f"{sum(prices) / 100:.2f}"
    pen.text((24, 500), f"TOTAL  {total}", "black", font_size=20)
    return picture, date, total


def columns(rng: random.Random) -> Picture:
    """A bar chart of the usual layout."""
    picture = Image.new("RGB", (400, 300), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((20, 8), f"{rng.choice(words.GOODS)} by month", "black", font_size=18)
    for at in range(rng.randint(4, 8)):
        high = rng.randint(15, 215)
        pen.rectangle((28 + 45 * at, 276 - high, 60 + 45 * at, 276), (60, 110, 190))
        pen.text((44 + 45 * at, 272 - high), str(high), "black", font_size=12, anchor="mb")
        pen.text((44 + 45 * at, 280), words.MONTHS[at], "black", font_size=12, anchor="ma")
    return picture


def boxes(rng: random.Random) -> Picture:
    """Coloured boxes on a coloured ground, 320 x 240 px."""

    def colour() -> tuple[int, int, int]:
        return rng.randrange(256), rng.randrange(256), rng.randrange(256)

    picture = Image.new("RGB", (320, 240), colour())
    pen = ImageDraw.Draw(picture)
    for _ in range(14):
        x, y = rng.randrange(300), rng.randrange(220)
        pen.rectangle((x, y, x + rng.randint(20, 120), y + rng.randint(20, 90)), colour())
    return picture


def pruned(folder: Path, records: list[tuple[str, str, str]] | None = None) -> Counter[str]:
    """The reasons by which pictures in `folder` go, or records of (image, question, answer) there."""
    data = folder
    if records is not None:
        rows = [
            {"id": image, "image": image, "conversations": turns}
            for image, question, answer in records
            for turns in [
                [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]
            ]
        ]
        data = folder.parent / "data.json"
        data.write_text(json.dumps(rows))
    Workspace.init(folder.parent / "work", {"pool": data}, images=[folder], model="builtin:tiny")
    counts = Workspace(folder.parent / "work", {"capability.backend": "none"}).prune()
    return Counter(counts["pruned"])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def test_receipts_and_charts_without_text_that_only_look_alike_all_stay(images: Path) -> None:
    rng = random.Random(1)
    for number in range(6):
        slip(rng)[0].save(images / f"slip{number}.png")
        columns(rng).save(images / f"columns{number}.png")
    assert not pruned(images)


def test_questions_on_receipts_whose_answers_differ_all_stay(images: Path) -> None:
    rng = random.Random(2)
    records = []
    for number in range(8):
        picture, date, total = slip(rng, words.SHOPS[0])
        picture.save(images / f"{number}.png")
        records.append((f"{number}.png", "What is the date on the receipt? Answer in one word.", date))
        records.append((f"{number}.png", "What is the total? Answer with a number.", total))
    assert not pruned(images, records)


@pytest.mark.parametrize("texts", ["differ", "equal", "none"])
def test_near_twins_all_stay(texts: str, images: Path) -> None:
    records = []
    for kind in TWINS:
        drawn = family(kind, 1, 3)
        for number, (image, answer) in enumerate(zip(drawn.images, drawn.answers, strict=True)):
            name = f"{kind}{number}.png"
            image.save(images / name)
            records.append((name, *((drawn.question, answer) if texts == "differ" else drawn.shared)))
    assert not pruned(images, None if texts == "none" else records)


@pytest.mark.parametrize(
    "kinds",
    [("cropped_10",), ("padded_white", "letterboxed", "bordered")],
    ids=" ".join,
)
def test_of_a_picture_and_its_copies_one_stays(kinds: tuple[str, ...], images: Path) -> None:
    rng = random.Random(3)
    records = []
    for number in range(8):
        picture = boxes(rng)
        picture.save(images / f"{number}.jpg", quality=90)
        names = [f"{number}.jpg"]
        for kind in kinds:
            names.append(f"{number}-{kind}.jpg")
            (images / names[-1]).write_bytes(COPIES[kind].of(picture))
        records += [(name, "What is shown?", f"Boxes of set {number}.") for name in names]
    assert pruned(images, records).total() == 8 * len(kinds)
