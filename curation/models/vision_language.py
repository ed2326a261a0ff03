"""Passes of a vision-language model over answers that are given: batches by length, padding masked."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from curation.models.prompts import PLACEHOLDER, Prompt, Prompts
from schemas.errors import ModelUnavailable
from scorers.grounding import (
    CUT_OFF,
    NO_ANSWER,
    NO_OTHER,
    TEXT_ONLY,
    TOKENS_AT_ONCE,
    Answered,
    TokenFigures,
    token_figures,
)

if TYPE_CHECKING:
    import torch
    from PIL import Image

Blind = Literal["drop", "zero", "noise", "other"]
NOISE_SEED = 0


@dataclass(frozen=True)
class Asked:
    """A sample's prompt, and the same conversation as text alone where it has images."""

    seen: Prompt
    text: Prompt | None


class VisionLanguageModel:
    """Any `AutoModelForImageTextToText` that follows the chat-template and image-token conventions.

    Args:
        model: in eval mode.
        processor: its own.
        blind: what "without the image" means. drop: the conversation as text alone, no image tokens; zero:
            pixels 0 after normalisation; noise: standard Gaussian pixels, the same for equal shapes; other:
            the images of the next sample that has others which take the same tokens.
        most: tokens of a prompt; what is longer is cut at its end.
        batch: prompts of a forward pass.
        padding_side: right or left.

    Raises:
        ModelUnavailable: as `Prompts`.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        blind: Blind = "drop",
        most: int = 2048,
        batch: int = 8,
        padding_side: Literal["right", "left"] = "right",
    ) -> None:
        self.model = model
        self.prompts = Prompts(processor, most)
        self.blind: Blind = blind
        self.batch = batch
        self.padding_side = padding_side
        tokenizer = self.prompts.tokenizer
        self._pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self._takes = set(inspect.signature(model.forward).parameters)
        self._backbone = getattr(model, model.base_model_prefix)
        self._scaled: float | None = None

    def ask(self, turns: Sequence[tuple[str, str]], images: Sequence[Image.Image]) -> Asked:
        """The prompts of one sample. Thread-safe; touches no model.

        Args:
            turns: (role, text) in order; `<image>` marks the places of the images.
            images: RGB.
        """
        seen = self.prompts.prompt(turns, images)
        if not images:
            return Asked(seen, None)
        if self.blind != "drop":
            return Asked(seen, seen)
        return Asked(seen, self.prompts.prompt([(role, _unmarked(text)) for role, text in turns], []))

    def answered(self, asked: Sequence[Asked], *, dominance: bool = False) -> list[Answered]:
        """Figures of each sample, in order; a sample's depend on the batches that `asked` is cut into.

        Args:
            asked: samples.
            dominance: also the modality dominance index; needs eager attention and a square of memory.
        """
        pairs = [_same_answers(each) for each in asked]
        blind: list[Prompt | None] = [None] * len(pairs)
        for row, prompt in self._without(pairs).items():
            blind[row] = prompt
        seen = self._figures([seen for seen, _ in pairs])
        unseen = self._figures(blind)
        ratios = self._dominance([seen for seen, _ in pairs]) if dominance else [None] * len(pairs)
        out = []
        for each, figures, without, ratio in zip(asked, seen, unseen, ratios, strict=True):
            cut = each.seen.truncated or bool(each.text and each.text.truncated)
            if figures is None:
                out.append(Answered(truncated=cut, reason=CUT_OFF if cut else NO_ANSWER))
                continue
            reason = None if without else TEXT_ONLY if each.text is None else NO_OTHER
            out.append(Answered(figures, without, cut, reason, ratio))
        return out

    def _without(self, pairs: Sequence[tuple[Prompt | None, Prompt | None]]) -> dict[int, Prompt]:
        """The prompts without the image, of the rows that have one."""
        if self.blind == "drop":
            return {row: text for row, (_, text) in enumerate(pairs) if text}
        some = {row: seen for row, (seen, text) in enumerate(pairs) if seen and text}
        if self.blind == "other":
            return _exchanged(some)
        replaced = _zeros if self.blind == "zero" else _noise
        return {
            row: replace(seen, pixels={name: replaced(value) for name, value in seen.pixels.items()})
            for row, seen in some.items()
        }

    def batches(self, prompts: Sequence[Prompt | None]) -> Iterator[tuple[list[int], list[Prompt]]]:
        """Places and prompts of each forward pass: those with an answer, the shortest first."""
        wanted = [(row, prompt) for row, prompt in enumerate(prompts) if prompt and prompt.n_answer]
        wanted.sort(key=lambda item: len(item[1].ids))
        for start in range(0, len(wanted), self.batch):
            rows, batch = zip(*wanted[start : start + self.batch], strict=True)
            yield list(rows), list(batch)

    def _figures(self, prompts: Sequence[Prompt | None]) -> list[TokenFigures | None]:
        """Figures of each prompt with an answer."""
        import torch

        found: list[TokenFigures | None] = [None] * len(prompts)
        for rows, batch in self.batches(prompts):
            with torch.inference_mode():
                columns = self._answer_figures(*self.inputs(batch))
            ends = np.cumsum([prompt.n_answer for prompt in batch])
            for row, prompt, end in zip(rows, batch, ends.tolist(), strict=True):
                span = slice(end - prompt.n_answer, end)
                found[row] = TokenFigures(*(column[span] for column in columns))
        return found

    def inputs(self, prompts: Sequence[Prompt]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Arguments of a forward pass, and (b, t) which tokens are answers."""
        import torch

        width = max(len(prompt.ids) for prompt in prompts)
        ids = torch.full((len(prompts), width), self._pad)
        mask, answers = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            n = len(prompt.ids)
            span = slice(width - n, width) if self.padding_side == "left" else slice(0, n)
            ids[row, span] = torch.tensor(prompt.ids)
            answers[row, span] = torch.tensor(prompt.answer)
            mask[row, span] = 1
        inputs = {"input_ids": ids, "attention_mask": mask}
        for name in dict.fromkeys(name for prompt in prompts for name in prompt.pixels):
            joined = torch.cat([prompt.pixels[name] for prompt in prompts if prompt.pixels])
            inputs[name] = joined.to(self.model.dtype) if joined.is_floating_point() else joined
        if "mm_token_type_ids" in self._takes:
            inputs["mm_token_type_ids"] = ((ids == self.prompts.image_id) & (mask == 1)).int()
        elif self.padding_side == "left":
            inputs["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
        return {name: value.to(self.model.device) for name, value in inputs.items()}, answers

    def predicted(
        self, inputs: dict[str, torch.Tensor], answers: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Row and column at which each answer token is predicted, and the token; row by row."""
        import torch

        # The token at t is predicted at t - 1.
        rows, columns = torch.nonzero(answers[:, 1:], as_tuple=True)
        return rows, columns, inputs["input_ids"][:, 1:][rows, columns]

    def hidden(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(b, t, width) what the head sees."""
        states: torch.Tensor = self._backbone(**inputs, use_cache=False).last_hidden_state
        if self._scaled is None:
            self._scaled = self._scaling(inputs, states)
        return states

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(t, vocabulary) of rows of `hidden`."""
        found: torch.Tensor = self.model.get_output_embeddings()(hidden)
        return found if self._scaled in (None, 1.0) else found * self._scaled

    def _scaling(self, inputs: dict[str, torch.Tensor], states: torch.Tensor) -> float:
        """What the model multiplies its logits by after the head (Cohere, Granite); asked once.

        Raises:
            ModelUnavailable: it does something else to them, such as to cap them.
        """
        import torch

        with torch.no_grad():
            whole = self.model(**inputs, use_cache=False, logits_to_keep=1).logits[:, -1].float()
            plain = self.logits(states[:, -1]).float()
        scale = float((whole * plain).sum() / plain.square().sum().clamp(min=1e-30))
        if not torch.allclose(plain * scale, whole, rtol=1e-2, atol=1e-2 * float(whole.abs().max())):
            raise ModelUnavailable("the model changes its logits after the head, and not by a factor")
        return 1.0 if abs(scale - 1) < 1e-2 else scale

    def _answer_figures(
        self, inputs: dict[str, torch.Tensor], answers: torch.Tensor
    ) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
        """NLL, EL2N and entropy of the answer tokens, row by row."""
        import torch

        rows, columns, targets = self.predicted(inputs, answers)
        wanted = self.hidden(inputs)[rows, columns]
        parts = []
        for at in range(0, len(targets), TOKENS_AT_ONCE):
            span = slice(at, at + TOKENS_AT_ONCE)
            parts.append(torch.stack(token_figures(self.logits(wanted[span]), targets[span])).cpu())
        return list(torch.cat(parts, dim=1).numpy())

    def _dominance(self, prompts: Sequence[Prompt | None]) -> list[float | None]:
        """Mean attention of the answer tokens to a text token / to an image token, over layers and heads."""
        import torch

        self.model.set_attn_implementation("eager")
        found: list[float | None] = []
        for prompt in prompts:
            if not prompt or not prompt.pixels or not prompt.n_answer:
                found.append(None)
                continue
            with torch.inference_mode():
                inputs, answers = self.inputs([prompt])
                layers = self.model(**inputs, use_cache=False, output_attentions=True).attentions
            queries = torch.nonzero(answers[0])[:, 0].to(self.model.device)
            attention = torch.stack([layer[0, :, queries].float().mean(0) for layer in layers]).mean(0)
            image = inputs["input_ids"][0] == self.prompts.image_id
            visible = torch.arange(len(image), device=image.device)[None] <= queries[:, None]
            shares = [
                (attention[:, kind].sum(-1) / (visible & kind).sum(-1)).mean() for kind in (~image, image)
            ]
            found.append(float(shares[0] / shares[1]))
        return found


def _unmarked(text: str) -> str:
    return text.replace(PLACEHOLDER, " ").strip()


def _same_answers(asked: Asked) -> tuple[Prompt | None, Prompt | None]:
    """The prompts with an answer, that without the image cut to the answer tokens that the other has too."""
    seen, text = asked.seen, asked.text
    if not seen.n_answer or (text is not None and not text.n_answer):
        return None, None
    if text is None or text.n_answer == seen.n_answer:
        return seen, text
    least = min(seen.n_answer, text.n_answer)
    return _with_answers(seen, least), _with_answers(text, least)


def _with_answers(prompt: Prompt, n: int) -> Prompt:
    """The prompt up to its nth answer token."""
    end = int(np.flatnonzero(prompt.answer)[n - 1]) + 1
    return replace(prompt, ids=prompt.ids[:end], answer=prompt.answer[:end])


def _exchanged(some: dict[int, Prompt]) -> dict[int, Prompt]:
    """Each prompt with the images of the next that has others of the same shapes, in a circle."""
    alike: dict[Any, list[int]] = {}
    for row, seen in some.items():
        alike.setdefault(_shapes(seen), []).append(row)
    exchanged = {}
    for rows in alike.values():
        contents = [_content(some[row]) for row in rows]
        for at, row in enumerate(rows):
            after = [*range(at + 1, len(rows)), *range(at)]
            other = next((i for i in after if contents[i] != contents[at]), None)
            if other is not None:
                exchanged[row] = replace(some[row], pixels=some[rows[other]].pixels)
    return exchanged


def _shapes(prompt: Prompt) -> tuple[Any, ...]:
    """What two prompts must share for one to take the other's pixels: shapes, and grids of patches."""
    return tuple(
        (name, tuple(value.shape), () if value.is_floating_point() else tuple(value.flatten().tolist()))
        for name, value in sorted(prompt.pixels.items())
    )


def _content(prompt: Prompt) -> bytes:
    """A digest of the pixels."""
    import torch

    digest = hashlib.sha256()
    for _, value in sorted(prompt.pixels.items()):
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.digest()


def _zeros(value: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.zeros_like(value) if value.is_floating_point() else value


def _noise(value: torch.Tensor) -> torch.Tensor:
    import torch

    if not value.is_floating_point():
        return value
    generator = torch.Generator().manual_seed(NOISE_SEED)
    return torch.randn(value.shape, generator=generator, dtype=value.dtype)
