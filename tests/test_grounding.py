"""Scores of a vision-language model equal those of one sample at a time, whatever the batch and model."""

import hashlib
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from curation.models.prompts import Prompts
from curation.models.vision_language import VisionLanguageModel
from curation.steps.ingest.dialogues import AskedSamples, Dialogue
from schemas.columns import ERROR, IMAGE_REFS, TURNS
from schemas.errors import ReadError
from scorers.grounding import (
    NO_ANSWER,
    NO_OTHER,
    NOT_FINITE,
    TEXT_ONLY,
    Answered,
    Grounding,
    TokenFigures,
    token_figures,
)
from tests.tiny_models import tiny

ARCHITECTURES = ("llava", "qwen2_vl")
Turns = list[tuple[str, str]]


def picture(seed: int, width: int = 60, height: int = 45) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))


POOL: list[tuple[Turns, list[Image.Image]]] = [
    ([("user", "<image>\nWhat colour is the circle?"), ("assistant", "It is red.")], [picture(0)]),
    (
        [("user", "How many squares?"), ("assistant", "There are three blue squares, and yes: 7.")],
        [picture(1, 90)],
    ),
    (
        [
            ("user", "<image>\nRead the text."),
            ("assistant", "yes or no"),
            ("user", "Then say the numbers"),
            ("assistant", "0 1 2"),
        ],
        [picture(2)],
    ),
    ([("user", "<image>\n<image>\nIs it red?"), ("assistant", "no")], [picture(3), picture(4, 40, 80)]),
    ([("user", "What is 3 and 4?"), ("assistant", "7")], []),
    ([("system", "Say yes."), ("user", "Is it blue? <image>"), ("assistant", "yes")], [picture(5)]),
]


@lru_cache
def model(architecture: str) -> tuple[Any, Any]:
    return tiny(architecture)


def messages(turns: Turns, n_images: int) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    left = n_images
    for role, text in turns:
        marked = [{"type": "image"}] * text.count("<image>")
        if role == "user" and left and not any("<image>" in said for _, said in turns):
            marked = [{"type": "image"}] * left
        left -= len(marked) if n_images else 0
        said = {"type": "text", "text": text.replace("<image>", "").strip()}
        trailing = text.strip().endswith("<image>")
        parts = [said, *marked] if trailing else [*marked, said]
        out.append({"role": role, "content": parts if n_images else [said]})
    return out


def reference(architecture: str, turns: Turns, images: list[Image.Image]) -> dict[str, float]:
    """One sample in one pass through the model's own forward, its answers found token by token."""
    network, processor = model(architecture)
    told = messages(turns, len(images))

    def tokens(text: str) -> dict[str, Any]:
        return dict(processor(text=[text], images=images or None, return_tensors="pt"))

    nll, el2n, entropy = [], [], []
    whole = processor.apply_chat_template(told, tokenize=False)
    inputs = tokens(whole)
    with torch.inference_mode():
        logs = torch.log_softmax(network(**inputs).logits[0].double(), -1)
    for i, (role, text) in enumerate(turns):
        if role != "assistant":
            continue
        before = processor.apply_chat_template(told[:i], tokenize=False, add_generation_prompt=True)
        used = [message for message in told[:i] for part in message["content"] if part["type"] == "image"]
        given = images[: len(used)] or None
        start = processor(text=[before], images=given, return_tensors="pt")["input_ids"].shape[1]
        joint = before + (" " if architecture == "llava" else "") + text
        end = processor(text=[joint], images=given, return_tensors="pt")["input_ids"].shape[1]
        if not processor.tokenizer.decode(inputs["input_ids"][0, start]).strip():
            start += 1  # a space by itself before the answer is no part of it
        for at in range(start, end):
            row, token = logs[at - 1], inputs["input_ids"][0, at]
            p = row.exp()
            onehot = torch.nn.functional.one_hot(token, len(p))
            nll.append(-row[token].item())
            el2n.append((p - onehot).norm().item())
            entropy.append(-(p * row).sum().item())
    p = np.exp(-np.array(nll))
    return {
        "n_answer_tokens": len(nll),
        "nll": float(np.mean(nll)),
        "perplexity": math.exp(np.mean(nll)),
        "el2n": float(np.mean(el2n)),
        "answer_entropy": float(np.mean(entropy)),
        "tailr_weight": float(np.mean(p / (0.8 + 0.2 * p))),
    }


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("batch", "side"), [(1, "right"), (3, "right"), (8, "right"), (8, "left"), (2, "left")]
)
def test_scores_equal_those_of_one_sample_at_a_time(architecture: str, batch: int, side: Any) -> None:
    vlm = VisionLanguageModel(*model(architecture), batch=batch, padding_side=side)
    asked = [vlm.ask(turns, images) for turns, images in POOL]
    rows = Grounding().score(vlm.answered(asked)).to_pylist()
    for row, (turns, images) in zip(rows, POOL, strict=True):
        expected = reference(architecture, turns, images)
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-4, rel=1e-4)
        if not images:
            assert (row["image_grounding"], row["grounding_reason"]) == (None, TEXT_ONLY)
            continue
        blind = reference(architecture, turns, [])
        assert row["nll_blind"] == pytest.approx(blind["nll"], abs=1e-4)
        assert row["visual_necessity"] == pytest.approx(blind["nll"] - expected["nll"], abs=1e-4)
        assert row["image_grounding"] == pytest.approx(blind["perplexity"] / expected["perplexity"], rel=1e-4)
        assert row["grounding_reason"] is None


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("blind", ["drop", "zero", "noise", "other"])
def test_an_image_that_the_model_ignores_grounds_nothing(architecture: str, blind: Any) -> None:
    network, processor = tiny(architecture)
    for layer in network.model.language_model.layers:  # no token sees another
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
    vlm = VisionLanguageModel(network, processor, blind=blind, batch=3)
    some = [
        (turns, [picture(7 + i + len(turns[0][1])) for i in range(len(images))])
        for turns, images in POOL
        if images
    ]
    asked = [vlm.ask(turns, images) for turns, images in some]
    found = [row["image_grounding"] for row in Grounding().score(vlm.answered(asked)).to_pylist()]
    assert [value for value in found if value is not None]
    for value in found:
        if blind == "zero":
            assert value == 1.0
        elif value is not None:
            assert value == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("blind", ["zero", "noise", "other"])
def test_blind_pixels_are_what_they_are_called(architecture: str, blind: Any) -> None:
    network, processor = model(architecture)
    vlm = VisionLanguageModel(network, processor, blind=blind)
    turns = POOL[0][0]
    asked = [vlm.ask(turns, [picture(seed)]) for seed in (20, 21)]
    nll = [row["nll_blind"] for row in Grounding().score(vlm.answered(asked)).to_pylist()]
    if blind == "other":
        swapped = [vlm.ask(turns, [picture(seed)]) for seed in (21, 20)]
        seen = [row["nll"] for row in Grounding().score(vlm.answered(swapped)).to_pylist()]
        assert nll == pytest.approx(seen, abs=1e-5)
    else:
        assert nll[0] == pytest.approx(nll[1], abs=1e-5)


def test_no_other_image_is_said() -> None:
    vlm = VisionLanguageModel(*model("qwen2_vl"), blind="other")
    alone = [vlm.ask(POOL[0][0], [picture(0)]), vlm.ask(POOL[1][0], [picture(0, 140)])]
    rows = Grounding().score(vlm.answered(alone)).to_pylist()
    assert [row["grounding_reason"] for row in rows] == [NO_OTHER, NO_OTHER]
    assert all(row["nll"] > 0 for row in rows)


def test_the_other_image_is_another_where_many_ask_about_one() -> None:
    vlm = VisionLanguageModel(*model("llava"), blind="other")
    turns = POOL[0][0]

    def nll(column: str, seeds: list[int]) -> list[float | str | None]:
        asked = [vlm.ask(turns, [picture(seed)]) for seed in seeds]
        return [row[column] for row in Grounding().score(vlm.answered(asked)).to_pylist()]

    assert nll("nll_blind", [0, 0, 1, 1, 2]) == pytest.approx(nll("nll", [1, 1, 2, 2, 0]), abs=1e-5)
    assert nll("grounding_reason", [0, 0, 0]) == [NO_OTHER] * 3
    assert nll("visual_necessity", [0, 0, 0]) == [None] * 3


def test_long_samples_are_cut_and_flagged() -> None:
    vlm = VisionLanguageModel(*model("llava"), most=24)
    long = [("user", "<image>\nWhat colour is the circle?"), ("assistant", "It is red. " * 20)]
    row = Grounding().score(vlm.answered([vlm.ask(long, [picture(0)])])).to_pylist()[0]
    assert row["answer_truncated"] is True
    assert 0 < row["n_answer_tokens"] < 24
    assert row["image_grounding"] > 0
    never = [("user", "<image>\n" + "What colour? " * 20), ("assistant", "red")]
    row = Grounding().score(vlm.answered([vlm.ask(never, [picture(0)])])).to_pylist()[0]
    assert (row["nll"], row["grounding_reason"]) == (None, "cut_off")


def test_a_dialogue_without_an_answer_has_no_score() -> None:
    vlm = VisionLanguageModel(*model("llava"))
    asked = [
        vlm.ask([("user", "<image>\nAnd?")], [picture(0)]),
        vlm.ask([("user", "And?"), ("assistant", " ")], []),
    ]
    rows = Grounding().score(vlm.answered(asked)).to_pylist()
    assert [(row["nll"], row["grounding_reason"]) for row in rows] == [(None, NO_ANSWER)] * 2


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_answers_are_found_where_their_words_also_stand_elsewhere(architecture: str) -> None:
    prompts = Prompts(model(architecture)[1], 500)
    prompt = prompts.prompt([("user", "yes or no: user assistant a"), ("assistant", "a"), ("user", "a")], [])
    said = [i for i, is_answer in zip(prompt.ids, prompt.answer, strict=True) if is_answer]
    assert prompts.tokenizer.decode(said).strip() == "a"


def test_dominance_is_the_ratio_of_attentions() -> None:
    vlm = VisionLanguageModel(*tiny("llava"))
    for layer in vlm.model.model.language_model.layers:  # every key is as good as the other
        torch.nn.init.zeros_(layer.self_attn.q_proj.weight)
    rows = Grounding().score(vlm.answered([vlm.ask(*POOL[0]), vlm.ask(*POOL[4])], dominance=True)).to_pylist()
    assert rows[0]["modality_dominance"] == pytest.approx(1, abs=1e-5)
    assert rows[1]["modality_dominance"] is None


def test_a_word_that_is_masked_adds_nothing_to_the_entropy() -> None:
    masked = torch.tensor([[0.0, 0.0, -torch.inf]])
    nll, el2n, entropy = (float(each) for each in token_figures(masked, torch.tensor([0])))
    assert (nll, entropy) == pytest.approx((math.log(2), math.log(2)))
    assert el2n == pytest.approx(math.sqrt(0.5))


def test_token_figures_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    nll, el2n, entropy = (each.numpy() for each in token_figures(logits, torch.tensor([0, 1])))
    assert nll == pytest.approx([math.log(2), math.log(10)], rel=1e-5)
    assert el2n == pytest.approx([math.sqrt(0.375), math.sqrt(0.01 + 0.81 + 0.64)], rel=1e-5)
    assert entropy == pytest.approx([1.5 * math.log(2), 0.2 * math.log(10) - 0.8 * math.log(0.8)], rel=1e-5)


def test_perplexity_is_the_exponential_of_the_mean() -> None:
    nll = np.array([0.1, 0.2, 3.0], np.float32)
    figures = TokenFigures(nll, nll, nll)
    row = Grounding().score([Answered(figures, TokenFigures(nll + 1, nll, nll))]).to_pylist()[0]
    assert row["perplexity"] == pytest.approx(math.exp(1.1), rel=1e-6)  # 3.004, where the mean of exp is 7.47
    assert row["image_grounding"] == pytest.approx(math.e, rel=1e-6)
    assert row["visual_necessity"] == pytest.approx(1, rel=1e-6)


FIGURES = [name for name in Grounding.writes.names if name not in ("answer_truncated", "grounding_reason")]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", range(4))
def test_what_is_not_finite_is_null_and_said(value: float, at: int) -> None:
    fine, bad = np.array([0.1, 2], np.float32), np.array([0.1, value], np.float32)
    columns = [bad if i == at else fine for i in range(3)]
    blind = TokenFigures(bad, fine, fine) if at == 3 else TokenFigures(fine, fine, fine)
    rows = Grounding().score([Answered(TokenFigures(*columns), blind, True, None, 1.0)]).to_pylist()
    assert [rows[0][name] for name in FIGURES] == [None] * len(FIGURES)
    assert (rows[0]["grounding_reason"], rows[0]["answer_truncated"]) == (NOT_FINITE, True)


def test_attention_that_is_not_finite_leaves_the_other_figures() -> None:
    figures = TokenFigures(*[np.array([0.1, 2], np.float32)] * 3)
    row = Grounding().score([Answered(figures, figures, dominance=math.inf)]).to_pylist()[0]
    assert (row["modality_dominance"], row["grounding_reason"]) == (None, NOT_FINITE)
    assert [name for name in FIGURES if row[name] is None] == ["modality_dominance"]


def test_a_model_of_which_logits_are_nan_has_no_figures() -> None:
    vlm = VisionLanguageModel(*tiny("llava"))
    torch.nn.init.constant_(vlm.model.get_output_embeddings().weight, math.nan)
    vlm._scaled = 1.0  # the head is not asked for its factor, which it would not give
    row = Grounding().score(vlm.answered([vlm.ask(*POOL[0])])).to_pylist()[0]
    assert (row["nll"], row["image_grounding"], row["grounding_reason"]) == (None, None, NOT_FINITE)


def rows_of(path: Path, error: str | None) -> pa.RecordBatch:
    """What the source plans for one sample with the image at `path`."""
    data = path.read_bytes()
    ref = {"path": str(path), "offset": 0, "length": -1, "name": path.name, "n_bytes": len(data)}
    ref["sha256"] = hashlib.sha256(data).digest()
    schema = pa.schema([TURNS, IMAGE_REFS, ERROR])
    turns = [{"role": "assistant", "text": "red"}]
    return pa.RecordBatch.from_pylist([{"turns": turns, "images": [ref], "error": error}], schema=schema)


@pytest.mark.parametrize("change", ["gone", "longer", "other"])
def test_an_image_that_changed_since_it_was_ingested_is_no_unreadable_sample(
    tmp_path: Path, change: str
) -> None:
    path = tmp_path / "a.png"
    picture(0).save(path)
    data, source = path.read_bytes(), AskedSamples(10**6)
    good, bad = rows_of(path, None), rows_of(path, "missing_image")
    task: Any = None
    assert list(source.load(task, good)) == [Dialogue([("assistant", "red")], (data,))]
    changed = {"longer": data + b"0", "other": bytes([*data[:-1], data[-1] ^ 1])}
    path.unlink() if change == "gone" else path.write_bytes(changed[change])
    with pytest.raises(ReadError, match="changed since it was ingested"):
        list(source.load(task, good))
    assert list(source.load(task, bad)) == [Dialogue(None)]
