"""Gradient vectors: those of autograd one by one, sketched without bias, whatever the batch and padding."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
import torch

from clustering.sketch import CountSketch, Sketcher
from curation.models.gradients import Gradient, Gradients
from curation.models.vision_language import VisionLanguageModel
from curation.models.vlm import load_vlm
from curation.steps.embed.gradients import Checkpoint, SampleGradients
from curation.steps.ingest.dialogues import AskedSamples
from schemas.columns import UID
from schemas.errors import ConfigError
from tests.test_grounding import ARCHITECTURES, POOL, picture
from tests.tiny_models import tiny

Side = Literal["right", "left"]


def autograd(
    network: Any, names: list[str], prompt: Any, vlm: VisionLanguageModel
) -> dict[str, torch.Tensor]:
    """The gradient of one sample's mean NLL, by autograd through the model's own loss."""
    weights = {name: network.get_submodule(name).weight for name in names}
    network.requires_grad_(False)
    for weight in weights.values():
        weight.requires_grad_(True)
    inputs, answers = vlm.inputs([prompt])
    labels = torch.where(answers, inputs["input_ids"], -100)
    with torch.enable_grad():
        loss = network(**inputs, labels=labels).loss
        # What is not used has none, of which torch's types do not know.
        found: Sequence[torch.Tensor | None] = torch.autograd.grad(
            loss, list(weights.values()), allow_unused=True
        )
    network.requires_grad_(False)
    return {name: each for name, each in zip(weights, found, strict=True) if each is not None}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("layers", ["last-block", r".*(q_proj|down_proj)$"])
@pytest.mark.parametrize(("batch", "side"), [(1, "right"), (4, "right"), (4, "left")])
def test_gradients_of_a_batch_are_those_of_autograd(
    architecture: str, layers: str, batch: int, side: Side
) -> None:
    network, processor = tiny(architecture)
    vlm = VisionLanguageModel(network, processor, batch=batch, padding_side=side)
    gradients = Gradients(vlm, layers=layers, dims=256)
    prompts = [vlm.ask(turns, images).seen for turns, images in POOL]
    checked = 0
    for rows, part in vlm.batches(prompts):
        ours = dict(gradients.explicit(part))
        for i, row in enumerate(rows):
            for name, expected in autograd(network, list(gradients.layers), prompts[row], vlm).items():
                got = ours[name][i]
                assert (got - expected).norm() <= 1e-4 * expected.norm() + 1e-7, (name, row)
                checked += 1
    assert checked >= 6 * 2


@pytest.mark.slow
def test_norms_are_those_of_the_whole_gradient() -> None:
    vlm = VisionLanguageModel(*tiny("llava"), batch=3)
    gradients = Gradients(vlm, dims=64)
    prompts = [vlm.ask(turns, images).seen for turns, images in POOL]
    found = gradients.of(prompts)
    for prompt, gradient in zip(prompts, found, strict=True):
        whole = torch.cat([each.flatten() for _, each in gradients.explicit([prompt])])
        assert gradient is not None
        assert gradient.norm == pytest.approx(whole.norm().item(), rel=1e-4)
        assert np.linalg.norm(gradient.vector) == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_sketch_does_not_depend_on_batch_or_padding(architecture: str) -> None:
    found = []
    cases: list[tuple[int, Side]] = [(1, "right"), (2, "left"), (6, "right")]
    for batch, side in cases:
        vlm = VisionLanguageModel(*tiny(architecture), batch=batch, padding_side=side)
        asked = [vlm.ask(turns, images).seen for turns, images in POOL]
        found.append(np.stack([each.vector for each in Gradients(vlm, dims=512).of(asked) if each]))
    for other in found[1:]:
        assert np.abs(other - found[0]).max() <= 1e-4 * np.abs(found[0]).max()


def test_no_answer_has_no_gradient() -> None:
    vlm = VisionLanguageModel(*tiny("llava"))
    asked = [vlm.ask([("user", "<image>\nAnd?")], [picture(0)]).seen, vlm.ask(*POOL[0]).seen]
    found = Gradients(vlm, dims=64).of(asked)
    assert found[0] is None
    assert found[1] is not None


def test_a_layer_that_is_not_there_is_said() -> None:
    with pytest.raises(ConfigError, match="no linear layer matches"):
        Gradients(VisionLanguageModel(*tiny("llava")), layers="nothing")


def test_seed_and_name_draw_other_maps() -> None:
    signs, shifts = CountSketch("a", 1000, 64, 0).draw()
    assert set(signs.tolist()) == {-1, 1}
    assert len(shifts) == 16
    for other in (CountSketch("b", 1000, 64, 0), CountSketch("a", 1000, 64, 1)):
        assert not np.array_equal(signs, other.draw()[0])
    assert np.array_equal(signs, CountSketch("a", 1000, 64, 0).draw()[0])


@pytest.mark.parametrize("n", [50, 64, 1000, 1024])
def test_a_sketch_is_linear_and_each_coordinate_has_one_place(n: int) -> None:
    sketcher = Sketcher(CountSketch("a", n, 64, 3))
    out = torch.zeros(n, 64)
    sketcher.add(torch.eye(n), out)
    assert torch.equal(out.abs().sum(1), torch.ones(n))
    assert torch.equal(out.abs().amax(1), torch.ones(n))
    rows = torch.randn(5, n)
    sketched = torch.zeros(5, 64)
    sketcher.add(rows.clone(), sketched)
    assert torch.allclose(sketched, rows @ out, atol=1e-4)


def test_dot_products_of_sketches_are_unbiased() -> None:
    rng = np.random.default_rng(0)
    x, y = (torch.from_numpy(rng.normal(size=(1, 600)).astype(np.float32)) for _ in range(2))
    y += x / 2
    products = []
    for seed in range(400):
        sketcher, out = Sketcher(CountSketch("a", 600, 64, seed)), torch.zeros(2, 64)
        sketcher.add(torch.cat([x, y]), out)
        products.append(float(out[0] @ out[1]))
    exact = float((x * y).sum())
    error = np.std(products) / np.sqrt(len(products))
    assert abs(np.mean(products) - exact) < 4 * error
    # The variance of a dense Rademacher projection: (|x|^2 |y|^2 + <x, y>^2) / D at most.
    assert np.var(products) < 1.2 * float((x.norm() * y.norm()) ** 2 + exact**2) / 64


def test_an_adapter_is_loaded_onto_its_base_and_has_gradients_of_its_own(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    network, processor = tiny("llava")
    network.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    network.name_or_path = str(tmp_path / "base")
    adapted = get_peft_model(network, LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:  # zero until trained, and then nothing flows back to lora_A
            torch.nn.init.normal_(weight, std=0.1)
    adapted.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    adapted.save_pretrained(str(tmp_path / "adapter"))
    vlm = VisionLanguageModel(*load_vlm(str(tmp_path / "adapter")))
    gradients = Gradients(vlm, layers="lora", dims=128)
    assert gradients.layers
    assert all("lora_" in name for name in gradients.layers)
    found = gradients.of([vlm.ask(*POOL[0]).seen, vlm.ask(*POOL[1]).seen])
    assert all(each is not None and each.norm > 0 for each in found)


def test_a_gradient_that_is_not_finite_is_null_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm: Any = VisionLanguageModel(*tiny("llava"))
    prompt = vlm.ask(*POOL[0]).seen
    unit, broken = np.array([0.6, 0.8], np.float32), np.array([0, math.nan], np.float32)
    found = [Gradient(unit, 2), Gradient(broken, 2), Gradient(unit, math.inf), None]

    class Scripted:
        def of(self, prompts: list[Any]) -> list[Gradient | None]:
            return found

    monkeypatch.setattr("curation.steps.embed.gradients.gradients_of", lambda *_: Scripted())
    stage = SampleGradients(AskedSamples(10**6), (Checkpoint(vlm, 1.0),), "last-block", 2, 0)
    uids = pa.array([bytes([i] * 16) for i in range(5)], pa.binary(16))
    rows = stage.finish(pa.record_batch([uids], schema=pa.schema([UID])), [*[prompt] * 4, None]).to_pylist()
    assert [row["gradient_reason"] for row in rows] == [
        None,
        "not_finite",
        "not_finite",
        "no_gradient",
        "unreadable",
    ]
    assert rows[0]["vector"] == unit.tolist()
    assert rows[0]["gradient_norm"] == 2
    assert [(row["vector"], row["gradient_norm"]) for row in rows[1:]] == [(None, None)] * 4
