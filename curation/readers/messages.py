"""OpenAI messages: `role`, and `content` that is a string or a list of text and image parts."""

from __future__ import annotations

from typing import Any

from curation.readers.records import (
    PLACEHOLDER,
    BadRecord,
    Images,
    Shape,
    Turns,
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

_IMAGE_PARTS = ("image_url", "image")


def messages(record: dict[str, Any]) -> tuple[Turns, Images]:
    """Turns and images of a record of OpenAI messages, images in the order of their parts.

    An image part without a location ({"type": "image"}, as TRL has it) stands for the next of the record's
    `images`; text next to text is a line of its own.

    Raises:
        BadRecord: no turns, or a turn or a part of another shape.
    """
    turns: list[tuple[str, str]] = []
    images: list[ImageAt] = []
    for number, turn in enumerate(turn_list(record, "messages"), 1):
        text, found = _content(turn, number)
        turns.append((role(turn_text(turn, number, "role")), canonical(text)))
        images += found
    listed = image_list(record)
    if images and listed and tuple(images) != listed:
        raise BadRecord(
            BAD_IMAGE_FIELD, "image parts and the record's 'images' both name images, and they differ"
        )
    return tuple(turns), tuple(images) or listed


def _content(turn: dict[str, Any], number: int) -> tuple[str, list[ImageAt]]:
    if not isinstance(turn.get("content"), list):
        return turn_text(turn, number, "content"), []
    texts: list[str] = []
    images: list[ImageAt] = []
    for n, part in enumerate(turn["content"], 1):
        where = f"part {n} of turn {number}"
        if not isinstance(part, dict):
            raise BadRecord(BAD_TURN, f"{where} should be an object and is {kind(part)}")
        if part.get("type") == "text":
            if not isinstance(part.get("text"), str):
                raise BadRecord(
                    BAD_TURN, f"{where}: 'text' should be a string and is {kind(part.get('text'))}"
                )
            if part["text"]:
                texts.append(part["text"])
        elif part.get("type") in _IMAGE_PARTS:
            texts.append(PLACEHOLDER)
            images += _image(part, where)
        else:
            raise BadRecord(
                BAD_TURN, f"{where} has type {part.get('type')!r:.80}; text, image_url and image are read"
            )
    return "\n".join(texts), images


def _image(part: dict[str, Any], where: str) -> list[ImageAt]:
    """The location in an image part: a string or {"url": ...}, under its type, `url` or `path`."""
    value = next((part[key] for key in (*_IMAGE_PARTS, "url", "path") if part.get(key) is not None), None)
    if value is None:
        return []
    if isinstance(value, dict) and value.get("url") is not None:
        value = value["url"]
    return [location(value, where)]


def _fits(record: dict[str, Any]) -> bool:
    """Whether there are parts: texts alone are read alike as ShareGPT."""
    turns = listed_turns(record, "messages") or []
    return any(isinstance(turn.get("content"), list) for turn in turns)


MESSAGES = Shape(_fits, messages)
