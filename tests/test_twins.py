"""Near-twins differ in little and are no copies; copies are copies; what pruning does with either."""

from __future__ import annotations

import io
import itertools
import random

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Image as Picture

from curation.generate.copies import COPIES, FRAME, opaque
from curation.generate.twins import MOST, TWINS, Family

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
        ("grey", (400, 200), (0, 0, 400, 200)),
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
