"""What a vision-language model makes of a sample inside: one pass, with attention and hidden states kept.

- Activations (COINCIDE, arXiv 2406.10995): of five layers spread over the depth, what attention adds to the
  tokens (the output of `o_proj`), its mean over image tokens and over text tokens, tanh, each to length 1,
  side by side. Here they are sketched to fewer dimensions, which keeps dot products on average.
- Bridging relevance (MAGIC, arXiv 2605.26004): how sharply the answer looks at the image. 1 minus the entropy
  of an answer token's attention over the image tokens, as a share of the highest possible, its mean over the
  answer. The paper's exact form was not to be had; attention is the mean over layers and heads.
- Neuron (MAGIC's skill signature): of the feed-forward layer of the deepest of the five blocks the neuron
  with the highest mean absolute activation over the answer tokens.
- Hidden entropy (DataTailor, arXiv 2412.06293): the entropy, in nats, of the singular values of the last
  hidden states, as shares of their sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clustering.sketch import CountSketch, Sketcher
from curation.models.prompts import Prompt
from curation.models.vision_language import VisionLanguageModel
from schemas.errors import ConfigError

if TYPE_CHECKING:
    import torch

TAPS = 5


@dataclass(frozen=True)
class Activation:
    """Figures of one sample; see the module."""

    vector: NDArray[np.float32]  # (dims,), of unit length
    bridging: float | None  # [0, 1]; None without an image, or with one token of it
    neuron: int
    entropy: float  # nats


class Activations:
    """Activations of samples, one prompt a pass. Memory: the attention of all layers of one prompt.

    Args:
        vlm: the model.
        dims: of a sketch.
        seed: of the sketches; each layer and modality has its own.

    Raises:
        ConfigError: the model's blocks have no `self_attn.o_proj` and `mlp.down_proj`.
    """

    def __init__(self, vlm: VisionLanguageModel, *, dims: int, seed: int = 0) -> None:
        self.vlm, self.dims, self.seed = vlm, dims, seed
        blocks = getattr(vlm.model.get_decoder(), "layers", ())
        self.blocks = {layer: blocks[layer] for layer in taps(len(blocks))}
        try:
            self.attended = {layer: block.self_attn.o_proj for layer, block in self.blocks.items()}
            self.neurons = self.blocks[max(self.blocks)].mlp.down_proj
        except (AttributeError, ValueError):
            raise ConfigError(
                "the model's blocks have no self_attn.o_proj and mlp.down_proj, whose activations are taken; "
                "--vectors gradient takes any linear layers"
            ) from None
        self._sketchers: dict[str, Sketcher] = {}

    def of(self, prompts: Sequence[Prompt]) -> list[Activation | None]:
        """Of each prompt, in order; None where there is no answer."""
        with _eager(self.vlm.model):
            return [self._one(prompt) if prompt.n_answer else None for prompt in prompts]

    def _one(self, prompt: Prompt) -> Activation:
        import torch

        inputs, answers = self.vlm.inputs([prompt])
        with torch.inference_mode(), _watched(self.attended, self.neurons) as (added, fed):
            out = self.vlm.model(
                **inputs, use_cache=False, output_attentions=True, output_hidden_states=True, logits_to_keep=1
            )
        answer = answers[0].to(self.vlm.model.device)
        image = inputs["input_ids"][0] == self.vlm.prompts.image_id
        attention = torch.stack([layer[0, :, answer].float().mean(0) for layer in out.attentions]).mean(0)
        return Activation(
            self._sketched(added, image),
            sharpness(attention[:, image]),
            int(fed[0][0, answer].float().abs().mean(0).argmax()),
            spectral_entropy(out.hidden_states[-1][0]),
        )

    def _sketched(self, added: dict[int, torch.Tensor], image: torch.Tensor) -> NDArray[np.float32]:
        """The pooled activations of every layer, sketched and scaled to length 1."""
        import torch

        out = torch.zeros(1, self.dims, device=image.device)
        for layer, states in added.items():
            for side, kind in (("image", image), ("text", ~image)):
                if kind.any():
                    self._sketcher(f"{layer}/{side}", states.shape[-1]).add(
                        pooled(states[0, kind])[None], out
                    )
        # Divided in float64, as everywhere: the length of a unit vector is not left to the last bit.
        wide = out[0].cpu().numpy().astype(np.float64)
        return (wide / max(float(np.sqrt(np.square(wide).sum())), 1e-300)).astype(np.float32)

    def _sketcher(self, name: str, width: int) -> Sketcher:
        if name not in self._sketchers:
            drawn = CountSketch(name, width, self.dims, self.seed)
            self._sketchers[name] = Sketcher(drawn, self.vlm.model.device)
        return self._sketchers[name]


def taps(n: int) -> list[int]:
    """Five layers spread over `n`, fewer of few: 3, 7, 11, 15 and 19 of 24, as published."""
    return sorted({place for step in range(1, TAPS + 1) if (place := step * n // (TAPS + 1) - 1) >= 0})


def pooled(states: torch.Tensor) -> torch.Tensor:
    """The tanh of the mean state, of length 1: (t, width) -> (width,) float32."""
    import torch

    mean = states.float().mean(0).tanh()
    return torch.nn.functional.normalize(mean, dim=0)


def sharpness(attention: torch.Tensor) -> float | None:
    """1 - entropy / its highest value of each row, and of that the mean: (q, t) shares -> [0, 1].

    None where there are fewer than two tokens to look at.
    """
    n = attention.shape[1]
    if n < 2:
        return None
    share = attention.double() / attention.double().sum(1, keepdim=True).clamp(min=1e-300)
    entropy = -(share * share.clamp(min=1e-300).log()).sum(1)
    return float((1 - entropy / np.log(n)).clamp(0, 1).mean())


def spectral_entropy(states: torch.Tensor) -> float:
    """Entropy in nats of the singular values over their sum: (t, width) -> [0, log t]."""
    import torch

    values = torch.linalg.svdvals(states.double())
    share = values / values.sum().clamp(min=1e-300)
    return float(-(share * share.clamp(min=1e-300).log()).sum())


@contextmanager
def _watched(
    attended: dict[int, Any], neurons: Any
) -> Iterator[tuple[dict[int, torch.Tensor], list[torch.Tensor]]]:
    """What comes out of the layers of `attended`, (b, t, width), and what goes into `neurons`."""
    added: dict[int, torch.Tensor] = {}
    fed: list[torch.Tensor] = []
    handles = [neurons.register_forward_pre_hook(lambda _, given: fed.append(given[0]))]
    for layer, module in attended.items():
        handles.append(
            module.register_forward_hook(lambda _, __, made, layer=layer: added.__setitem__(layer, made))
        )
    try:
        yield added, fed
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _eager(model: Any) -> Iterator[None]:
    """Attention that can be looked at while the block lasts; afterwards as it was, for other stages."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
