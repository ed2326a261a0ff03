"""Messages: `role`, and `content` that is a string or a list of text and image parts, as OpenAI has them.

TRL's `prompt` and `completion` are messages too, or strings.
"""

from __future__ import annotations

from typing import Any

from curation.readers.records import (
    PLACEHOLDER,
    BadRecord,
    Images,
    Shape,
    Turns,
    always,
    canonical,
    image_list,
    kind,
    listed_turns,
    location,
    role,
    turn_list,
    turn_text,
)
from schemas.errors import BAD_IMAGE_FIELD, BAD_TURN
from schemas.protocols import ImageAt

_TEXT_PARTS = ("text", "input_text", "output_text")
_IMAGE_PARTS = ("image_url", "image", "input_image")
# LLaMA-Factory has the text or the path of every part under `value`.
_LOCATIONS = ("image_url", "image", "url", "path", "value")


def messages(record: dict[str, Any]) -> tuple[Turns, Images]:
    """Turns and images of a record of OpenAI messages, images in the order of their parts.

    An image part without a location ({"type": "image"}, as TRL has it) stands for the next of the record's
    `images`; text next to text is a line of its own.

    Raises:
        BadRecord: no turns, or a turn or a part of another shape.
    """
    turns: list[tuple[str, str]] = []
    images: list[ImageAt] = []
    for number, turn in enumerate(turn_list(record, "messages", "conversations"), 1):
        text, found = _content(turn, number)
        turns.append((role(turn_text(turn, number, "role", "from")), canonical(text)))
        images += found
    listed = image_list(record)
    if images and listed and tuple(images) != listed:
        raise BadRecord(
            BAD_IMAGE_FIELD, "image parts and the record's 'images' both name images, and they differ"
        )
    return tuple(turns), tuple(images) or listed


def _content(turn: dict[str, Any], number: int) -> tuple[str, list[ImageAt]]:
    parts = turn["value"] if turn.get("content") is None and "value" in turn else turn.get("content")
    if not isinstance(parts, list):
        return turn_text(turn, number, "content", "value"), []
    texts: list[str] = []
    images: list[ImageAt] = []
    for n, part in enumerate(parts, 1):
        where = f"part {n} of turn {number}"
        if not isinstance(part, dict):
            raise BadRecord(BAD_TURN, f"{where} should be an object and is {kind(part)}")
        if part.get("type") in _TEXT_PARTS:
            text = part["value"] if part.get("text") is None and "value" in part else part.get("text")
            if not isinstance(text, str):
                raise BadRecord(BAD_TURN, f"{where}: 'text' should be a string and is {kind(text)}")
            if text:
                texts.append(text)
        elif part.get("type") in _IMAGE_PARTS:
            texts.append(PLACEHOLDER)
            images += _image(part, where)
        else:
            raise BadRecord(
                BAD_TURN, f"{where} has type {part.get('type')!r:.80}; text, image_url and image are read"
            )
    return "\n".join(texts), images


def _image(part: dict[str, Any], where: str) -> list[ImageAt]:
    """The location in an image part: a string or {"url": ...}, under one of `_LOCATIONS`."""
    value = next((part[key] for key in _LOCATIONS if part.get(key) is not None), None)
    if value is None:
        return []
    if isinstance(value, dict) and value.get("url") is not None:
        value = value["url"]
    return [location(value, where)]


def _fits(record: dict[str, Any]) -> bool:
    """Whether there are parts: texts alone are read alike as ShareGPT."""
    turns = listed_turns(record, "messages") or listed_turns(record, "conversations") or []
    return any(isinstance(turn.get("content", turn.get("value")), list) for turn in turns)


MESSAGES = Shape(_fits, messages, lambda record: record.get("messages") is not None)


def prompt(record: dict[str, Any]) -> tuple[Turns, Images]:
    """Turns and images: the completion answers the prompt. Other keys are ignored.

    Raises:
        BadRecord: no prompt or completion, or one of another type.
    """
    said = [
        *_said(record.get("prompt"), "prompt", "user"),
        *_said(record.get("completion"), "completion", "assistant"),
    ]
    turns, images = messages({**record, "messages": said})
    return turns, images or image_list(record)


def _said(value: Any, key: str, role: str) -> list[Any]:
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, list):
        raise BadRecord(BAD_TURN, f"{key!r} should be a string or a list of messages and is {kind(value)}")
    return value


# Those with preferences are TRL's too, and say so in quarantine.
PROMPT = Shape(
    lambda record: "prompt" in record and bool({"completion", "chosen"} & set(record)), prompt, always
)
