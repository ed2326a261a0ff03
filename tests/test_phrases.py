"""Phrase grounding: phrases by hand, ranks by hand, regions inside the image."""

import numpy as np
import pytest
from PIL import Image

from curation.steps.score.phrases import regions
from scorers.phrases import BANK, MOST_PHRASES, REGIONS, Grounded, PhraseGrounding, beaten, phrases


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A brown dog is running on the wet grass.", ["brown dog", "running", "wet grass"]),
        ("The dog and the dog.", ["dog"]),
        ("<image>\nYes, 42.", []),
        ("", []),
        ("one two three. It is.", []),
        ("an old-fashioned stop sign's pole", ["old-fashioned stop sign's pole"]),
        ("big bright shiny metallic silver spoon", ["big bright shiny metallic", "silver spoon"]),
    ],
)
def test_phrases_lie_between_stop_words(text: str, expected: list[str]) -> None:
    assert phrases(text) == expected


def test_there_are_only_so_many_phrases() -> None:
    text = " and ".join(f"thing{letter}" for letter in "abcdefghijkl")
    assert len(phrases(text)) == MOST_PHRASES


def test_the_bank_has_distinct_phrases() -> None:
    assert len(set(BANK)) == len(BANK) > 99
    assert all(phrase == phrase.strip() and phrase for phrase in BANK)


def test_ranks_count_ties_half() -> None:
    bank = np.array([0.1, 0.2, 0.2, 0.4])
    assert beaten(np.array([0.0, 0.2, 0.3, 0.9]), bank).tolist() == [0.0, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (640, 480)])
def test_regions_lie_inside(size: tuple[int, int]) -> None:
    found = regions(Image.new("RGB", size))
    assert len(found) == len(REGIONS)
    assert found[0].size == size
    assert all(1 <= part.width <= size[0] and 1 <= part.height <= size[1] for part in found)


def test_the_weakest_phrase_is_named() -> None:
    rows = PhraseGrounding().score(
        [Grounded(("dog", "cat", "tree"), (0.95, 0.2, 0.91)), Grounded(reason="text_only")]
    )
    assert rows.to_pylist() == [
        {
            "n_phrases": 3,
            "phrase_grounding": pytest.approx(2 / 3),
            "weakest_phrase": "cat",
            "weakest_phrase_rank": pytest.approx(0.2),
            "phrase_reason": None,
        },
        {
            "n_phrases": 0,
            "phrase_grounding": None,
            "weakest_phrase": None,
            "weakest_phrase_rank": None,
            "phrase_reason": "text_only",
        },
    ]
