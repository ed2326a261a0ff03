"""Gradient vectors of the built-in VLM's last block: how true the sketches are, and how fast.

Truth: on samples of the mixture, norms and pairwise cosines of our sketches and of a dense Rademacher
projection to as many dimensions, against the explicit gradients. Speed: samples a second of ours (batches,
count sketch) against one sample at a time with the dense projection (signs kept as bits, 16 samples a
multiplication), and against the bare backward of one sample after the other. Each runs in a process of its
own, whose peak memory is printed; prompts are made before the clock starts.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import json
import resource
import time
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from benchmarks.report import SHARED, alternate, parser, show
from curation.models.gradients import Gradients
from curation.models.vision_language import VisionLanguageModel
from curation.models.vlm import load_vlm
from curation.readers.images import to_rgb

if TYPE_CHECKING:
    from collections.abc import Callable

    from curation.models.prompts import Prompt

DIMS, TOGETHER = 8192, 16
BLOCK = 64  # dimensions whose signs are unpacked at once


def prompts_of(vlm: VisionLanguageModel, n: int) -> list[Prompt]:
    """Prompts of n records of the mixture with an image each, spread over its sources."""
    records = json.loads((SHARED / "mixture" / "mixture.json").read_text())
    single = [record for record in records if isinstance(record.get("image"), str)]
    chosen = single[:: max(1, len(single) // n)][:n]
    roles = {"human": "user", "gpt": "assistant"}
    return [
        vlm.ask(
            [(roles[turn["from"]], turn["value"]) for turn in record["conversations"]],
            [to_rgb(Image.open(SHARED / "mixture" / record["image"]))],
        ).seen
        for record in chosen
    ]


class Dense:
    """A Rademacher projection of n coordinates to DIMS, its signs kept as bits."""

    def __init__(self, n: int) -> None:
        rng = np.random.default_rng(0)
        self.n = n
        self.bits = np.frombuffer(rng.bytes(DIMS * ((n + 7) // 8)), np.uint8).reshape(DIMS, -1)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """(b, n) float32 to (b, DIMS)."""
        out = torch.empty(len(rows), DIMS)
        for at in range(0, DIMS, BLOCK):
            signs = np.unpackbits(self.bits[at : at + BLOCK], axis=1, count=self.n)
            out[:, at : at + BLOCK] = rows @ (torch.from_numpy(signs).float().mul_(2).sub_(1)).T
        found: torch.Tensor = out / DIMS**0.5
        return found


def one_by_one(vlm: VisionLanguageModel, gradients: Gradients, prompt: Prompt) -> torch.Tensor:
    """The gradient of one sample by autograd, (n,)."""
    weights = [layer.weight.requires_grad_() for layer in gradients.layers.values()]
    inputs, answers = vlm.inputs([prompt])
    labels = torch.where(answers, inputs["input_ids"], -100)
    loss = vlm.model(**inputs, labels=labels, use_cache=False).loss
    return torch.cat([each.flatten() for each in torch.autograd.grad(loss, weights)])


def truth(name: str, n: int) -> dict[str, float]:
    """How far norms and cosines of sketches are from those of the explicit gradients."""
    vlm = VisionLanguageModel(*load_vlm(name))
    gradients = Gradients(vlm, dims=DIMS)
    prompts = [prompt for prompt in prompts_of(vlm, n) if prompt.n_answer]
    whole = torch.stack([one_by_one(vlm, gradients, prompt) for prompt in prompts])
    vlm.model.requires_grad_(False)
    ours = torch.zeros(len(prompts), DIMS)
    for rows, batch in vlm.batches(prompts):
        part = torch.zeros(len(batch), DIMS)
        for layer, explicit in gradients.explicit(batch):
            gradients.sketcher(layer).add(explicit.flatten(1), part)
        ours[rows] = part
    dense = Dense(whole.shape[1])
    theirs = torch.cat([dense(whole[at : at + 64]) for at in range(0, len(whole), 64)])
    upper = torch.triu_indices(len(prompts), len(prompts), 1)
    cosines = _cosines(whole)[upper[0], upper[1]]
    figures: dict[str, float] = {"samples": len(prompts), "coordinates": whole.shape[1]}
    for label, sketched in (("sketch", ours), ("dense", theirs)):
        off = (sketched.norm(dim=1) / whole.norm(dim=1) - 1).abs()
        error = _cosines(sketched)[upper[0], upper[1]] - cosines
        figures[f"{label}.median_relative_error_of_norms"] = off.median().item()
        figures[f"{label}.rms_error_of_cosines"] = error.square().mean().sqrt().item()
    for figure in ("median_relative_error_of_norms", "rms_error_of_cosines"):
        figures[f"ratio_of_{figure}"] = figures[f"sketch.{figure}"] / figures[f"dense.{figure}"]
    return figures


def _cosines(rows: torch.Tensor) -> torch.Tensor:
    unit = torch.nn.functional.normalize(rows, dim=1)
    return unit @ unit.T


def timed(name: str, n: int, how: str) -> tuple[float, float]:
    """Samples a second and peak memory (GB) of one way, in this process."""
    vlm = VisionLanguageModel(*load_vlm(name))
    gradients = Gradients(vlm, dims=DIMS)
    prompts = [prompt for prompt in prompts_of(vlm, n) if prompt.n_answer]
    run: Callable[[], Any] = partial(gradients.of, prompts)
    gradients.of(prompts[:8])
    if how != "ours":
        size = sum(layer.weight.numel() for layer in gradients.layers.values())
        project = Dense(size) if how == "dense" else None

        def run() -> None:
            for at in range(0, len(prompts), TOGETHER):
                group = [one_by_one(vlm, gradients, prompt) for prompt in prompts[at : at + TOGETHER]]
                if project:
                    project(torch.stack(group))

    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    return len(prompts) / seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def benchmark(name: str, n: int, samples: int, repeat: int) -> dict[str, float]:
    """Truth, speed and memory."""
    context, peaks = get_context("spawn"), {}

    def apart(how: str) -> float:
        with context.Pool(1) as pool:
            speed, peaks[how] = pool.apply(timed, (name, n, how))
        return speed

    with context.Pool(1) as pool:
        figures = pool.apply(truth, (name, samples))
    medians = alternate({how: partial(apart, how) for how in ("ours", "dense", "bare")}, repeat)
    figures |= {f"{how}.samples_per_second": value for how, value in medians.items()}
    figures |= {f"{how}.peak_gb": value for how, value in peaks.items()}
    figures["ratio_vs_dense_one_at_a_time"] = medians["ours"] / medians["dense"]
    figures["ratio_vs_bare_backward"] = medians["ours"] / medians["bare"]
    return figures


def main() -> None:
    """The built-in model, or another."""
    flags = parser(__doc__)
    flags.add_argument("--vlm", default="builtin")
    given = flags.parse_args()
    sizes = (32, 60, 1) if given.quick else (128, 500, given.repeat)
    show("gradients", benchmark(given.vlm, *sizes), ["torch", "transformers"], as_json=given.json)


if __name__ == "__main__":
    main()
