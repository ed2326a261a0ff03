"""Kept samples as what formats are made of: turns, images, further keys, scores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from curation.readers.records import PLACEHOLDER, BadRecord, canonical, parse
from curation.readers.shapes import schema_of

# LLaVA's trainers know these names and no others.
FROM = {"user": "human", "assistant": "gpt", "system": "system"}
ROLE = {name: role for role, name in FROM.items()}
# What the formats call turns and images; everything else of a record is carried along.
TURN_AND_IMAGE_KEYS = frozenset(
    {
        *("id", "uid", "image", "images", "system", "conversations", "messages", "texts", "text", "scores"),
        *("prompt", "completion", "query", "response", "history", "instruction", "input", "output"),
        *("question", "answer", "caption", "file_name", "filepath", "extra"),
    }
)


def conversations(row: dict[str, Any]) -> list[dict[str, str]]:
    """Turns as LLaVA has them: the record's if it is LLaVA's and not repaired, else the canonical ones."""
    record = None if row["repaired"] else llava_record(row["record"])
    if record is not None:
        return [{"from": turn["from"], "value": turn["value"]} for turn in record["conversations"]]
    return [{"from": FROM[turn["role"]], "value": turn["text"]} for turn in row["turns"]]


def messages(row: dict[str, Any]) -> list[dict[str, str]]:
    """The same turns by `role` (user, assistant, system) and `content`."""
    return [{"role": ROLE[turn["from"]], "content": turn["value"]} for turn in conversations(row)]


def messages_in_parts(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The same turns, each content a list of parts {type: image} and {type: text}, as templates want them."""
    return [
        {"role": ROLE[turn["from"]], "content": list(_parts(turn["value"]))} for turn in conversations(row)
    ]


def _parts(text: str) -> Iterator[dict[str, str | None]]:
    """White space next to an image says how a format glues the two, so it goes."""
    for number, piece in enumerate(canonical(text).split(PLACEHOLDER)):
        if number:
            yield {"type": "image", "text": None}
        if piece.strip("\n") or (not number and PLACEHOLDER not in text):
            yield {"type": "text", "text": piece.strip("\n") if PLACEHOLDER in text else piece}


def without_system(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """LLaVA's turns with what the system says before the first question, in front of its text."""
    if len(turns) < 2 or turns[0]["from"] != "system":
        return turns
    first = {**turns[1], "value": f"{turns[0]['value']}\n\n{turns[1]['value']}"}
    return [first, *turns[2:]]


def identity(row: dict[str, Any]) -> str:
    """The sample's id as a string: its record's, else its uid in hex."""
    return row["record_id"] or str(row["uid"].hex())


def extra(row: dict[str, Any]) -> dict[str, str]:
    """The keys of the record that are neither turns nor images, as a string of JSON under `extra`, if any.

    A string: loaders infer one type for a column, and every record may have other keys. What an earlier
    export has put there comes out again.
    """
    record = parsed(row["record"])
    more = {name: item for name, item in record.items() if name not in TURN_AND_IMAGE_KEYS}
    held = record.get("extra")
    if held not in (None, "{}"):
        inner = parsed(held.encode("utf-8", "replace")) if isinstance(held, str) else held
        more = {**(inner if isinstance(inner, dict) and inner else {"extra": held}), **more}
    return {"extra": json.dumps(more, ensure_ascii=False)} if more else {}


def scores(row: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The sample's scores, bytes in hex."""
    return {name: value.hex() if isinstance(value := row[name], bytes) else value for name in names}


def llava_record(raw: bytes) -> dict[str, Any] | None:
    """The parsed record where its turns are LLaVA's and by roles that LLaVA has, else None."""
    record = parsed(raw)
    if schema_of(record) != "llava":
        return None
    known = all(turn.get("from") in ROLE for turn in record["conversations"])
    return record if known else None


def parsed(raw: bytes) -> dict[str, Any]:
    """The record as an object; empty where it is none."""
    try:
        value = parse(raw)
    except BadRecord:  # a caption of a WebDataset is no JSON
        return {}
    return value if isinstance(value, dict) else {}
