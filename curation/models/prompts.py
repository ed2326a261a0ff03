"""A conversation as a vision-language model reads it: token ids, which of them are answers, and pixels.

The chat template is rendered once, with a mark in place of each text, so that where an answer starts and ends
is known to the character whatever the template puts around it. Images are run through the processor one by
one, and its own run of image tokens takes the place of the placeholder: what processors do themselves, but in
threads, and the same for LLaVA's fixed runs and Qwen2-VL's runs by size.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from schemas.errors import ModelUnavailable

if TYPE_CHECKING:
    import torch
    from PIL import Image

PLACEHOLDER = "<image>"
ROLES = {"system", "user", "assistant"}
_OPEN, _CLOSE = "\ue000", "\ue001"  # private use: no text that a template would change
_MARK = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
NOT_PIXELS = {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"}


@dataclass(frozen=True)
class Prompt:
    """What goes through the model for one sample."""

    ids: tuple[int, ...]  # image tokens in place
    answer: tuple[bool, ...]  # whether the token belongs to an answer
    pixels: dict[str, torch.Tensor] = field(default_factory=dict)  # by the model's argument, images joined
    truncated: bool = False

    @property
    def n_answer(self) -> int:
        """Answer tokens."""
        return sum(self.answer)


class Prompts:
    """Makes prompts with one processor. Thread-safe.

    Args:
        processor: of `AutoProcessor`, with a chat template and a fast tokenizer.
        most: tokens of a prompt; longer ones are cut at the end.

    Raises:
        ModelUnavailable: the processor has no chat template, no fast tokenizer, or no image token.
    """

    def __init__(self, processor: Any, most: int) -> None:
        self.processor = processor
        self.most = most
        self.tokenizer = processor.tokenizer
        self._lock = threading.Lock()  # a fast tokenizer may not be borrowed by two threads at once
        template = getattr(processor, "chat_template", None) or getattr(self.tokenizer, "chat_template", None)
        if not template:
            raise ModelUnavailable("the model has no chat template, so nobody knows how it reads a dialogue")
        if not self.tokenizer.is_fast:
            raise ModelUnavailable("the model has no fast tokenizer, which is needed to find the answers")
        self.image_token: str | None = getattr(processor, "image_token", None)
        if not self.image_token:
            raise ModelUnavailable("the processor names no image token (`image_token`)")
        self.image_id = int(self.tokenizer.convert_tokens_to_ids(self.image_token))

    def prompt(self, turns: Sequence[tuple[str, str]], images: Sequence[Image.Image]) -> Prompt:
        """The conversation with its images (RGB); `<image>` marks their places, unmarked ones come first."""
        text, spans = self._render(turns, len(images))
        ids, answer = self._tokens(text, spans)
        if not images:
            return self._cut(ids, answer, {})
        runs, pixels = zip(*(self._picture(image) for image in images), strict=True)
        at = [place for place, token in enumerate(ids) if token == self.image_id]
        if len(at) != len(images):
            raise ModelUnavailable(
                f"the chat template put {len(at)} image tokens for {len(images)} images into the text"
            )
        for place, run in reversed(list(zip(at, runs, strict=True))):
            ids[place : place + 1] = run
            answer[place : place + 1] = [False] * len(run)
        return self._cut(ids, answer, _joined(pixels))

    def _cut(self, ids: list[int], answer: list[bool], pixels: dict[str, torch.Tensor]) -> Prompt:
        cut = len(ids) > self.most
        if cut and self.image_id in ids[self.most :]:
            return Prompt((), (), {}, truncated=True)  # the images alone are too long
        return Prompt(tuple(ids[: self.most]), tuple(answer[: self.most]), pixels, cut)

    def _render(self, turns: Sequence[tuple[str, str]], n_images: int) -> tuple[str, list[tuple[int, int]]]:
        """The text, and start and end of each answer in it."""
        texts: list[tuple[str, bool]] = []
        messages = []
        unmarked = n_images - sum(text.count(PLACEHOLDER) for _, text in turns)
        left = n_images
        for role, text in turns:
            role_known = role if role in ROLES else "user"
            parts: list[dict[str, str]] = []
            if role_known == "user" and unmarked > 0:
                parts += [{"type": "image"}] * unmarked
                left, unmarked = left - unmarked, 0
            pieces = text.split(PLACEHOLDER)
            for number, piece in enumerate(pieces):
                if number and left:
                    parts.append({"type": "image"})
                    left -= 1
                if piece.strip():
                    parts.append({"type": "text", "text": f"{_OPEN}{len(texts)}{_CLOSE}"})
                    texts.append((piece.strip(), role_known == "assistant"))
            messages.append({"role": role_known, "content": parts})
        rendered: str = self.processor.apply_chat_template(messages, tokenize=False)
        out, spans, cursor, length = [], [], 0, 0
        for mark in _MARK.finditer(rendered):
            before, (piece, is_answer) = rendered[cursor : mark.start()], texts[int(mark.group(1))]
            out += [before, piece]
            length += len(before)
            if is_answer:
                spans.append((length, length + len(piece)))
            length += len(piece)
            cursor = mark.end()
        return "".join([*out, rendered[cursor:]]), spans

    def _tokens(self, text: str, spans: list[tuple[int, int]]) -> tuple[list[int], list[bool]]:
        """Token ids, and whether each shares a character with an answer."""
        begin = self.tokenizer.bos_token
        with self._lock:
            found = self.tokenizer(
                text, add_special_tokens=not (begin and text.startswith(begin)), return_offsets_mapping=True
            )
        answer, span = [], 0
        for start, end in found["offset_mapping"]:
            while span < len(spans) and spans[span][1] <= start:
                span += 1
            answer.append(span < len(spans) and start < end and end > spans[span][0])
        return list(found["input_ids"]), answer

    def _picture(self, image: Image.Image) -> tuple[list[int], dict[str, torch.Tensor]]:
        """The tokens that stand for an image, and its tensors."""
        with self._lock:
            found = self.processor(
                text=[self.image_token], images=[image], add_special_tokens=False, return_tensors="pt"
            )
        run = found["input_ids"][0].tolist()
        return run, {name: value for name, value in found.items() if name not in NOT_PIXELS}


def _joined(pixels: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    import torch

    return {name: torch.cat([each[name] for each in pixels]) for name in pixels[0]}
