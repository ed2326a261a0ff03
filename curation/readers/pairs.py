"""Records of an image with a caption, or with a question and its answer: COCO, imagefolder, CSV, VQA."""

from __future__ import annotations

from typing import Any

from curation.readers.records import (
    BadRecord,
    Images,
    Shape,
    Turns,
    always,
    canonical,
    captioned,
    image_list,
    kind,
    location,
)
from schemas.errors import BAD_TURN, NO_TURNS

# What others call them; the first that is present counts.
IMAGE = (
    *("image", "images", "file_name", "filepath", "image_path", "image_file", "img", "img_path"),
    *("image_url", "url", "URL"),
)
CAPTION = ("caption", "captions", "text", "TEXT", "alt_text", "title", "description")
QUESTION = ("question", "problem")
ANSWER = ("answer", "answers", "multiple_choice_answer", "solution", "response")


def pairs(record: dict[str, Any]) -> tuple[Turns, Images]:
    """Turns and images; a caption answers CAPTION_QUESTION. Of a list of captions or answers the first.

    Raises:
        BadRecord: no text, or one of another type.
    """
    question, answer, caption = (_first(record, names) for names in (QUESTION, ANSWER, CAPTION))
    if question is not None and answer is not None:
        turns: Turns = (("user", canonical(question)), ("assistant", canonical(answer)))
    elif caption is not None and caption.strip():
        turns = captioned(caption)
    else:
        raise BadRecord(
            NO_TURNS, f"the record has none of {', '.join(CAPTION)}, nor a question with an answer"
        )
    return turns, _images(record)


def _images(record: dict[str, Any]) -> Images:
    images = image_list(record)
    if images:
        return images
    name = next((name for name in IMAGE[2:] if record.get(name)), None)
    return () if name is None else (location(record[name], repr(name)),)


def _first(record: dict[str, Any], names: tuple[str, ...]) -> str | None:
    name = next((name for name in names if record.get(name) not in (None, [], "")), None)
    if name is None:
        return None
    value = record[name][0] if isinstance(record[name], list) else record[name]
    if isinstance(value, dict):  # VQAv2: {"answer": "…", …}
        value = next((item for key, item in value.items() if key in ("answer", "text", "raw")), value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise BadRecord(BAD_TURN, f"{name!r} should be a string and is {kind(value)}")
    return str(value)


def _fits(record: dict[str, Any]) -> bool:
    def has(names: tuple[str, ...]) -> bool:
        return any(record.get(name) is not None for name in names)

    return has(IMAGE) and (has(CAPTION) or (has(QUESTION) and has(ANSWER)))


def _is_caption(record: dict[str, Any]) -> bool:
    return _first(record, QUESTION) is None or _first(record, ANSWER) is None


PAIRS = Shape(_fits, pairs, always, _is_caption)
