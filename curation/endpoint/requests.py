"""A request: the body of a chat completion, and the digest that its answer is kept under.

In the digest an image stands as the hash of its bytes and the size that it is sent in. So what is answered is
known without decoding an image, and stays answered when a library encodes JPEG in other bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from threading import Lock
from typing import TYPE_CHECKING, Any

from curation.endpoint.address import Dialect, Endpoint
from curation.readers.images import BadImage, as_ingested, decode, fetch, to_rgb
from schemas.tables import key_of
from scorers.questions import SYSTEM, Answer, Question, prompt

if TYPE_CHECKING:
    from PIL import Image

QUALITY = 85  # of JPEG
ENCODING = 1  # raised when images are scaled or encoded in another way: what was answered is asked anew


@dataclass
class Pictures:
    """The images of one sample, decoded and encoded at the first call."""

    refs: Sequence[dict[str, Any]]
    side: int  # px
    max_pixels: int
    held: list[str] | None = field(default=None, init=False)
    lock: Lock = field(default_factory=Lock, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.refs)

    def names(self) -> list[str]:
        """What stands for each of them in a digest."""
        return [f"{ref['sha256'].hex()}/{self.side}px/{ENCODING}" for ref in self.refs]

    def urls(self) -> list[str]:
        """Each as a data URL.

        Raises:
            ReadError: one is not what was ingested.
        """
        with self.lock:
            if self.held is None:
                self.held = [
                    self._url(ref, data) for ref, data in zip(self.refs, fetch(self.refs), strict=True)
                ]
            return self.held

    def _url(self, ref: dict[str, Any], data: bytes | BadImage) -> str:
        return data_url(to_rgb(decode(as_ingested(ref, data), max_pixels=self.max_pixels)), self.side)


@dataclass(frozen=True)
class Sample:
    """What is asked about."""

    turns: tuple[tuple[str, str], ...]  # (role, text)
    pictures: Pictures


@dataclass(frozen=True)
class Request:
    """One question about one sample, `reminded` if the first answer was malformed."""

    endpoint: Endpoint
    sample: Sample
    question: Question
    reminded: bool = False

    @cached_property
    def digest(self) -> str:
        """32 hex digits over the canonical JSON of the body, images by name."""
        return key_of(self._body(self.sample.pictures.names()))

    def body(self) -> dict[str, Any]:
        """What is sent. Decodes the images, if nothing has yet."""
        return self._body(self.sample.pictures.urls())

    def _body(self, images: Sequence[str]) -> dict[str, Any]:
        question = self.question
        text = prompt(
            self.sample.turns, len(images), question.text + (question.reminder if self.reminded else "")
        )
        dialect = self.endpoint.dialect
        body: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": messages(text, images),
            dialect.limit: question.max_tokens,
        }
        if dialect.temperature:
            body["temperature"] = 0
        if question.schema is not None:
            body |= structured(dialect, question)
        if question.logprobs and dialect.logprobs:
            body |= {"logprobs": True, "top_logprobs": dialect.logprobs}
        return body


def messages(text: str, images: Sequence[str]) -> list[dict[str, Any]]:
    """A system message and a user's: the images, then the text; the text alone where there is no image."""
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    content = [*parts, {"type": "text", "text": text}] if parts else text
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]


def structured(dialect: Dialect, question: Question) -> dict[str, Any]:
    """What holds an answer to JSON, as far as the endpoint can."""
    if dialect.structured == "schema":
        held = {"name": question.name, "strict": True, "schema": question.schema}
        return {"response_format": {"type": "json_schema", "json_schema": held}}
    return {"response_format": {"type": "json_object"}} if dialect.structured == "object" else {}


def data_url(image: Image.Image, side: int) -> str:
    """An RGB image as a JPEG data URL, its longer side scaled down to `side` pixels if it has more."""
    from PIL import Image as Pillow

    if max(image.size) > side:
        scale = side / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Pillow.Resampling.BICUBIC, reducing_gap=2.0)
    sink = BytesIO()
    image.save(sink, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(sink.getvalue()).decode("ascii")


def kept(completion: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a chat completion: everything that an answer can be read from, and what it took.

    Raises:
        ValueError: it is no chat completion.
    """
    try:
        choice = completion["choices"][0]
        message = choice["message"]
        text = message.get("content") or message.get("refusal") or ""
        if not isinstance(text, str):
            raise TypeError
        found: dict[str, Any] = {"text": text, "finish": choice.get("finish_reason")}
        tokens = (choice.get("logprobs") or {}).get("content") or []
        found["tokens"] = [
            [
                token["token"],
                [[other["token"], other["logprob"]] for other in token.get("top_logprobs") or []],
            ]
            for token in tokens
        ]
    except (LookupError, TypeError, AttributeError):
        raise ValueError(f"it is no chat completion: {str(completion)[:200]}") from None
    usage = completion.get("usage") or {}
    found["usage"] = {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens")}
    found["model"] = completion.get("model")
    return found


def answer_of(held: dict[str, Any]) -> Answer:
    """An answer that was kept, as scorers read it."""
    tokens = tuple(
        (token, tuple((other, float(logprob)) for other, logprob in others))
        for token, others in held["tokens"]
    )
    return Answer(held["text"], held["finish"] == "length", tokens)
