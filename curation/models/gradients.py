"""What a sample would change in a model: sketched gradients of linear layers, one backward pass a batch.

The gradient of a sample's loss with respect to the weights W of a linear layer y = W a is the sum over its
tokens of the outer products of dL/dy and a. Hooks keep a and dL/dy of the chosen layers; rows of a batch do
not see each other, so one backward pass of the sum of their losses yields the gradients of each.
"""

from __future__ import annotations

import re
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
from scorers.grounding import TOKENS_AT_ONCE

if TYPE_CHECKING:
    import torch

LAST_BLOCK, ADAPTERS = "last-block", "lora"


@dataclass(frozen=True)
class Gradient:
    """A sample's gradient: its direction, sketched, and its length before that."""

    vector: NDArray[np.float32]  # (dims,), of unit length
    norm: float  # L2 norm of the whole gradient (GraNd, Paul et al. 2021), not of its sketch


class Gradients:
    """Gradients of the mean NLL of a sample's answer tokens, with respect to linear layers.

    Args:
        vlm: the model; its weights need no gradient and get none.
        layers: a regular expression that the names of the layers match from their start; `last-block` is
            every linear layer of the last block of the language model, `lora` those that an adapter added.
        dims: of a sketch.
        seed: of the sketches; each layer has its own.

    Raises:
        ConfigError: no linear layer matches.
    """

    def __init__(
        self, vlm: VisionLanguageModel, *, layers: str = LAST_BLOCK, dims: int = 8192, seed: int = 0
    ) -> None:
        self.vlm = vlm
        self.dims = dims
        vlm.model.requires_grad_(False)
        self.layers = chosen_layers(vlm.model, layers)
        self._sketchers = {
            name: Sketcher(CountSketch(name, layer.weight.numel(), dims, seed), layer.weight.device)
            for name, layer in self.layers.items()
        }

    def sketcher(self, layer: str) -> Sketcher:
        """The map of a layer."""
        return self._sketchers[layer]

    def of(self, prompts: Sequence[Prompt]) -> list[Gradient | None]:
        """The gradient of each prompt, in order; None where there is no answer or nothing flows back."""
        found: list[Gradient | None] = [None] * len(prompts)
        for rows, batch in self.vlm.batches(prompts):
            for row, gradient in zip(rows, self._sketched(batch), strict=True):
                found[row] = gradient
        return found

    def _sketched(self, batch: Sequence[Prompt]) -> Iterator[Gradient | None]:
        import torch

        out = torch.zeros(len(batch), self.dims, device=self.vlm.model.device)
        squares = torch.zeros(len(batch), dtype=torch.float64, device=self.vlm.model.device)
        for name, gradient in self.explicit(batch):
            rows = gradient.flatten(1)
            squares += rows.square().sum(1, dtype=torch.float64)
            self._sketchers[name].add(rows, out)
        vectors, norms = out.cpu().numpy(), squares.sqrt().tolist()
        for vector, norm in zip(vectors, norms, strict=True):
            length = float(np.sqrt(np.square(vector, dtype=np.float64).sum()))
            # NaN is no length of 0: who reads it says that it is not finite.
            yield None if length == 0 else Gradient((vector / length).astype(np.float32), norm)

    def explicit(self, batch: Sequence[Prompt]) -> Iterator[tuple[str, torch.Tensor]]:
        """Each layer's name and gradients, (b, out, in) float32; without a layer that no answer reaches."""
        import torch

        with _kept(self.layers) as (inputs, outputs):
            self._backward(batch)
        for name in self.layers:
            if name in inputs and name in outputs:
                delta, activation = outputs.pop(name).float(), inputs.pop(name).float()
                yield name, torch.bmm(delta.transpose(1, 2), activation)

    def _backward(self, batch: Sequence[Prompt]) -> None:
        """One pass forth and back of the sum of the samples' losses."""
        import torch

        with torch.enable_grad():
            inputs, answers = self.vlm.inputs(batch)
            rows, columns, targets = self.vlm.predicted(inputs, answers)
            hidden = self.vlm.hidden(inputs)[rows, columns]
            weights = 1 / answers.sum(1).to(hidden.device)[rows].float()
            # The head in pieces, so that logits of all answer tokens are never there at once.
            leaf = hidden.detach().requires_grad_()
            for at in range(0, len(targets), TOKENS_AT_ONCE):
                span = slice(at, at + TOKENS_AT_ONCE)
                logits = self.vlm.logits(leaf[span]).float()
                losses = torch.nn.functional.cross_entropy(logits, targets[span], reduction="none")
                torch.autograd.backward((losses * weights[span]).sum())
            torch.autograd.backward(hidden, leaf.grad)


@contextmanager
def _kept(layers: dict[str, Any]) -> Iterator[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]]:
    """What goes into the layers and the gradients of what comes out, (b, t, width), while the block lasts."""
    inputs: dict[str, torch.Tensor] = {}
    outputs: dict[str, torch.Tensor] = {}

    def watch(name: str) -> Any:
        def hook(_: Any, given: tuple[torch.Tensor, ...], made: torch.Tensor) -> torch.Tensor:
            inputs[name] = given[0].detach()
            # Weights need no gradient, so that the graph begins at the first layer that is watched.
            watched: Any = made if made.requires_grad else made.requires_grad_()
            watched.register_hook(lambda gradient: outputs.__setitem__(name, gradient))
            return watched  # type: ignore[no-any-return]

        return hook

    handles = [layer.register_forward_hook(watch(name)) for name, layer in layers.items()]
    try:
        yield inputs, outputs
    finally:
        for handle in handles:
            handle.remove()


def chosen_layers(model: Any, layers: str) -> dict[str, Any]:
    """The linear layers of the language model whose name matches, by name, in the model's order.

    Layers of the image tower see images, not samples, and are left out.

    Raises:
        ConfigError: none does, or the model's blocks are not found.
    """
    import torch

    decoder = model.get_decoder()
    names = {id(module): name for name, module in model.named_modules()}
    linear = {names[id(each)]: each for each in decoder.modules() if isinstance(each, torch.nn.Linear)}
    pattern = r".*\blora_[AB]\b" if layers == ADAPTERS else layers
    if layers == LAST_BLOCK:
        blocks = getattr(decoder, "layers", None)
        if not isinstance(blocks, torch.nn.ModuleList):
            raise ConfigError("the model's decoder has no `layers`: name them with --gradient-layers REGEX")
        pattern = re.escape(f"{names[id(blocks[-1])]}.")
    found = {name: module for name, module in linear.items() if re.match(pattern, name)}
    if not found:
        some = ", ".join(list(linear)[-8:])
        raise ConfigError(f"no linear layer matches {layers!r}; the last ones are {some}")
    return found
