"""A student that sees the pictures and reads: a vision-language model, fine-tuned, asked by likelihood.

Small models learn with all their weights, others with low-rank adapters in the language model (LoRA,
arXiv 2106.09685). Of the answers that are offered it says the one with the smallest mean NLL a token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.models.gradients import chosen_layers
from curation.models.prompts import Prompt
from curation.models.vision_language import Asked, VisionLanguageModel
from curation.proof.exam import Exam
from curation.proof.questions import Questions
from curation.proof.students import Pace
from curation.readers.images import as_ingested, decode, fetch, to_rgb
from curation.storage.store import Store
from scorers.grounding import TOKENS_AT_ONCE

if TYPE_CHECKING:
    import torch
    from PIL import Image

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Refs = Sequence[Mapping[str, Any]]
SMALL = 100_000_000  # weights up to which all of them learn
RANK = 16  # of the adapters
RATE, ADAPTER_RATE = 3e-4, 2e-4  # of AdamW, after a tenth of the steps; then it falls to 0
BATCH = 16  # pairs a step
ASKED = 48  # questions of a source at most: each takes a pass for every choice
AT_ONCE = 256  # prompts between two signs of life
KEPT = 2048  # prompts that are held with their pixels


@dataclass(frozen=True)
class Lessons:
    """Pairs of the pool as a model reads them, each alone with the pictures of its sample."""

    vlm: VisionLanguageModel
    questions: Questions
    refs: Sequence[Refs]  # by sample
    max_pixels: int
    _kept: dict[int, Prompt] = field(default_factory=dict)

    @classmethod
    def of(cls, vlm: VisionLanguageModel, questions: Questions, store: Store, max_pixels: int) -> Lessons:
        """Those of a store."""
        refs = [
            images for part in store.iterate("samples", ["images"]) for images in part["images"].to_pylist()
        ]
        return cls(vlm, questions, refs, max_pixels)

    def pair(self, number: int) -> Prompt:
        """A question with its answer."""
        if number not in self._kept:
            prompt = self._prompt(number, number, self._images(number))
            if len(self._kept) >= KEPT:
                return prompt
            self._kept[number] = prompt
        return self._kept[number]

    def offered(self, number: int, answers: Sequence[int]) -> list[Prompt]:
        """A question with the answer of each of other pairs; pixels are held once."""
        images = self._images(number)
        prompts = [self._prompt(number, answer, images) for answer in answers]
        return [replace(prompt, pixels=prompts[0].pixels) if prompt.ids else prompt for prompt in prompts]

    def _images(self, number: int) -> list[Image.Image]:
        refs = [dict(ref) for ref in self.refs[self.questions.sample[number]]]
        found = zip(refs, fetch(refs), strict=True)
        return [to_rgb(decode(as_ingested(ref, data), max_pixels=self.max_pixels)) for ref, data in found]

    def _prompt(self, number: int, answer: int, images: Sequence[Image.Image]) -> Prompt:
        turns = [("user", self.questions.question[number]), ("assistant", self.questions.answer[answer])]
        return self.vlm.prompts.prompt(turns, images)


class Finetuned:
    """A `Pupil` (`curation.proof.tables`) that begins anew from the checkpoint each time.

    Args:
        lessons: of a model that nobody else holds: its weights change.
        exam: what it is asked, of which it is asked ASKED of each task.
        trial: the same for what is decided beforehand.
        pace: steps of BATCH pairs.
        advance: is told of prompts that went through the model.
        small: weights up to which all of them learn.
        rate: of learning; by default RATE, or ADAPTER_RATE.
    """

    student: ClassVar[str] = "vlm"
    sees: ClassVar[str | None] = None
    seedless: ClassVar[bool] = False

    def __init__(
        self,
        lessons: Lessons,
        exam: Exam,
        trial: Exam,
        pace: Pace,
        advance: Callable[[int], None] = lambda n: None,
        *,
        small: int = SMALL,
        rate: float | None = None,
    ) -> None:
        self.lessons, self.pace, self.advance = lessons, pace, advance
        self.exam, self.trial = exam.shorter(ASKED, 0), trial.shorter(ASKED, 0)
        self.full = sum(weight.numel() for weight in lessons.vlm.model.parameters()) <= small
        self.weights = _learning(lessons.vlm.model, full=self.full)
        self.rate = rate or (RATE if self.full else ADAPTER_RATE)
        self._first = [weight.detach().clone() for weight in self.weights]
        self._offered: dict[bool, list[list[Prompt]]] = {}  # of the trial, of the exam

    def cost(self, n_pairs: int, *, tried: bool = True) -> int:
        """Prompts that go through the model for `marks` of so many pairs."""
        exams = (self.exam, self.trial) if tried else (self.exam,)
        n_asked = sum(int((exam.choices >= 0).sum()) for exam in exams)
        return BATCH * self.pace.of(n_pairs, BATCH) + n_asked

    def pairs(self, rows: Ints) -> Ints:
        """The pairs of samples."""
        questions = self.lessons.questions
        return np.flatnonzero(np.isin(questions.sample, rows))

    def marks(self, rows: Ints, seed: int, *, tried: bool = True) -> tuple[Floats, Floats]:
        """What it gets in the exam, and in the trial if `tried`, once it learned from the samples `rows`."""
        self._learn(self.pairs(rows), seed)
        return self._right(self.exam), self._right(self.trial) if tried else np.zeros(0, np.float32)

    def _learn(self, pairs: Ints, seed: int) -> None:
        """From the checkpoint, `pace` steps of AdamW; which pairs each step sees is drawn by the seed."""
        import torch

        for weight, first in zip(self.weights, self._first, strict=True):
            weight.data.copy_(first)
        rng = np.random.default_rng(seed)
        adam = torch.optim.AdamW(self.weights, lr=self.rate, weight_decay=0.0)
        n_steps = self.pace.of(len(pairs), BATCH)
        for step in range(n_steps):
            prompts = [self.lessons.pair(pair) for pair in rng.choice(pairs, BATCH).tolist()]
            for group in adam.param_groups:
                group["lr"] = self.rate * min((step + 1) / (0.1 * n_steps + 1), 1 - step / n_steps)
            n_tokens = sum(prompt.n_answer for prompt in prompts)
            for _, batch in self.lessons.vlm.batches(prompts):
                _backward(self.lessons.vlm, batch, n_tokens)
            torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
            adam.step()
            adam.zero_grad()
            self.advance(BATCH)

    def _right(self, exam: Exam) -> Floats:
        """Of each question whether the right answer is the likeliest."""
        offered = self._offered.get(exam is self.exam)
        if offered is None:
            offered = self._offered[exam is self.exam] = [
                self.lessons.offered(item, [choice for choice in row if choice >= 0])
                for item, row in zip(exam.items.tolist(), exam.choices.tolist(), strict=True)
            ]
        costs = self._costs([prompt for prompts in offered for prompt in prompts])
        parts = np.split(costs, np.cumsum([len(prompts) for prompts in offered])[:-1])
        return np.array([part[0] < part[1:].min() for part in parts if len(part)], np.float32)

    def _costs(self, prompts: list[Prompt]) -> Floats:
        """The mean NLL of each answer; infinite where there is none, or it is not finite."""
        costs = np.full(len(prompts), np.inf, np.float32)
        # Like lengths beside each other, so that little is padded.
        order = np.argsort([len(prompt.ids) for prompt in prompts], kind="stable")
        for start in range(0, len(order), AT_ONCE):
            rows = order[start : start + AT_ONCE]
            answered = self.lessons.vlm.answered([Asked(prompts[row], None) for row in rows])
            for row, answer in zip(rows.tolist(), answered, strict=True):
                if answer.seen is not None and answer.seen.finite:
                    costs[row] = answer.seen.nll.mean()
            self.advance(len(rows))
        return costs


def _learning(model: Any, *, full: bool) -> list[torch.Tensor]:
    """The weights that learn, in float32: all, or those of adapters that are put into the language model."""
    import torch

    model.requires_grad_(False)
    if full:
        model.float().requires_grad_(True)
        return list(model.parameters())
    from peft import LoraConfig, inject_adapter_in_model

    names = list(chosen_layers(model, ".*"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        inject_adapter_in_model(LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=names), model)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in weights:
        weight.data = weight.data.float()
    return weights


def _backward(vlm: VisionLanguageModel, batch: Sequence[Prompt], n_tokens: int) -> None:
    """Add the gradients of the batch's NLL, summed, over `n_tokens`."""
    import torch

    with torch.enable_grad():
        inputs, answers = vlm.inputs(batch)
        rows, columns, targets = vlm.predicted(inputs, answers)
        hidden = vlm.hidden(inputs)[rows, columns]
        # The head in pieces, so that logits of all answer tokens are never there at once.
        leaf = hidden.detach().requires_grad_()
        for at in range(0, len(targets), TOKENS_AT_ONCE):
            span = slice(at, at + TOKENS_AT_ONCE)
            logits = vlm.logits(leaf[span]).float()
            loss = torch.nn.functional.cross_entropy(logits, targets[span], reduction="sum")
            torch.autograd.backward(loss / n_tokens)
        torch.autograd.backward(hidden, leaf.grad)
