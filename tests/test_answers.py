"""`answer_agreement`, and `balanced`, which chooses by it."""

import dataclasses
import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image
from threadpoolctl import threadpool_limits

from curation.selectors import selector
from curation.selectors.decision import decide
from curation.steps.score.answers import pairs_of
from curation.workspace import Workspace
from scorers.answers import (
    FOLDS,
    Pairs,
    agreement,
    asked_and_told,
    fitted,
    text_vectors,
    told_apart,
)
from tests.test_selection import table

COLOURS = ("red", "green", "blue", "yellow", "black", "white")


def shown(n=600, *, noise=0.1, seed=0):
    """Pictures of six colours, the question what colour it is, and every tenth answer wrong."""
    rng = np.random.default_rng(seed)
    colour = rng.integers(0, 6, n)
    images = np.eye(6, 32, dtype=np.float32)[colour] + rng.normal(0, noise, (n, 32)).astype(np.float32)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    wrong = np.arange(n) % 10 == 0
    said = np.where(wrong, (colour + rng.integers(1, 6, n)) % 6, colour)
    answers = text_vectors([f"It is {COLOURS[each]}." for each in said])
    asked = text_vectors(["What colour is it?"] * n)
    return Pairs(images, np.arange(n), asked, answers, rng.integers(0, FOLDS, n)), wrong


def test_a_wrong_answer_agrees_less_with_what_the_others_teach():
    pairs, wrong = shown()
    ridges = fitted(pairs)
    told = ridges.told(pairs.answers)
    expected = ridges.expected(pairs.seen(np.arange(len(wrong))), pairs.fold)
    score = agreement(expected, told, told[:64])
    assert np.quantile(score[~wrong], 0.02) > np.quantile(score[wrong], 0.98)
    auc, error = told_apart(expected[~wrong], told[~wrong], told[:64])
    assert auc > 0.85  # a sixth of the other answers are the same
    assert 0 < error < 0.02


def test_a_fold_learns_nothing_of_itself():
    pairs, _ = shown()
    mine = np.flatnonzero(pairs.fold == 2)
    shuffled = pairs.answers.copy()
    shuffled[mine] = shuffled[mine[::-1]]  # the mean answer stays
    before, after = fitted(pairs), fitted(dataclasses.replace(pairs, answers=shuffled))
    assert np.array_equal(before.weights[2], after.weights[2])
    assert not np.array_equal(before.weights[1], after.weights[1])


def test_the_ridges_are_the_same_on_any_number_of_threads():
    pairs, _ = shown(900)
    with threadpool_limits(1):
        alone = fitted(pairs)
    assert np.array_equal(alone.weights, fitted(pairs).weights)


def test_words_make_a_text_whatever_their_order_and_script():
    one, other, greek, none = text_vectors(["A red dot.", "dot red a .", "κόκκινη κουκκίδα", " "])
    assert np.array_equal(one, other)
    assert np.linalg.norm(greek) == pytest.approx(1, abs=0.01)
    assert abs(one @ greek) < 0.2
    assert not none.any()


def test_a_question_is_the_last_turn_of_a_user_and_answers_without_words_are_none():
    turns = [
        ("system", "x"),
        ("assistant", "Hello"),
        ("user", "<image>\nWhat?"),
        ("assistant", " "),
        ("assistant", "A dot"),
    ]
    assert list(asked_and_told(turns)) == [("", "Hello"), ("What?", "A dot")]


def test_samples_of_one_picture_are_in_one_fold_and_quarantined_ones_have_no_pair():
    turns = [[{"role": "user", "text": f"q{n}"}, {"role": "assistant", "text": f"a{n}"}] for n in range(6)]
    columns = {
        "turns": pa.array(turns),
        "error": pa.array([None, None, "bad", None, None, None]),
        "images_hash": pa.array([b"\x03picture", b"\x03picture", b"\x03picture", b"\x04other", None, None]),
        "text_hash": pa.array([bytes([n]) for n in range(6)]),
        "source": pa.array(["vqa", "vqa", "vqa", None, "vqa", "vqa"]),
        "image": pa.array([[1.0, 0.0]] * 4 + [None] * 2, pa.list_(pa.float32(), 2)),
    }
    pairs, sources = pairs_of(columns)
    assert pairs.owner.tolist() == [0, 1, 3, 4, 5]
    assert pairs.fold.tolist() == [3, 3, 4, 4, 0]
    assert sources.tolist() == ["vqa", "vqa", "", "vqa", "vqa"]


def test_where_answers_follow_from_nothing_samples_have_no_value(tmp_path):
    """Of two sources one can be learned; in the other each answer is drawn."""
    rng = np.random.default_rng(0)
    records = []
    for number in range(240):
        learned = number % 2 == 0
        word = COLOURS[int(rng.integers(0, 6))]
        asked = (
            f"Which word comes after {word} number {number % 7}?"
            if learned
            else f"Say something, {rng.integers(99)}."
        )
        records.append(
            {
                "id": str(number),
                "source": "learned" if learned else "drawn",
                "conversations": [
                    {"from": "human", "value": asked},
                    {
                        "from": "gpt",
                        "value": f"{word if learned else COLOURS[int(rng.integers(0, 6))]} it is",
                    },
                ],
            }
        )
    data = tmp_path / "data.json"
    data.write_text(json.dumps(records))
    ws = Workspace.init(tmp_path / "work", {"mine": data}, model="builtin:tiny")
    ws.score()
    measured = {row["source"]: row for row in ws.store.read("answer_sources").to_pylist()}
    assert measured["learned"]["decides"]
    assert measured["learned"]["low"] > 0.5
    assert not measured["drawn"]["decides"]
    found = pl.DataFrame(ws.store.read("answers")).with_columns(
        source=pl.DataFrame(ws.store.read("checked", ["source"]))["source"]
    )
    assert found.filter(pl.col("source") == "drawn")["answer_agreement"].null_count() == 120
    assert found.filter(pl.col("source") == "learned")["answer_agreement"].null_count() == 0


def test_balanced_takes_roots_of_the_sources_and_doubtful_answers_last():
    rows = table(400).with_columns(
        source=pl.Series(["large"] * 256 + ["middle"] * 128 + ["small"] * 16),
        answer_agreement=pl.Series(np.arange(400) % 10, dtype=pl.Float32),
    )
    picks = decide(selector("balanced"), rows, 56, 0).order
    chosen = rows[picks]
    assert dict(chosen["source"].value_counts().iter_rows()) == {"large": 29, "middle": 20, "small": 7}
    assert chosen["answer_agreement"].min() >= 3


def test_balanced_shares_by_clusters_where_there_is_one_source():
    rows = table(400).with_columns(
        source=pl.lit("all"),
        cluster=pl.Series([0] * 324 + [1] * 76, dtype=pl.Int32),
        answer_agreement=pl.lit(None, pl.Float32),
    )
    chosen = rows[decide(selector("balanced"), rows, 40, 0).order]
    assert dict(chosen["cluster"].value_counts().iter_rows()) == {0: 27, 1: 13}


def test_a_pool_of_pictures_alone_has_no_ridges_and_no_values(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (40, 40), (80 * number, 20, 200)).save(folder / f"{number}.png")
    ws = Workspace.init(tmp_path / "work", {"mine": folder}, model="builtin:tiny")
    ws.score()
    assert ws.store.read("answer_sources").num_rows == 0
    assert ws.store.read("answers")["answer_agreement"].null_count == 3
