"""A second look at two pictures: copies are told from what differs in a digit, and texts from one another."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps

from curation.generate.copies import COPIES
from curation.generate.twins import TWINS
from scorers.image_figures import inner_box
from scorers.second_look import look
from scorers.wording import telling, words

COPIED = (
    "resized_0.5",
    "jpeg_40",
    "webp",
    "brightened",
    "cropped_3",
    "cropped_10",
    "padded_white",
    "bordered",
)


def drawn(kind: str, seed: int, k: int = 1) -> tuple[Image.Image, ...]:
    return TWINS[kind](random.Random(f"look/{kind}/{seed}"), k).images


def copy(image: Image.Image, kind: str) -> Image.Image:
    with Image.open(io.BytesIO(COPIES[kind].of(image))) as opened:
        return opened.convert("RGB")


@pytest.mark.parametrize("kind", COPIED)
def test_a_copy_is_not_odd(kind: str) -> None:
    odd = [look(image, copy(image, kind)).oddness for name in TWINS for image in drawn(name, 0)]
    assert np.median(odd) < 0.8
    assert sum(each > 1 for each in odd) <= 1


@pytest.mark.parametrize("kind", TWINS)
def test_a_picture_that_differs_in_one_thing_is_odd(kind: str) -> None:
    for seed in range(2):
        one, other = drawn(kind, seed, 2)
        assert look(one, other).oddness > 1
        assert look(copy(one, "jpeg_40"), other).oddness > 1


def test_a_picture_is_itself_and_no_other() -> None:
    one, other = drawn("scenes", 0)[0], drawn("charts", 0)[0]
    same = look(one, one)
    assert same.oddness == pytest.approx(0, abs=0.01)
    assert same.correlation == pytest.approx(1)
    assert look(one, other).oddness > 1
    assert look(one, ImageOps.mirror(one)).oddness > 1


def test_what_stands_in_the_others_border_is_odd() -> None:
    page = np.full((300, 400, 3), 255, np.uint8)
    page[100:200, 120:280] = np.random.default_rng(0).integers(0, 2, (100, 160, 1), np.uint8) * 200
    more = page.copy()
    more[20:40, 20:60] = 0
    assert look(Image.fromarray(page), Image.fromarray(more)).oddness > 1
    assert look(Image.fromarray(more), Image.fromarray(page)).oddness > 1


def shape(
    box: tuple[int, int, int, int], ground: tuple[int, int, int] = (240, 235, 245), side: int = 64
) -> Image.Image:
    """A disc on a plain ground."""
    page = Image.new("RGB", (side, side), ground)
    ImageDraw.Draw(page).ellipse(box, fill=(20, 20, 220))
    return page


@pytest.mark.parametrize("kind", ["jpeg_40", "resized_0.5", "brightened", "cropped_3"])
def test_a_small_picture_of_one_thing_has_copies_too(kind: str) -> None:
    disc = shape((14, 20, 46, 52))
    assert look(disc, copy(disc, kind)).oddness <= 1


@pytest.mark.parametrize(
    "other",
    [
        shape((22, 20, 54, 52)),  # farther to the right
        shape((14, 28, 46, 60)),  # lower
        shape((14, 20, 46, 46)),  # flatter
        shape((14, 20, 46, 52), (235, 245, 235)),  # on another ground
    ],
)
def test_a_thing_elsewhere_flatter_or_on_another_ground_is_another_picture(other: Image.Image) -> None:
    disc = shape((14, 20, 46, 52))
    assert look(disc, other).oddness > 1
    assert look(other, disc).oddness > 1


def test_two_views_of_one_scene_that_each_show_more_are_no_copies_but_cuts_of_it_are() -> None:
    scene = drawn("scenes", 3)[0]
    left, right = (scene.crop((x, 0, x + scene.width - 40, scene.height)) for x in (0, 40))
    assert look(left, right).oddness > 1
    assert look(scene, left).oddness <= 1
    assert look(right, scene).oddness <= 1


@given(gain=st.floats(1.03, 1.15))
@settings(max_examples=8, deadline=None)
def test_saturated_colours_that_were_brightened_are_found(gain: float) -> None:
    """Each channel is cut off at white by itself, so luminance and colours change together."""
    rng = np.random.default_rng(4)
    patches = rng.choice([0, 90, 180, 250], (6, 6, 3)).astype(np.uint8)
    page = np.asarray(Image.fromarray(patches).resize((240, 240), Image.Resampling.NEAREST), np.float32)
    bright = np.clip(page * gain, 0, 255).astype(np.uint8)
    assert look(Image.fromarray(page.astype(np.uint8)), Image.fromarray(bright)).oddness <= 1


def test_a_grey_copy_says_less_and_is_none() -> None:
    scene = drawn("scenes", 3)[0]
    assert look(scene, ImageOps.grayscale(scene).convert("RGB")).oddness > 1


@pytest.mark.parametrize("size", [(1, 1), (10, 400), (400, 10)])
def test_of_pictures_too_small_to_tell_none_is_a_copy(size: tuple[int, int]) -> None:
    flat = Image.new("RGB", size, "red")
    assert look(flat, flat).oddness == float("inf")


def test_a_page_in_a_frame_has_two_borders() -> None:
    page = Image.new("RGB", (200, 100), "white")
    page.paste("blue", (50, 20, 150, 80))
    left, top, right, bottom = inner_box(ImageOps.expand(page, 40, "black"))
    assert (left, top) == pytest.approx((90, 60), abs=3)
    assert (right, bottom) == pytest.approx((190, 120), abs=3)
    assert inner_box(Image.new("RGB", (64, 48), "grey")) == (0, 0, 64, 48)


@pytest.mark.parametrize("side", [38, 46, 62])  # a block of JPEG that begins in the border has 2 pixels of it
@pytest.mark.parametrize("colour", ["black", "white", (120, 36, 44)])
def test_a_border_is_found_to_the_pixel_though_jpeg_blurs_it(side: int, colour: str) -> None:
    rng = np.random.default_rng(side)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    framed = ImageOps.expand(coarse.resize((side, side), Image.Resampling.BICUBIC), 10, colour)
    buffer = io.BytesIO()
    framed.save(buffer, "JPEG", quality=75)
    with Image.open(buffer) as opened:
        assert inner_box(opened.convert("RGB")) == (10, 10, side + 10, side + 10)


# --- texts -------------------------------------------------------------------------------------------------


def said(answer: str, question: str = "What does the receipt say in all?") -> list[str]:
    return telling([("user", question), ("assistant", answer)])


LONG = "The total on the receipt from Mia's shop is 12.50 and it was paid in cash on Monday"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12.50", "12.60"),
        ("B", "C"),
        ("yes", "no"),
        ("a red bus", "a red car"),  # short answers are choices
        (LONG, LONG.replace("12.50", "15.20")),
        (LONG, LONG.replace("Mia", "Max")),
        (LONG, LONG.replace("Monday", "Tuesday")),
        (LONG, LONG.replace("was paid", "was not paid")),
        (LONG, LONG.replace("was paid", "wasn't paid")),
        ("the sign on the wall says 出口", "the sign on the wall says 入口"),
    ],
)
def test_another_number_name_date_choice_or_negation_is_another_text(one: str, other: str) -> None:
    assert said(one) != said(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LONG, LONG.replace("was paid", "has been paid")),
        (LONG, LONG.replace("The total", "the total") + "."),
        ("a dog runs over the wet grass", "a dog is running over wet grass"),
    ],
)
def test_another_wording_is_not(one: str, other: str) -> None:
    assert said(one) == said(other)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_words_do_not_change_with_case_or_space(text: str) -> None:
    if text.casefold() == text.swapcase().casefold():
        assert words(text) == words(f"  {text.swapcase()}\n")
