"""Scorers: figures of images and text, heads, alignment. The contract of all has a file of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from scorers.alignment import NEAREST, Alignment, Bank, alignment, mismatch_statistics, standardise
from scorers.head import Head, linear
from scorers.hygiene import Hygiene, count_tokens, count_words, languages, text_figures
from scorers.image_figures import measure


def picture(width=320, height=240, seed=0):
    """Smooth shapes with some texture."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    noise = rng.integers(-20, 20, (height, width, 3))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


def bits_apart(one, two):
    return (int.from_bytes(one, "big") ^ int.from_bytes(two, "big")).bit_count()


def test_figures_of_an_image_lie_in_their_ranges():
    figures = measure(picture())
    assert (figures["width"], figures["height"]) == (320, 240)
    assert 0 < figures["brightness"] < 1
    assert 0 < figures["contrast"] <= 0.5
    assert 0 < figures["entropy"] <= 8
    assert figures["blur"] > 0
    assert len(figures["phash"]) == 8


@pytest.mark.parametrize(("tone", "brightness"), [(0, 0.0), (255, 1.0), (51, 0.2)])
def test_a_flat_image_has_no_contrast_no_detail_and_no_entropy(tone, brightness):
    figures = measure(Image.new("RGB", (300, 200), (tone,) * 3))
    assert figures["brightness"] == pytest.approx(brightness)
    assert figures["contrast"] == pytest.approx(0, abs=1e-9)
    assert figures["blur"] == 0
    assert str(figures["entropy"]) == "0.0"


def test_half_black_half_white_has_the_most_contrast_and_one_bit():
    image = Image.new("RGB", (100, 100))
    image.paste((255, 255, 255), (0, 0, 50, 100))
    figures = measure(image)
    assert figures["contrast"] == 0.5
    assert figures["entropy"] == 1.0


def test_the_variance_of_the_laplacian_is_that_of_its_definition():
    image = picture(60, 40)
    grey = np.asarray(image.convert("L")).astype(float)
    laplacian = [
        grey[y - 1, x] + grey[y + 1, x] + grey[y, x - 1] + grey[y, x + 1] - 4 * grey[y, x]
        for y in range(1, 39)
        for x in range(1, 59)
    ]
    assert measure(image)["blur"] == pytest.approx(np.var(laplacian))


def test_sharpness_does_not_depend_on_contrast_and_says_nothing_of_a_flat_image():
    image = picture(224, 200)
    pale = Image.eval(image, lambda level: 96 + level // 4)
    assert measure(pale)["blur"] < 0.1 * measure(image)["blur"]
    assert measure(pale)["sharpness"] == pytest.approx(measure(image)["sharpness"], rel=0.1)
    assert measure(Image.new("RGB", (64, 64), "grey"))["sharpness"] is None


def test_edges_are_the_strongest_of_the_laplacian():
    image = Image.new("L", (100, 100), 0)
    image.paste(255, (0, 0, 50, 100))
    figures = measure(image)
    assert figures["edges"] == 255
    assert measure(image.filter(ImageFilter.GaussianBlur(8)))["edges"] < 10


def test_grey_pixels_are_counted_and_a_grey_photograph_in_jpeg_is_grey(tmp_path):
    half = Image.new("RGB", (100, 100), (80, 80, 80))
    half.paste((200, 40, 40), (0, 0, 50, 100))
    assert measure(half)["grey_share"] == pytest.approx(0.5, abs=0.02)
    assert measure(picture().convert("L"))["grey_share"] == 1
    picture().convert("L").convert("RGB").save(tmp_path / "grey.jpg", quality=60)
    assert measure(Image.open(tmp_path / "grey.jpg"))["grey_share"] == 1
    assert measure(picture())["grey_share"] < 0.5


@pytest.mark.parametrize(("tone", "other"), [(0, 255), (255, 255), (30, 200)])
def test_borders_are_measured_on_every_side(tone, other):
    framed = Image.new("RGB", (200, 200), (tone,) * 3)
    framed.paste((other,) * 3, (0, 170, 200, 200))
    framed.paste(picture(160, 140), (20, 30))
    assert measure(framed)["border"] == pytest.approx(1 - 0.8 * 0.7, abs=0.03)
    assert measure(picture())["border"] == 0
    assert measure(Image.new("RGB", (50, 60), "white"))["border"] == 1


def test_a_blurred_image_is_less_sharp_at_every_size():
    for size in ((224, 224), (448, 300), (1500, 900)):
        image = picture(*size)
        assert measure(image.filter(ImageFilter.GaussianBlur(4)))["blur"] < 0.5 * measure(image)["blur"]


def test_the_hash_is_that_of_imagehash_up_to_two_bits_and_survives_scaling():
    import imagehash

    for seed, size in enumerate([(64, 64), (128, 90), (448, 448), (900, 400), (1600, 1200)]):
        image = picture(*size, seed=seed)
        theirs = np.packbits(imagehash.phash(image).hash).tobytes()
        assert bits_apart(measure(image)["phash"], theirs) <= 2
    image = picture(448, 448)
    assert bits_apart(measure(image)["phash"], measure(image.resize((300, 300)))["phash"]) <= 4
    assert bits_apart(measure(image)["phash"], measure(picture(seed=9))["phash"]) > 10


@pytest.mark.parametrize("size", [(1, 1), (2, 500), (5000, 2), (3, 3), (225, 224)])
def test_odd_sizes_are_measured(size):
    figures = measure(Image.new("RGB", size, "grey"))
    assert figures["blur"] == 0
    assert np.isfinite([figures["brightness"], figures["entropy"]]).all()


def test_equal_pixels_give_equal_figures():
    assert measure(picture()) == measure(picture())


def test_an_image_that_was_not_converted_is_refused():
    with pytest.raises(ValueError, match="mode RGBA"):
        measure(Image.new("RGBA", (4, 4)))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a cat", 2),
        ("internationalisation", 3),
        ("Hello, world!", 4),
        ("12345", 2),
        ("猫が好き", 4),
        ("привет", 2),
        ("<image>\nwhat?", 3),
        ("a\n\n\nb", 3),
        ("naïve café", 2),
    ],
)
def test_tokens_are_estimated_by_the_documented_rule(text, tokens):
    assert count_tokens(text) == tokens


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_longer_text_has_no_fewer_tokens(one, two):
    assert count_tokens(one) <= count_tokens(f"{one} {two}") <= count_tokens(one) + count_tokens(f" {two}")


def test_words_of_scripts_without_spaces_count_by_character():
    assert count_words("two words") == 2
    assert count_words("猫 and 犬") == 3
    assert count_words("<image>") == 0


def test_text_figures_count_questions_and_answers_apart():
    turns = [("system", "be kind"), ("user", "<image>\nWhat is it?"), ("assistant", "A cat.")]
    assert text_figures(turns) == {
        "n_chars": 7 + 11 + 6,
        "n_words": 7,
        "n_turns": 3,
        "n_question_words": 3,
        "n_answer_words": 2,
        "question_tokens": 5,
        "answer_tokens": 3,
    }


def test_languages_are_those_of_questions_and_of_answers_and_null_where_short():
    turns = [
        ("user", "<image>\nWhat is the man on the left holding in his hand?"),
        ("assistant", "Der Mann auf der linken Seite hält einen roten Regenschirm in der Hand."),
    ]
    assert languages(turns) == {"question_language": "en", "answer_language": "de"}
    assert languages([("user", "<image>\nWhat is it?"), ("assistant", "B")]) == {
        "question_language": None,
        "answer_language": None,
    }


@dataclass(frozen=True)
class SampleImages:
    rows: pa.RecordBatch
    offsets: np.ndarray
    images: pa.Table


def samples():
    """Two images; none; one that could not be measured; one of two that could."""
    turns = [[{"role": "user", "text": "q"}, {"role": "assistant", "text": "a b"}], [], None, []]
    kind = pa.list_(pa.struct([("role", pa.string()), ("text", pa.string())]))
    images = pa.table(
        {
            "width": pa.array([100, 50, None, None, 30], pa.int32()),
            "height": pa.array([10, 200, None, None, 30], pa.int32()),
            "brightness": pa.array([0.25, 0.75, None, None, 0.5], pa.float32()),
            "contrast": pa.array([0.1, 0.2, None, None, 0.3], pa.float32()),
            "blur": pa.array([5.0, 4.0, None, None, 3.0], pa.float32()),
            "entropy": pa.array([1.0, 2.0, None, None, 3.0], pa.float32()),
            "sharpness": pa.array([0.5, 0.04, None, None, 0.2], pa.float32()),
            "edges": pa.array([90.0, 8.0, None, None, 40.0], pa.float32()),
            "grey_share": pa.array([1.0, 0.4, None, None, 1.0], pa.float32()),
            "border": pa.array([0.0, 0.3, None, None, 0.1], pa.float32()),
            "generator": pa.array(["DALL-E", None, None, None, None]),
            "generator_mark": pa.array(["exif:Software", None, None, None, None]),
        }
    )
    return SampleImages(
        pa.record_batch([pa.array(turns, kind)], ["turns"]), np.array([0, 2, 2, 3, 5]), images
    )


def test_hygiene_takes_the_worst_over_the_measured_images_and_null_without():
    scores = Hygiene().score(samples())
    assert scores.schema.equals(Hygiene.writes, check_metadata=True)
    assert scores["n_answer_words"].to_pylist() == [2, 0, 0, 0]
    assert scores["min_side"].to_pylist() == [10, None, None, 30]
    assert scores["max_aspect_ratio"].to_pylist() == [10.0, None, None, 1.0]
    assert scores["mean_brightness"].to_pylist() == [0.5, None, None, 0.5]
    assert scores["min_blur"].to_pylist() == [4.0, None, None, 3.0]
    assert scores["min_entropy"].to_pylist() == [1.0, None, None, 3.0]
    assert scores["min_edges"].to_pylist() == [8.0, None, None, 40.0]
    assert scores["max_border"].to_pylist() == pytest.approx([0.3, None, None, 0.1])
    assert scores["greyscale"].to_pylist() == [False, None, None, True]


def test_hygiene_of_samples_without_any_image_is_null():
    whole = samples()
    scores = Hygiene().score(SampleImages(whole.rows, np.zeros(5, np.int64), whole.images.slice(0, 0)))
    assert scores["min_blur"].null_count == scores["mean_brightness"].null_count == 4


@dataclass(frozen=True)
class Ragged:
    vectors: np.ndarray
    offsets: np.ndarray


def test_a_head_is_weight_times_vector_plus_bias_averaged_over_a_sample():
    rows = unit_rows(3, 4)
    weight, bias = unit_rows(2, 4, seed=1), np.array([0.5, -1], np.float32)
    scores = Head(("one", "two"), weight, bias).score(Ragged(rows, np.array([0, 1, 1, 3])))
    expected = rows.astype(float) @ weight.astype(float).T + bias
    assert scores["one"].to_pylist() == pytest.approx([expected[0, 0], None, expected[1:, 0].mean()])
    assert scores["two"].to_pylist() == pytest.approx([expected[0, 1], None, expected[1:, 1].mean()])


def test_the_bits_of_a_head_do_not_depend_on_the_batch():
    rows, weight = unit_rows(1000, 512), unit_rows(3, 512, seed=1)
    bias = np.zeros(3, np.float32)
    assert (linear(rows, weight, bias)[777] == linear(rows[777:778], weight, bias)[0]).all()


def unit_rows(n, d=16, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def by_definition(images, texts):
    if not len(images) or not len(texts):
        return np.nan
    return (texts.astype(float) @ images.astype(float).T).max(axis=1).mean()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=12))
def test_alignment_is_the_mean_over_chunks_of_the_maximum_over_images(counts):
    image_offsets = np.cumsum([0, *(i for i, _ in counts)])
    text_offsets = np.cumsum([0, *(t for _, t in counts)])
    images, texts = unit_rows(image_offsets[-1]), unit_rows(text_offsets[-1], seed=1)
    got = alignment(images, image_offsets, texts, text_offsets)
    expected = [
        by_definition(images[a:b], texts[c:d])
        for a, b, c, d in zip(image_offsets, image_offsets[1:], text_offsets, text_offsets[1:], strict=False)
    ]
    np.testing.assert_allclose(got, np.array(expected, np.float32), atol=1e-6)


def test_the_bits_of_an_alignment_do_not_depend_on_the_batch():
    images, texts, offsets = unit_rows(5000, 512), unit_rows(5000, 512, 1), np.arange(5001)
    whole = alignment(images, offsets, texts, offsets)
    alone = alignment(images[4321:4322], np.array([0, 1]), texts[4321:4322], np.array([0, 1]))
    assert whole[4321] == alone[0]


def test_a_row_without_a_vector_is_left_out_of_an_alignment():
    images = np.vstack([unit_rows(1), np.zeros((1, 16), np.float32)])
    texts = -images[:1]
    got = alignment(images, np.array([0, 2, 2]), np.vstack([texts, texts]), np.array([0, 1, 2]))
    assert got[0] == pytest.approx(-1)
    assert np.isnan(got[1])


def nearest_of_others(row, others, allowed):
    cosines = [float(row.astype(float) @ others[j].astype(float)) for j in allowed]
    return np.mean(sorted(cosines)[-NEAREST:])


def test_mismatched_pairs_are_never_true_ones():
    images, texts = unit_rows(4), unit_rows(4)  # every true pair has cosine 1
    images[2], texts[3] = images[0], texts[1]  # one image shared by 0 and 2, one text by 1 and 3
    others = {0: (1, 3), 1: (0, 2), 2: (1, 3), 3: (0, 2)}
    near_image = [nearest_of_others(images[i], texts, others[i]) for i in range(4)]
    near_text = [nearest_of_others(texts[i], images, others[i]) for i in range(4)]
    contrasts = [
        2 * float(images[i].astype(float) @ texts[j].astype(float)) - near_image[i] - near_text[j]
        for i in range(4)
        for j in others[i]
    ]
    mean, deviation = mismatch_statistics(Bank(images, texts))
    assert mean == pytest.approx(np.mean(contrasts), abs=2e-3)
    assert deviation == pytest.approx(np.std(contrasts), abs=2e-3)


def test_an_image_is_held_against_the_nearest_texts_of_others():
    bank, images, texts = (
        Bank(unit_rows(50), unit_rows(50, seed=1)),
        unit_rows(3, seed=2),
        unit_rows(3, seed=3),
    )
    images[1], texts[2] = bank.images[7], bank.texts[8]
    left_out = [{-1}, {7}, {8}]
    expected = [
        nearest_of_others(images[i], bank.texts, set(range(50)) - left_out[i])
        + nearest_of_others(texts[i], bank.images, set(range(50)) - left_out[i])
        for i in range(3)
    ]
    near = bank.nearness(images, texts)
    np.testing.assert_allclose(near, expected, atol=2e-3)
    assert near[1] == bank.nearness(images[1:2], texts[1:2])[0]


def test_a_text_that_is_near_every_image_says_less():
    images = unit_rows(40, 64)
    own, vague = images + 0.3 * unit_rows(40, 64, seed=1), images.sum(axis=0)
    texts = np.vstack([own[:39], vague])
    texts = (texts / np.linalg.norm(texts, axis=1, keepdims=True)).astype(np.float32)
    bank = Bank(images, texts)
    mean, deviation = mismatch_statistics(bank)
    cosine = np.einsum("ij,ij->i", images, texts)
    batch = pa.record_batch({"cosine": cosine, "nearness": bank.nearness(images, texts)})
    scores = Alignment(mean, deviation).score(batch)["alignment"].to_numpy()
    assert cosine[39] > 0.1
    assert scores[39] < scores[:39].min()


def test_a_pool_without_mismatched_pairs_has_no_standard_score():
    same = np.repeat(unit_rows(1), 5, axis=0)
    for few in (same, same[:1], same[:0]):
        assert mismatch_statistics(Bank(few, few)) == (0.0, 0.0)
        assert np.isnan(Bank(few, few).nearness(same, same)).all()
    assert np.isnan(standardise(np.array([0.5]), 0.0, 0.0)).all()


def test_alignment_is_standardised_and_null_where_there_is_no_cosine():
    batch = pa.record_batch(
        {
            "cosine": pa.array([0.25, None, 0.0, 0.5], pa.float32()),
            "nearness": pa.array([0.25, 0.5, 0.0, None]),
        }
    )
    scores = Alignment(mean=0.0, deviation=0.125).score(batch)
    assert scores["alignment"].to_pylist() == [2.0, None, 0.0, None]
    assert scores["alignment_cosine"].to_pylist() == [0.25, None, 0.0, 0.5]
    assert Alignment(0.0, 0.0).score(batch)["alignment"].null_count == 4
