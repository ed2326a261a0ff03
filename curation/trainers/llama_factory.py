"""LLaMA-Factory: its converters of ShareGPT and Alpaca, and the check of its multimodal plug-ins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curation.trainers.rules import (
    ARRAY,
    CRASH,
    DROPPED,
    LINES,
    OLD,
    PARQUET,
    TAG,
    Record,
    Rule,
    Trainer,
    embedded,
    listed,
    n_tags,
    nothing,
    paths,
    shown,
    turns,
)

_SHAREGPT = "data/converter.py: SharegptDatasetConverter"
_ALPACA = "data/converter.py: AlpacaDatasetConverter"
_COUNTS = "data/mm_plugin.py: BasePlugin._validate_messages"
_OPENED = "data/mm_plugin.py: BasePlugin._regularize_images"
_PROCESSOR = "data/processor/supervised.py: SupervisedDatasetProcessor"
_FORMATTER = "data/formatter.py: StringFormatter.apply"
# Columns and tags of dataset_info.json, by what they are called without one.
_COLUMNS = {"prompt": "instruction", "query": "input", "response": "output", "messages": "conversations"}
_NAMES = {
    "prompt": "instruction", "query": "input", "response": "output", "history": "history", "system": "system",
    "images": "images", "videos": "videos", "audios": "audios",
}  # fmt: skip
_ROLES = {
    "user_tag": "human", "assistant_tag": "gpt", "observation_tag": "observation",
    "function_tag": "function_call", "system_tag": "system",
}  # fmt: skip
_TAGS = {"role_tag": "from", "content_tag": "value", **_ROLES}
_ASKS = ("human", "user", "observation")
_ANSWERS = ("gpt", "assistant", "function_call")


def _key(record: Record) -> str:
    """`columns.messages` of dataset_info.json, by what is there."""
    return "messages" if record.get("messages") is not None else "conversations"


def _is_alpaca(record: Record) -> bool:
    return record.get(_key(record)) is None and "instruction" in record


def _keys(found: list[dict[str, Any]]) -> tuple[str, str]:
    return ("role", "content") if any("role" in turn for turn in found) else ("from", "value")


def _said(record: Record) -> list[tuple[Any, Any]]:
    """Role and text of each turn, by whatever tags it has, without a system turn at the beginning."""
    found = turns(record, _key(record))
    role, text = _keys(found)
    said = [(turn.get(role), turn.get(text)) for turn in found]
    return said[1:] if said and said[0][0] == "system" else said


def _texts(record: Record) -> list[Any]:
    """What is asked and answered, in order."""
    if not _is_alpaca(record):
        return [text for _, text in _said(record)]
    pairs = [text for pair in listed(record.get("history")) for text in listed(pair)]
    return [*pairs, record.get("instruction"), record.get("input"), record.get("output")]


def _images(record: Record) -> list[Any]:
    key = "images" if record.get("images") is not None else "image"
    return listed(record.get(key))


def no_messages(record: Record) -> str | None:
    """The column that dataset_info.json names is looked up, and its length taken."""
    if _is_alpaca(record) or isinstance(record.get(_key(record)), list):
        return None
    return f"{_key(record)!r} should be a list of turns and is {shown(record.get(_key(record)))}"


def no_tags(record: Record) -> str | None:
    """Role, and then text, are looked up under the tags of dataset_info.json."""
    found = turns(record, _key(record))
    role, text = _keys(found)
    if not found or (any(role in turn for turn in found) and any(text in turn for turn in found)):
        return None
    if found[0].get(role) in (None, "system", *_ASKS):
        return f"no turn has {role!r} and {text!r}, or what dataset_info.json calls them"
    return None  # dropped for its first role before its text is looked up


def roles_out_of_order(record: Record) -> str | None:
    """Odd turns ask, even ones answer."""
    for number, (role, _) in enumerate([] if _is_alpaca(record) else _said(record)):
        if role not in (_ASKS, _ANSWERS)[number % 2]:
            expected = ("a question", "an answer")[number % 2]
            return (
                f"turn {number + 1} behind the system text is from {shown(role)} where {expected} should be"
            )
    return None


def no_answer(record: Record) -> str | None:
    """An even number of turns, and two at least; of Alpaca an `output` that is a string."""
    if _is_alpaca(record):
        output = record.get("output")
        return None if isinstance(output, str) else f"'output' is {shown(output)}"
    number = len(_said(record))
    if (number and number % 2 == 0) or no_messages(record):
        return None
    return "there is no turn" if not number else "the last question has no answer"


def asked_is_no_string(record: Record) -> str | None:
    """What an Alpaca record asks is joined."""
    asked = [record[key] for key in ("instruction", "input") if record.get(key)] if _is_alpaca(record) else []
    wrong = next((text for text in asked if not isinstance(text, str)), None)
    return None if wrong is None else f"what is asked should be a string and is {shown(wrong)}"


def text_is_no_string(record: Record) -> str | None:
    """Tags are counted in it, and it is put into the template."""
    texts = [] if _is_alpaca(record) else _texts(record)
    wrong = next((text for text in texts if not isinstance(text, str)), "")
    return None if wrong == "" else f"a text should be a string and is {shown(wrong)}"


def history_is_no_pairs(record: Record) -> str | None:
    """A question and its answer each."""
    history = record.get("history")
    if not _is_alpaca(record) or not isinstance(history, list):
        return None
    wrong = next((pair for pair in history if not isinstance(pair, list) or len(pair) != 2), None)
    return wrong and f"an element of 'history' should be a question and its answer and is {shown(wrong)}"


def tag_count(record: Record) -> str | None:
    """As many tags as images, or training stops."""
    tags, images = n_tags(_texts(record)), len(_images(record))
    return None if tags == images else f"{TAG} in the text: {tags}, images: {images}"


def other_tags(record: Record) -> str | None:
    """Tags of videos and audio are counted too, wherever they come from."""
    for tag, key in (("<video>", "videos"), ("<audio>", "audios")):
        found = sum(text.count(tag) for text in _texts(record) if isinstance(text, str))
        if found != len(listed(record.get(key))):
            return f"{tag} in the text: {found}, {key}: {len(listed(record.get(key)))}"
    return None


def image_is_no_path(record: Record) -> str | None:
    """Paths and structs of bytes are opened."""
    for image in _images(record):
        if not embedded(image) and image != "" and not paths([image]):
            return f"an image should be a path and is {shown(image)}"
    return None


def image_is_empty(record: Record) -> str | None:
    """An empty string counts as an image, and is opened."""
    found = any(image == "" for image in _images(record))
    return "an image is an empty string" if found else None


def as_named(record: Record, entry: Mapping[str, Any]) -> dict[str, Any]:
    """`record` under the default names, as its `entry` in dataset_info.json makes LLaMA-Factory see it.

    Where an entry has `columns` or `tags`, those that it leaves out are none (data/parser.py:
    DatasetAttr.join): images are not loaded, and a role without a tag is not known.
    """
    columns = _given(entry.get("columns"), _COLUMNS)
    tags = _given(entry.get("tags"), _TAGS)
    found = {ours: record.get(columns[theirs]) for theirs, ours in _NAMES.items() if theirs in columns}
    if entry.get("formatting", "alpaca") == "alpaca":
        return {"instruction": None, "output": None, **found}
    said = record.get(columns.get("messages", ""))
    turns_ = [_as_tagged(turn, tags) for turn in said] if isinstance(said, list) else said
    return {**{key: found[key] for key in ("images", "system") if key in found}, "conversations": turns_}


def _given(value: Any, default: dict[str, str]) -> dict[str, str]:
    if not isinstance(value, dict):
        return default
    return {key: name for key, name in value.items() if isinstance(name, str)}


def _as_tagged(turn: Any, tags: Mapping[str, str]) -> Any:
    if not isinstance(turn, dict):
        return turn
    roles = {tags[tag]: ours for tag, ours in _ROLES.items() if tag in tags}
    found = {}
    if tags.get("role_tag", "") in turn:
        role = turn[tags["role_tag"]]
        found["from"] = roles.get(role, f"{role} (no tag)") if isinstance(role, str) else role
    if tags.get("content_tag", "") in turn:
        found["value"] = turn[tags["content_tag"]]
    return found


def fits(record: Record) -> bool:
    """Is it a conversation whose texts are strings, or Alpaca's?"""
    if _is_alpaca(record):
        return "output" in record
    found = turns(record, _key(record))
    return bool(found) and not any(isinstance(turn.get("content", turn.get("value")), list) for turn in found)


LLAMA_FACTORY = Trainer(
    "llamafactory",
    "LLaMA-Factory",
    "0.9.5",
    frozenset({ARRAY, LINES, PARQUET}),
    "conversations of strings with `<image>`, `images`; Alpaca (JSON, JSONL, Parquet)",
    fits,
    (
        Rule("no_messages", CRASH, _SHAREGPT, no_messages),
        Rule("no_tags", CRASH, _SHAREGPT, no_tags),
        Rule("asked_is_no_string", CRASH, _ALPACA, asked_is_no_string),
        Rule("history_is_no_pairs", CRASH, _ALPACA, history_is_no_pairs),
        Rule("roles_out_of_order", DROPPED, _SHAREGPT, roles_out_of_order),
        Rule("no_answer", DROPPED, _PROCESSOR, no_answer),
        Rule("text_is_no_string", CRASH, _FORMATTER, text_is_no_string),
        Rule("tag_count", CRASH, _COUNTS, tag_count),
        Rule("other_tags", CRASH, _COUNTS, other_tags),
        Rule("image_is_no_path", CRASH, _OPENED, image_is_no_path),
        Rule("image_is_empty", CRASH, _OPENED, image_is_empty),
    ),
    lambda record: [path for path in paths(_images(record)) if path],
    Rule("image_not_opened", CRASH, _OPENED, nothing),
    datasets=OLD,
)
