"""The heads of the built-in model: texts on classes, and a training that is too small to know anything."""

import numpy as np
import pytest
import torch

from training import heads
from training.classes import article, class_texts
from training.heads import Batches, Classes, Features, Recipe, contrast, fit, ranking, structure

SMALL = Recipe(steps=30, pairs=48, classes=16, noise=0.0)


@pytest.fixture(scope="module")
def made() -> tuple[Features, Classes]:
    """Pictures and texts that come from the same 8 numbers each."""
    rng = torch.Generator().manual_seed(0)
    hidden = torch.randn(120, 8, generator=rng)
    to_image, to_text = (torch.randn(8, n, generator=rng) for n in (heads.IMAGE_WIDTH, heads.TEXT_WIDTH))
    images = hidden @ to_image
    sources = np.array(["openstax"] * 60 + ["sroie"] * 60)
    given = Features(images, images, hidden @ to_text, tuple((i,) for i in range(120)), sources)
    shown = torch.arange(40).repeat(2, 1).T
    classes = Classes(
        torch.randn(1000, heads.IMAGE_WIDTH, generator=rng), torch.randn(40, heads.TEXT_WIDTH, generator=rng),
        shown, torch.eye(1000)[:40],
    )  # fmt: skip
    return given, classes


def test_training_brings_pairs_together_and_repeats_bit_for_bit(made):
    given, classes = made
    first, second = (fit(given, classes, SMALL) for _ in range(2))
    seen, read = (found.detach() for found in first(given.images, given.texts))
    similarity = seen @ read.T
    assert (similarity.argmax(dim=1) == torch.arange(120)).float().mean() > 0.8
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_folded_heads_give_the_same_vectors_from_plain_features(made):
    given, classes = made
    trained = fit(given, classes, SMALL)
    weights = trained.folded()
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == heads.SHAPES
    seen = given.images @ weights["visual.head.proj.weight"].T + weights["visual.head.proj.bias"]
    read = given.texts @ weights["text.proj.weight"].T
    for plain, own in zip((seen, read), trained(given.images, given.texts), strict=True):
        assert torch.allclose(torch.nn.functional.normalize(plain, dim=-1), own.detach(), atol=1e-4)


def test_a_batch_never_holds_a_true_text_against_a_picture(made):
    given, classes = made
    batch = Batches(given, classes, SMALL, np.random.default_rng(0)).next()
    n = len(batch.images)
    assert batch.alike.shape == (n, n)
    assert not batch.alike.diagonal().any()
    assert (batch.sources == "a class").sum() == SMALL.classes
    same = (batch.texts[:, None] == batch.texts[None]).all(-1).fill_diagonal_(False)
    assert (batch.alike | ~same).all()


def test_losses_know_the_right_order():
    right, wrong = torch.eye(8) * 5, torch.roll(torch.eye(8) * 5, 1, dims=1)
    none = torch.zeros(8, 8, dtype=torch.bool)
    one = np.full(8, "one")
    assert contrast(right, none) < contrast(wrong, none)
    assert ranking(right, none, one) < ranking(wrong, none, one)
    # What may be a pair as well is no opponent.
    assert contrast(wrong, wrong > 0) < contrast(wrong, none)
    # A source of few pairs is not ranked.
    assert ranking(right, none, np.arange(8).astype(str)) == 0


def test_structure_is_nothing_for_equal_neighbourhoods_and_at_most_log_2():
    rng = torch.Generator().manual_seed(0)
    rows = torch.randn(40, 16, generator=rng)
    turned = rows @ torch.linalg.qr(torch.randn(16, 16, generator=rng))[0]
    assert structure(rows, turned, 0.5) < 1e-5
    assert 0.02 < structure(rows, torch.randn(40, 16, generator=rng), 0.5) <= np.log(2)


# --- texts on classes --------------------------------------------------------------------------------------


def test_texts_on_classes_are_true_of_what_they_show_and_repeat():
    texts = class_texts(300, seed=1)
    assert texts == class_texts(300, seed=1)
    assert texts != class_texts(300, seed=2)
    assert sum(len(text.classes) == 2 for text in texts) >= 290  # a pair may be of one class twice
    assert {number for text in texts for number in text.classes} == set(range(1000))
    assert all(set(text.classes) <= text.true_of for text in texts)


def test_everyday_words_are_true_of_every_class_they_stand_for():
    dogs = [text for text in class_texts(0, seed=0) if text.text == "a photo of a dog"]
    assert dogs
    assert all(
        {151, 207, 268} <= text.true_of for text in dogs
    )  # Chihuahua, golden retriever, Mexican hairless
    assert not any(281 in text.true_of for text in dogs)  # tabby


def test_names_get_the_article_that_english_has():
    named = [article(name) for name in ("owl", "dog", "Chihuahua", "snow")]
    assert named == ["an owl", "a dog", "Chihuahua", "snow"]
