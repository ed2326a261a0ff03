"""Activations of a vision-language model: by the formulas, sample by sample, and what is chosen by them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clustering.sketch import CountSketch, Sketcher
from curation.generate.pool import write_pool
from curation.models.activations import Activation, Activations, pooled, sharpness, spectral_entropy, taps
from curation.models.vision_language import VisionLanguageModel
from curation.selectors import selector
from curation.selectors.decision import decide
from curation.storage.rows import vectors
from curation.workspace import Workspace
from schemas.errors import ConfigError
from tests.test_grounding import ARCHITECTURES, POOL
from tests.test_selection import table
from tests.tiny_models import tiny


def test_five_layers_are_those_of_the_paper_and_fewer_of_few() -> None:
    assert taps(24) == [3, 7, 11, 15, 19]
    assert taps(32) == [4, 9, 15, 20, 25]
    assert taps(5) == [0, 1, 2, 3]
    assert taps(2) == [0]


def test_sharpness_is_0_where_all_are_looked_at_and_1_where_one_is() -> None:
    assert sharpness(torch.full((2, 4), 0.1)) == pytest.approx(0, abs=1e-12)
    assert sharpness(torch.tensor([[0.0, 0.3, 0.0]])) == pytest.approx(1)
    half = torch.tensor([[0.2, 0.2, 0.0, 0.0], [0.0, 0.0, 0.1, 0.0]])
    assert sharpness(half) == pytest.approx((0.5 + 1) / 2)
    assert sharpness(torch.ones(3, 1)) is None


def test_spectral_entropy_is_that_of_the_singular_values() -> None:
    assert spectral_entropy(torch.eye(6)[:4]) == pytest.approx(math.log(4))
    assert spectral_entropy(torch.ones(5, 7)) == pytest.approx(0, abs=1e-6)
    states = torch.tensor(np.diag([3.0, 1.0]))
    assert spectral_entropy(states) == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))


def plain(vlm: VisionLanguageModel, prompt: Any, dims: int) -> Activation:
    """The figures of one prompt, from what the model's own outputs say, block by block."""
    inputs, answers = vlm.inputs([prompt])
    vlm.model.set_attn_implementation("eager")
    blocks = vlm.model.get_decoder().layers
    kept: dict[str, torch.Tensor] = {}
    handles = [
        block.self_attn.register_forward_hook(
            lambda _, __, made, place=place: kept.__setitem__(f"{place}", made[0])
        )
        for place, block in enumerate(blocks)
    ]
    last = blocks[taps(len(blocks))[-1]].mlp
    handles.append(last.register_forward_hook(lambda _, given, __: kept.__setitem__("mlp", given[0])))
    with torch.no_grad():
        out = vlm.model(**inputs, output_attentions=True, output_hidden_states=True)
        fed = last.act_fn(last.gate_proj(kept["mlp"])) * last.up_proj(kept["mlp"])
    for handle in handles:
        handle.remove()
    image = inputs["input_ids"][0] == vlm.prompts.image_id
    answer = answers[0]
    total = torch.zeros(1, dims)
    for layer in taps(len(blocks)):
        for side, kind in (("image", image), ("text", ~image)):
            if kind.any():
                rows = pooled(kept[str(layer)][0, kind])[None].clone()
                Sketcher(CountSketch(f"{layer}/{side}", rows.shape[1], dims, 3)).add(rows, total)
    looks = torch.stack([each[0].mean(0) for each in out.attentions]).mean(0)[answer][:, image].double()
    share = (looks / looks.sum(1, keepdim=True)).numpy()
    n = int(image.sum())
    terms = share * np.log(share, out=np.zeros_like(share), where=share > 0)
    sharp = float((1 + terms.sum(1) / math.log(n)).mean()) if n else None
    values = np.linalg.svd(out.hidden_states[-1][0].double().numpy(), compute_uv=False)
    shares = values / values.sum()
    return Activation(
        (total / total.norm())[0].numpy(),
        sharp,
        int(fed[0, answer].abs().mean(0).argmax()),
        float(-(shares * np.log(np.maximum(shares, 1e-300))).sum()),
    )


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_figures_are_those_of_the_models_own_outputs(architecture: str) -> None:
    network, processor = tiny(architecture)
    vlm = VisionLanguageModel(network, processor)
    prompts = [vlm.ask(turns, images).seen for turns, images in POOL]
    found = Activations(vlm, dims=128, seed=3).of(prompts)
    for prompt, ours in zip(prompts, found, strict=True):
        expected = plain(vlm, prompt, 128)
        assert ours is not None
        np.testing.assert_allclose(ours.vector, expected.vector, atol=1e-5)
        assert ours.neuron == expected.neuron
        assert ours.entropy == pytest.approx(expected.entropy, abs=1e-4)
        if expected.bridging is None:
            assert ours.bridging is None
        else:
            assert ours.bridging == pytest.approx(expected.bridging, abs=1e-5)
            assert 0 <= (ours.bridging or 0.0) <= 1


@pytest.mark.slow
def test_the_model_is_left_as_it_was_for_other_stages() -> None:
    vlm = VisionLanguageModel(*tiny("llava"))
    asked = [vlm.ask(turns, images) for turns, images in POOL]
    before = vlm.model.config._attn_implementation
    first = [each.seen.nll.tolist() for each in vlm.answered(asked) if each.seen]
    Activations(vlm, dims=32).of([each.seen for each in asked])
    assert vlm.model.config._attn_implementation == before
    assert [each.seen.nll.tolist() for each in vlm.answered(asked) if each.seen] == first


def test_a_model_without_the_layers_says_which_are_missing() -> None:
    class Decoder:
        layers = (torch.nn.Linear(2, 2),) * 6

    class Network:
        base_model_prefix = "model"
        model = None

        def get_decoder(self) -> Decoder:
            return Decoder()

        def forward(self) -> None: ...

    vlm = VisionLanguageModel(*tiny("llava"))
    vlm.model = Network()
    with pytest.raises(ConfigError, match=r"no self_attn\.o_proj and mlp\.down_proj"):
        Activations(vlm, dims=32)


# --- what is chosen by them ------------------------------------------------------------------------------


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_magic_takes_the_best_of_each_skill_and_low_gain_last(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    gain = np.where(rng.random(n) < 0.2, np.nan, rng.integers(-3, 6, n) / 2)
    bridging = np.where(np.isnan(gain), np.nan, rng.integers(0, 9, n) / 9)
    skill = rng.integers(0, 4, n)
    rows = table(n).with_columns(
        pl.Series("visual_necessity", gain).fill_nan(None),
        pl.Series("bridging", bridging).fill_nan(None),
        pl.Series("neuron", skill, dtype=pl.Int32),
    )
    order = selector("magic").select(rows, n, 0).tolist()
    valued = ~np.isnan(gain)

    def worth(row: int) -> float:
        if not valued[row]:
            return 0.0
        return float((gain[valued] <= gain[row]).mean() + (bridging[valued] <= bridging[row]).mean())

    left = [[row for row in range(n) if valued[row] and gain[row] > 0]]
    left.append([row for row in range(n) if valued[row] and gain[row] <= 0])
    left.append([row for row in range(n) if not valued[row]])
    expected = []
    for tier in left:
        ranked = sorted(tier, key=lambda row: (-worth(row), rows["content_hash"][row], rows["uid"][row]))
        queues = {own: [row for row in ranked if skill[row] == own] for own in range(4)}
        place = 0
        while any(len(queue) > place for queue in queues.values()):
            turn = {queue[place] for queue in queues.values() if len(queue) > place}
            expected += [row for row in ranked if row in turn]
            place += 1
    assert order == expected


def test_coincide_by_activations_is_coincide_on_their_vectors() -> None:
    rows = table(60)
    other = rows.with_columns(activation_vector=rows["text_vector"])
    alone = rows.with_columns(image_vector=rows["text_vector"])
    by_activation = decide(selector("coincide@activation"), other, 20, 0)
    # Image and text alike: their joint rows have the cosines of the texts.
    assert (
        len(set(by_activation.order.tolist()) & set(selector("coincide").select(alone, 20, 0).tolist())) > 16
    )
    with pytest.raises(ConfigError, match="coincide compares by embedding or activation, not by 'x'"):
        selector("coincide@x")


@pytest.mark.slow
def test_a_pool_is_clustered_and_chosen_by_activations(tmp_path: Path) -> None:
    write_pool(tmp_path / "a", 30, seed=1)
    Workspace.init(
        tmp_path / "w", {"a": tmp_path / "a" / "pool.json"}, images=[tmp_path / "a"], model="builtin:tiny"
    )
    asked: dict[str, Any] = {
        "cluster.vectors": "activation",
        "vlm.model": "builtin",
        "gradient.dims": 256,
        "select.budget": "9",
    }
    for strategy in ("magic", "coincide@activation", "datatailor:hidden_entropy"):
        workspace = Workspace(tmp_path / "w", {**asked, "select.strategy": strategy})
        assert workspace.run("select")["n_selected"] == 9
    rows = workspace.store.read("activations")
    held = vectors(rows["vector"])
    lengths = np.linalg.norm(held, axis=1)
    reasons = rows["activation_reason"].to_pylist()
    assert [bool(length) for length in lengths] == [reason is None for reason in reasons]
    np.testing.assert_allclose(lengths[lengths > 0], 1, atol=1e-5)
    facts = workspace.store.read("checked", ["n_images", "error"]).to_pylist()
    for fact, sharp, reason in zip(facts, rows["bridging"].to_pylist(), reasons, strict=True):
        assert (sharp is not None) == (reason is None and fact["n_images"] > 0)
    with pytest.raises(ConfigError, match="name a vision-language model"):
        Workspace(tmp_path / "w", {"cluster.vectors": "activation"}).run("cluster")
