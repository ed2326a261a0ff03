"""`llava`: records that LLaVA's and InternVL's dataset classes take whole."""

from __future__ import annotations

from collections import Counter
from typing import Any

from curation.writers.facts import Facts
from curation.writers.json_records import JsonRecords
from curation.writers.rows import (
    TURN_AND_IMAGE_KEYS,
    conversations,
    identity,
    llava_record,
    parsed,
    without_system,
)


def record(
    row: dict[str, Any], names: list[str], facts: Facts, changed: Counter[str]
) -> bytes | dict[str, Any]:
    """The row as LLaVA has it: the bytes that came, unless a trainer could not read them.

    LLaVA's LazySupervisedDataset joins whatever stands under `image` to a folder, and knows two roles: it
    crashes on an `image` of null, "" or a list, and on a system turn (llava/train/train.py, `__getitem__`
    and `preprocess`). So an empty `image` goes, a list of one is unwrapped, and what the system says stands
    before the first question. A list of several stays: LLaVA-NeXT and InternVL take it, and in `llava` such
    records have a file of their own.
    """
    own = None if row["repaired"] else llava_record(row["record"])
    if len(names) > 1:
        changed["several_images"] += 1
    if own is None:
        changed["converted"] += 1
        return _converted(row, names)
    changes = _changes(own, names, raw=facts.raw)
    changed.update(changes)
    if not changes and not facts.scores.names:
        return bytes(row["record"])
    return _mended(own, names, raw=facts.raw)


def placed(
    row: dict[str, Any], names: list[str], facts: Facts, changed: Counter[str]
) -> bytes | dict[str, Any]:
    """The same for InternVL, which puts a lone image that the first question does not name in front of it.

    The tag that stands later is trained as text then; the image of a list of one stays where its tag is
    (internvl_chat/internvl/train/internvl_chat_finetune.py, `multi_modal_get_item` and its twin for several).
    """
    made = record(row, names, facts, changed)
    asked = next((turn["text"] for turn in row["turns"] if turn["role"] == "user"), "")
    if facts.raw or len(names) != 1 or "<image>" in asked:
        return made
    changed["image_listed"] += 1
    return {**(parsed(made) if isinstance(made, bytes) else made), "image": names}


def _changes(own: dict[str, Any], names: list[str], *, raw: bool) -> list[str]:
    """What has to be changed about a record of LLaVA."""
    found = []
    image = own.get("image")
    if (image if isinstance(image, list) else [image] if image else []) != names:
        found.append("image_renamed")
    if raw:
        return found
    if "image" in own and not names:
        found.append("image_empty")
    if isinstance(image, list) and len(names) == 1:
        found.append("image_unwrapped")
    if own["conversations"][0]["from"] == "system":
        found.append("system_folded")
    return found


def _mended(own: dict[str, Any], names: list[str], *, raw: bool) -> dict[str, Any]:
    turns = own["conversations"] if raw else without_system(own["conversations"])
    image = {"image": names[0] if len(names) == 1 else names} if names else {}
    if "image" not in own:
        own = {**own, **image}
    made = {**own, "conversations": turns, **image}
    return {name: item for name, item in made.items() if name != "images" and (name != "image" or names)}


def _converted(row: dict[str, Any], names: list[str]) -> dict[str, Any]:
    value = parsed(row["record"])
    own = value.get("id")
    made: dict[str, Any] = {"id": identity(row) if own is None else own}
    if names:
        made["image"] = names[0] if len(names) == 1 else names
    made["conversations"] = without_system(conversations(row))
    return {**made, **{name: item for name, item in value.items() if name not in TURN_AND_IMAGE_KEYS}}


LLAVA = JsonRecords(
    "llava",
    record,
    {"LLaVA, LLaVA-NeXT": "--data_path FOLDER/data/train.json --image_folder FOLDER/images"},
    start="",
    apart=True,
)
LLAVA_LINES = JsonRecords(
    "llava.jsonl",
    placed,
    {
        "InternVL (--meta_path)": '{"curated": {"root": "FOLDER/images/", '
        '"annotation": "FOLDER/data/train.jsonl", "data_augment": false, "repeat_time": 1}}',
    },
    array=False,
    start="",
)
# Its data lists are LLaVA's (qwen-vl-finetune/qwenvl/data).
QWEN_VL = JsonRecords(
    "qwen_vl",
    record,
    {
        "Qwen2.5-VL (qwenvl/data/__init__.py)": '{"annotation_path": "FOLDER/data/train.json", '
        '"data_path": "FOLDER/images"}',
    },
    start="",
)
