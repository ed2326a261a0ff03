"""Perceptual hashes: what they are, how near pairs are found, and which samples look alike."""

from __future__ import annotations

import io
import json
import random
from itertools import pairwise

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from clustering import hamming
from clustering.hamming import collapse, near_codes, near_tuples
from curation.readers.images import to_rgb
from curation.steps.prune.perceptual import CROWD, LookAlikes
from curation.workspace import Workspace
from scorers.image_figures import HASH_GAP, HASH_SIDE, measure


def picture(seed, width=320, height=240):
    """Coarse coloured shapes, unlike those of any other seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


def apart(one, two):
    return (int.from_bytes(one, "big") ^ int.from_bytes(two, "big")).bit_count()


# --- the hashes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(320, 240), (33, 500), (448, 448), (31, 17)])
def test_the_hashes_are_those_of_imagehash_on_the_small_image(size):
    image = picture(1, *size)
    figures = measure(image)
    small = image.convert("L").resize((HASH_SIDE, HASH_SIDE), Image.Resampling.LANCZOS, reducing_gap=HASH_GAP)
    theirs = {
        "phash": imagehash.phash(small),
        "phash256": imagehash.phash(small, hash_size=16, highfreq_factor=2),
        "phash_flip": imagehash.phash(ImageOps.mirror(small)),
    }
    for name, value in theirs.items():
        assert figures[name] == np.packbits(value.hash).tobytes(), name


def test_the_hash_of_the_pixels_is_of_the_pixels_and_the_size_alone():
    image = picture(0)
    pixels = measure(image)["pixels_hash"]
    assert len(pixels) == 16
    assert measure(image.copy())["pixels_hash"] == pixels
    turned = Image.frombytes("RGB", image.size[::-1], image.tobytes())  # the same bytes in other rows
    assert measure(turned)["pixels_hash"] != pixels
    one = np.asarray(image).copy()
    one[0, 0, 0] ^= 1
    assert measure(Image.fromarray(one))["pixels_hash"] != pixels
    grey = image.convert("L")
    assert measure(grey)["pixels_hash"] == measure(grey.convert("RGB"))["pixels_hash"]


@pytest.mark.parametrize("seed", range(5))
def test_the_hash_of_the_mirrored_image_is_the_flipped_hash(seed):
    image = picture(seed)
    turned = measure(ImageOps.mirror(image))
    assert apart(measure(image)["phash_flip"], turned["phash"]) <= 2
    assert apart(measure(image)["phash"], turned["phash_flip"]) <= 2
    assert apart(measure(image)["phash"], turned["phash"]) > 16


def test_256_bits_stay_close_to_the_default_of_imagehash():
    moved = [
        apart(measure(image)["phash256"], np.packbits(imagehash.phash(image, hash_size=16).hash).tobytes())
        for image in map(picture, range(20))
    ]
    assert max(moved) <= 40
    assert np.mean(moved) <= 20


# --- pairs within a radius ---------------------------------------------------------------------------------


def codes_of(n, n_bytes, seed, spread=3):
    """Random codes, and each again with up to 2 * `spread` bits changed."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (n, n_bytes), dtype=np.uint8)
    changed = codes.copy()
    for _ in range(2 * spread):
        bit = rng.integers(0, 8 * n_bytes, n)
        flips = (rng.random(n) < 0.7) << (bit % 8)
        changed[np.arange(n), bit // 8] ^= flips.astype(np.uint8)
    both = np.concatenate([codes, changed])
    return both[rng.permutation(len(both))]


def brute_force(codes, radius, among=None):
    """(left, right, bits) by comparing all."""
    others = codes if among is None else among
    bits = np.bitwise_count(codes[:, None] ^ others[None]).sum(axis=2, dtype=np.int32)
    near = bits <= radius if among is not None else np.triu(bits <= radius, 1)
    left, right = np.nonzero(near)
    return left, right, bits[left, right]


def same(found, expected):
    return all(np.array_equal(one, two) for one, two in zip(found, expected, strict=True))


@pytest.fixture(params=["compared", "looked up"])
def way(request, monkeypatch):
    """Both ways to search, whatever would be faster."""
    monkeypatch.setattr(hamming, "_pays", lambda *_: request.param == "looked up")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("n_bytes", [8, 32])
@pytest.mark.parametrize("radius", [0, 1, 4, 8, 12, 24])
def test_pairs_equal_brute_force(n_bytes, radius):
    codes = codes_of(150, n_bytes, seed=radius)
    found = near_codes(codes, radius)
    assert same(found, brute_force(codes, radius))
    assert len(found[0]) or radius == 0


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("n_bytes", [8, 32])
@pytest.mark.parametrize("radius", [0, 3, 8, 20])
def test_pairs_with_others_equal_brute_force(n_bytes, radius):
    codes = codes_of(120, n_bytes, seed=1)
    left, right = codes[:90], codes[90:]
    assert same(near_codes(left, radius, right), brute_force(left, radius, right))


@pytest.mark.parametrize("blocks", [3, 4, 5])
@pytest.mark.parametrize("most", [1, 40])
def test_however_codes_are_cut_and_blocks_are_sized(blocks, most, monkeypatch):
    codes = codes_of(100, 8, seed=7)
    monkeypatch.setattr(hamming, "_pays", lambda *_: True)
    monkeypatch.setattr(hamming, "_tables", lambda codes, among, radius: hamming._cuts(64, blocks, radius))
    monkeypatch.setattr(hamming, "MOST_PROPOSED", most)
    assert same(near_codes(codes, 8), brute_force(codes, 8))


@settings(deadline=None)
@given(
    st.lists(st.binary(min_size=2, max_size=2), max_size=30),
    st.integers(0, 9),
)
def test_small_codes_full_of_copies_equal_brute_force(values, radius):
    codes = np.array([list(value) for value in values], np.uint8).reshape(-1, 2)
    for blocks in (hamming._cuts(16, n, radius) for n in (2, 3)):
        found = hamming._sorted([*map(hamming._once, hamming._looked_up(codes, codes, radius, blocks))])
        assert same(found, brute_force(codes, radius))


def test_both_ways_find_the_same_pairs_of_many():
    codes = codes_of(6000, 8, seed=3)
    blocks = hamming._tables(codes, codes, 8)
    looked_up = hamming._sorted([*map(hamming._once, hamming._looked_up(codes, codes, 8, blocks))])
    compared = hamming._sorted([*map(hamming._once, hamming._compared(codes, codes, 8))])
    assert same(looked_up, compared)
    assert len(compared[0]) > 4000


@pytest.mark.parametrize("k", [1, 2, 3])
def test_tuples_are_near_where_each_is_near_the_one_in_its_place(k):
    rng = np.random.default_rng(k)
    kinds = codes_of(6, 8, seed=k)
    codes = kinds[rng.integers(0, len(kinds), (60, k))]
    codes = codes[collapse(codes.reshape(60, -1))[0]]
    bits = np.bitwise_count(codes[:, None] ^ codes[None]).sum(axis=3).max(axis=2)
    left, right = np.nonzero(np.triu(bits <= 8, 1))
    found = near_tuples(codes, 8)
    assert same(found, (left, right, bits[left, right]))
    left, right = np.nonzero(bits[:20] <= 8)
    assert same(near_tuples(codes[:20], 8, codes), (left, right, bits[left, right]))


def test_equal_codes_are_one_group_each():
    codes = np.array([[1, 2], [3, 4], [1, 2], [0, 0], [3, 4]], np.uint8)
    first, group = collapse(codes)
    assert first.tolist() == [0, 1, 3]
    assert group.tolist() == [0, 1, 0, 2, 1]


@pytest.mark.parametrize(("codes", "radius"), [(np.zeros((2, 8)), 1), (np.zeros(8, np.uint8), 1)])
def test_what_is_no_code_is_refused(codes, radius):
    with pytest.raises(ValueError, match="give \\(n, bytes\\) uint8"):
        near_codes(codes, radius)


def test_a_negative_radius_is_refused():
    with pytest.raises(ValueError, match="-1"):
        near_codes(np.zeros((2, 8), np.uint8), -1)


# --- the stage ---------------------------------------------------------------------------------------------


def ingested(folder, images, records, questions=None):
    """A workspace of `images` (name: image) and `records` (lists of names), read and measured."""
    folder.mkdir(exist_ok=True)
    for name, image in images.items():
        image.save(folder / name)
    asked = questions or [f"Question {n}?" for n in range(len(records))]
    rows = [
        {
            "id": str(n),
            "image": names if len(names) != 1 else names[0],
            "conversations": [
                {"from": "human", "value": "<image>\n" * len(names) + asked[n]},
                {"from": "gpt", "value": "An answer."},
            ],
        }
        for n, names in enumerate(records)
    ]
    (folder / "data.json").write_text(json.dumps(rows))
    workspace = Workspace.init(
        folder / "work", {"d": folder / "data.json"}, images=[folder], model="builtin:tiny"
    )
    workspace.ingest()
    return workspace


def look_alikes(workspace, *arguments):
    """Rows of the table, with positions in the pool for uids."""
    pool = workspace.store
    uids = pool.read("checked", ["uid"])["uid"].to_pylist()
    rows = next(iter(LookAlikes(*arguments).run(pool))).batch.to_pylist()
    return [(uids.index(r["left"]), uids.index(r["right"]), r["bits"], r["flipped"]) for r in rows]


def test_samples_look_alike_image_by_image_in_order(tmp_path):
    one, two = picture(1), picture(2)
    images = {
        "one.png": one,
        "two.png": two,
        "one.jpg": jpeg(one.resize((200, 150)), 60),
        "two.jpg": jpeg(two.resize((400, 300)), 70),
        "flip.png": ImageOps.mirror(one),
    }
    records = [
        ["one.png"],
        ["two.png"],
        ["one.jpg"],  # looks like 0
        ["one.png", "two.png"],
        ["one.jpg", "two.jpg"],  # like 3
        ["two.jpg", "one.jpg"],  # the order is another
        ["one.png"],  # the very images of 0: no pair
        ["flip.png"],  # 0 mirrored
        [],
    ]
    workspace = ingested(tmp_path, images, records)
    found = look_alikes(workspace, 8)
    assert [row[:2] for row in found] == [(0, 2), (3, 4)]
    assert all(bits <= 4 and not flipped for _, _, bits, flipped in found)
    wide = look_alikes(workspace, 32, 256)
    assert [row[:2] for row in wide] == [(0, 2), (3, 4)]
    flips = [row[:2] for row in look_alikes(workspace, 8, 64, True) if row[3]]
    assert (0, 7) in flips
    assert [row[:2] for row in look_alikes(workspace, 8, 64, True) if not row[3]] == [(0, 2), (3, 4)]


def test_by_text_only_samples_with_one_text_are_compared(tmp_path):
    images = {"a.png": picture(1)}
    images |= {f"{n}.jpg": jpeg(picture(1).resize((300 - 10 * n, 200)), 80) for n in range(4)}
    shown = [["a.png"], ["0.jpg"], ["1.jpg"], ["2.jpg"], ["3.jpg"], ["a.png"]]
    workspace = ingested(tmp_path, images, shown, ["one", "other", "One!", "third", "other", "third"])
    every = {row[:2] for row in look_alikes(workspace, 8)}
    # The last shows what the first shows, and is no tuple of its own where texts do not count.
    assert every == {(i, j) for i in range(5) for j in range(i + 1, 5)}
    # Case and punctuation do not count.
    assert {row[:2] for row in look_alikes(workspace, 8, 64, False, True)} == {(0, 2), (1, 4), (3, 5)}


def test_a_framed_picture_and_the_middle_of_one_look_like_the_whole(tmp_path):
    whole = picture(1)
    left, top = whole.width // 20, whole.height // 20
    images = {
        "whole.png": whole,
        "framed.png": ImageOps.expand(whole, (0, 60), "black"),
        "cut.png": whole.crop((left, top, whole.width - left, whole.height - top)),
        "other.png": picture(2),
    }
    workspace = ingested(tmp_path, images, [[name] for name in images])
    assert {row[:2] for row in look_alikes(workspace, 8)} == {(0, 1), (0, 2), (1, 2)}


def on_a_ground(seed, side=64):
    """A thing on a plain ground, that is a margin of its own: 64 px, as shapes and icons are."""
    image = Image.new("RGB", (side, side), (90, 140, 200))
    image.paste(picture(seed, side // 2, side // 3), (side // 8, side // 4))
    return image


@pytest.mark.parametrize("frame", [(0, 10), (10, 0), (10, 10)])
@pytest.mark.parametrize("colour", ["black", "white", (120, 36, 44)])
def test_what_a_frame_holds_has_the_hash_of_the_whole_with_its_own_margin(frame, colour):
    for seed in range(4):
        image = on_a_ground(seed)
        framed = measure(jpeg(ImageOps.expand(image, frame, colour), 92))
        assert apart(measure(image)["phash"], framed["phash_unframed"]) <= 4
        assert apart(measure(image)["phash256"], framed["phash256_unframed"]) <= 24


@pytest.mark.parametrize("frame", [(0, 10), (10, 0), (10, 10)])
def test_a_small_thing_on_a_ground_is_found_in_a_frame(tmp_path, frame):
    images = {"thing.png": on_a_ground(1), "other.png": picture(2)}
    images["framed.jpg"] = jpeg(ImageOps.expand(images["thing.png"], frame, "black"), 92)
    workspace = ingested(tmp_path, images, [[name] for name in images])
    assert [row[:2] for row in look_alikes(workspace, 8)] == [(0, 2)]


def test_a_page_that_is_cut_within_its_margin_has_the_hash_of_its_middle():
    page = Image.new("RGB", (400, 300), "white")
    page.paste(picture(3, 360, 280), (30, 12))
    cut = measure(page.crop((20, 15, 380, 285)))
    assert apart(measure(page)["phash_centre"], cut["phash"]) <= 4
    assert apart(measure(page)["phash256_centre"], cut["phash256"]) <= 40


def test_without_a_frame_what_it_holds_is_the_whole():
    for image in (picture(1), on_a_ground(1).crop((10, 18, 64, 64)), Image.new("RGB", (64, 48), "grey")):
        figures = measure(image)
        assert figures["phash_unframed"] == figures["phash"]


def test_of_many_images_with_equal_hashes_each_is_paired_with_the_first_and_the_next(tmp_path):
    images = {}
    for n in range(24):
        image = picture(5)
        image.putpixel((n, 0), (n, 0, 0))  # other bytes, the same hash
        images[f"{n}.png"] = image
    workspace = ingested(tmp_path, images, [[name] for name in images])
    found = {row[:2] for row in look_alikes(workspace, 0)}
    near = {(i, j) for i in range(24) for j in range(i + 1, 24) if i < CROWD or j - i <= CROWD}
    assert found == near


def test_images_that_show_nothing_look_like_nothing(tmp_path):
    def striped(every):
        rows = (np.arange(240) // every % 2 * 200).astype(np.uint8)
        return Image.fromarray(np.repeat(rows[:, None], 320, axis=1)).convert("RGB")

    images = {
        "white.png": Image.new("RGB", (320, 240), "white"),
        "grey.png": Image.new("RGB", (300, 240), (120, 120, 120)),
        "noise.png": Image.fromarray(
            np.random.default_rng(0).integers(250, 253, (240, 320, 3), dtype=np.uint8)
        ),
        "wide.png": striped(60),
        "narrow.png": striped(48),
    }
    workspace = ingested(tmp_path, images, [[name] for name in images])
    assert look_alikes(workspace, 24) == []


def test_an_unreadable_sample_is_no_look_alike(tmp_path):
    workspace = ingested(
        tmp_path, {"a.png": picture(1), "b.jpg": jpeg(picture(1), 80)}, [["a.png"], ["b.jpg"], ["none.png"]]
    )
    assert [row[:2] for row in look_alikes(workspace, 8)] == [(0, 1)]


# --- real images -------------------------------------------------------------------------------------------


def test_real_images_keep_their_hashes_when_they_are_scaled_recompressed_and_brightened(shared):
    names = sorted((shared / "mixture" / "images").glob("*/*.*"))
    chosen = random.Random(0).sample(names, 120)
    images = [to_rgb(Image.open(name)) for name in chosen]
    changes = {
        "half": lambda image: image.resize((max(8, image.width // 2), max(8, image.height // 2))),
        "jpeg": lambda image: jpeg(image, 40),
        "bright": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    }
    before = [measure(image) for image in images]
    for name, change in changes.items():
        after = [measure(change(image)) for image in images]
        moved = {
            hash_: [apart(a[hash_], b[hash_]) for a, b in zip(before, after, strict=True)]
            for hash_ in ("phash", "phash256", "phash_flip")
        }
        within = {hash_: np.mean(np.array(bits) <= 8) for hash_, bits in moved.items() if hash_ != "phash256"}
        assert min(within.values()) >= 0.95, (name, within)
        assert np.mean(np.array(moved["phash256"]) <= 32) >= 0.93, name
    strangers = [apart(one["phash"], two["phash"]) for one, two in pairwise(before)]
    assert np.mean(np.array(strangers) <= 8) <= 0.05
