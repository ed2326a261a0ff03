"""The built-in VLM: its weights, what it is trained on, how it is trained, how it is measured."""

from __future__ import annotations

import json
import random
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from curation.generate import KINDS
from curation.models import vlm
from curation.models.spec import VLM as SHIPPED
from schemas.errors import ModelUnavailable
from training import rows as packed
from training import vlm_evaluation as evaluation
from training.questions import FACTS, SIMPLE, SKILLS, TRAINED, Question, Seen, drawn, rich, text_item
from training.vlm import Settings, answer_loss, image_tokens, new_model, processor_for, train

if TYPE_CHECKING:
    from typing import Any

    from tokenizers import Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(SHIPPED / "tokenizer.json"))


@pytest.fixture(scope="module")
def builtin() -> tuple[Any, Any]:
    return vlm.load_vlm("builtin")


def test_the_weights_load_through_the_auto_classes_without_a_network(monkeypatch):
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = AutoModelForImageTextToText.from_pretrained(SHIPPED)
    processor = AutoProcessor.from_pretrained(SHIPPED)
    assert type(model).__name__ == "LlavaForConditionalGeneration"
    assert type(processor).__name__ == "LlavaProcessor"
    assert sum(parameter.numel() for parameter in model.parameters()) <= 9e6
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float16}
    assert (SHIPPED / "model.safetensors").stat().st_size <= 18e6


def test_weights_that_do_not_match_their_checksum_are_refused(tmp_path, monkeypatch):
    copy = tmp_path / "vlm"
    shutil.copytree(SHIPPED, copy)
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "model.safetensors").write_bytes(content)
    monkeypatch.setattr("curation.models.vlm.VLM", copy)
    with pytest.raises(ModelUnavailable, match="damaged"):
        vlm.load_vlm("builtin")


@pytest.mark.parametrize("name", ["no-such-model", "./absent/folder"])
def test_a_model_that_is_nowhere_is_named_in_a_sentence(name):
    with pytest.raises(ModelUnavailable, match="builtin"):
        vlm.load_vlm(name)


def test_a_folder_without_a_model_is_named_in_a_sentence(tmp_path):
    with pytest.raises(ModelUnavailable, match="did not load"):
        vlm.load_vlm(str(tmp_path))


@pytest.mark.slow
def test_it_sees_colours_and_reads_nothing_from_pictures_that_are_not_there(builtin):
    model, processor = builtin
    asked = evaluation.held_out_questions("colour", 24, seed=7)
    questions = [one.question for one in asked]
    seen = evaluation.accuracy(evaluation.answers_of(model, processor, asked, pictured=True), questions)
    blind = evaluation.accuracy(evaluation.answers_of(model, processor, asked, pictured=False), questions)
    assert seen >= 0.7
    assert blind <= 0.4


def test_text_questions_are_answered_with_any_picture_and_with_none(builtin):
    model, processor = builtin
    asked = evaluation.held_out_questions("text", 24, seed=7)
    questions = [one.question for one in asked]
    for pictured in (True, False):
        answers = evaluation.answers_of(model, processor, asked, pictured=pictured)
        assert evaluation.accuracy(answers, questions) >= 0.6


@pytest.mark.slow
def test_perplexity_tells_picture_questions_from_text_questions(builtin):
    model, processor = builtin
    grounding = {}
    for skill in ("colour", "text"):
        asked = evaluation.held_out_questions(skill, 24, seed=8)
        blind = evaluation.losses_of(model, processor, asked, pictured=False)
        grounding[skill] = blind - evaluation.losses_of(model, processor, asked, pictured=True)
    assert evaluation.auc(grounding["colour"].tolist(), grounding["text"].tolist()) >= 0.9


def test_any_text_survives_the_tokenizer(tokenizer):
    for text in ("red", "12", "Größe 12,5 €", "two\nlines", "日本", "a  b"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_a_conversation_has_one_mark_a_turn(builtin):
    _, processor = builtin
    said = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "a cat"}]},
        {"role": "user", "content": "Sure?"},
    ]
    text = processor.apply_chat_template(said, add_generation_prompt=True)
    assert text == "<s><user><image>What is this?<assistant>a cat</s><user>Sure?<assistant>"


@pytest.mark.slow
@pytest.mark.parametrize("pictured", [True, False])
def test_packed_questions_see_what_they_would_see_alone(tokenizer, monkeypatch, pictured):
    import contextlib

    import torch

    torch.manual_seed(0)
    model, encoder = new_model().eval(), packed.Encoder(tokenizer)
    monkeypatch.setattr(torch, "autocast", lambda *_: contextlib.nullcontext())
    item = SIMPLE["one_shape"](random.Random(1))
    assert item.image is not None
    asked = [evaluation.Asked(item.image, question, "one_shape") for question in item.questions]
    alone = evaluation.losses_of(model, processor_for(tokenizer), asked, pictured=pictured)
    shown = packed.pixels(item.image) if pictured else None
    branches = [((question.asked, question.answer),) for question in item.questions]
    for i, expected in enumerate(alone):
        batch = packed.pack(encoder, 128, [packed.Row(shown, branches)])
        batch.weights[batch.branches != i + 1] = 0
        with torch.inference_mode():
            found = answer_loss(model, batch, image_tokens(model, batch, "cpu"), "cpu")
        assert found.item() == pytest.approx(expected, abs=1e-3)


def test_patches_have_the_facts_of_what_lies_in_them():
    facts = packed.facts_of([Seen(0.9, 0.1, 0.05, 0.05, {"colour": "red", "count": "4"})])
    assert np.flatnonzero(facts[:, 0] == 1).tolist() == [5]
    names = ["thing", *FACTS]
    known = {names[i]: int(value) for i, value in enumerate(facts[5]) if value != packed.UNKNOWN}
    assert known == {"thing": 1, "colour": FACTS["colour"].index("red"), "count": 3}
    assert facts[0].tolist() == [0] + [packed.UNKNOWN] * len(FACTS)
    assert (packed.facts_of(()) == packed.UNKNOWN).all()


def test_a_branch_that_does_not_fit_is_left_out_and_a_first_one_is_cut(tokenizer):
    encoder = packed.Encoder(tokenizer)
    long, short = (("one two three four five six seven", "eight"),), (("a", "b"),)
    kept = packed.pack(encoder, 9, [packed.Row(None, [short, long])])
    assert kept.branches.max() == 1
    cut = packed.pack(encoder, 9, [packed.Row(None, [long, short])])
    assert (cut.branches == 1).sum() == 7


@pytest.mark.parametrize("kind", [*TRAINED, *(kind for kind in KINDS if kind != "arithmetic")])
def test_equal_seeds_ask_the_same_of_the_same_picture(kind):
    make = TRAINED.get(kind) or (lambda rng: rich(kind, rng))
    first, second = make(random.Random(3)), make(random.Random(3))
    assert first.image is not None
    assert second.image is not None
    assert first.image.tobytes() == second.image.tobytes()
    assert first.questions == second.questions
    assert {question.skill for question in first.questions} <= set(SKILLS)
    assert "text" not in {question.skill for question in first.questions}


def test_the_share_of_simple_pictures_is_what_was_asked_for():
    sources = [drawn(f"share/{i}", 0.75).source for i in range(200)]
    assert 0.65 <= np.mean([source in TRAINED for source in sources]) <= 0.85
    assert text_item(random.Random(0)).skill == "text"


@pytest.mark.slow
def test_training_runs_and_goes_on_where_it_stopped(tmp_path):
    shutil.copy(SHIPPED / "tokenizer.json", tmp_path / "tokenizer.json")
    for steps in (2, 3):
        train(Settings(tmp_path, minutes=60, rows=8, width=64, steps=steps))
        assert json.loads((tmp_path / "training.json").read_text())["steps"] == steps
    model, processor = vlm.load_vlm(str(tmp_path))
    asked = evaluation.held_out_questions("shape", 2, seed=0)
    assert np.isfinite(evaluation.losses_of(model, processor, asked, pictured=True)).all()


def test_numbers_and_case_do_not_make_an_answer_wrong():
    questions = [Question("?", answer, "count") for answer in ("three", "0", "Red", "left")]
    assert evaluation.accuracy(["3", "none", "red.", "right"], questions) == 0.75


def test_auc_counts_ties_half():
    assert evaluation.auc([2.0, 3.0], [0.0, 1.0]) == 1.0
    assert evaluation.auc([1.0], [1.0]) == 0.5
    assert evaluation.auc([0.0, 2.0], [1.0]) == 0.5


def test_a_pattern_forgets_what_the_question_mentions():
    assert evaluation.pattern_of("Is the red star above the 12 fish?") == "Is the _ _ above the _ _?"


def test_chance_is_the_usual_answer_to_a_pattern():
    others = [Question(f"Is the {colour} star large?", "yes", "other") for colour in ("red", "blue", "green")]
    others += [Question("How many?", answer, "count") for answer in ("two", "2", "3")]
    asked = [Question("Is the pink star large?", "yes", "other"), Question("How many?", "3", "count")]
    assert evaluation.chance(asked, others) == 0.5
    assert evaluation.chance([Question("Never asked?", "yes", "other")], others) == 1.0


def test_held_out_questions_are_half_simple_and_fit_their_skill():
    for skill in ("position", "count"):
        asked = evaluation.held_out_questions(skill, 10, seed=0)
        assert [one.simple for one in asked] == [True] * 5 + [False] * 5
        assert {one.question.skill for one in asked} == {skill}
