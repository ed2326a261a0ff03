"""InternVL: `LazySupervisedDataset`, and template internvl2_5. A record that fails gives way to another."""

from __future__ import annotations

from typing import Any

from curation.trainers.rules import (
    CRASH,
    LINES,
    REPLACED,
    TAG,
    WRONG,
    Record,
    Rule,
    Trainer,
    listed,
    n_tags,
    nothing,
    paths,
    shown,
    turns,
)

_GETITEM = "internvl_chat/internvl/train/internvl_chat_finetune.py: LazySupervisedDataset.__getitem__"
_SINGLE = "internvl_chat/internvl/train/internvl_chat_finetune.py: LazySupervisedDataset.multi_modal_get_item"
_PREPROCESS = "internvl_chat/internvl/train/dataset.py: preprocess_internvl2_5"


def _turns(record: Record) -> list[dict[str, Any]]:
    return turns(record, "conversations")


def _images(record: Record) -> list[Any]:
    value = record.get("image")
    return [] if value == "" else listed(value)


def _asked(record: Record) -> int:
    """The tags in questions, with the one that is put before a single image's first turn."""
    found = _turns(record)
    tags = n_tags(turn.get("value") for turn in found if turn.get("from") == "human")
    first = found[0] if found else {}
    added = _is_alone(record) and first.get("from") == "human" and TAG not in str(first.get("value"))
    return tags + added


def _is_alone(record: Record) -> bool:
    return isinstance(record.get("image"), str) and bool(record["image"])


def image_is_no_path(record: Record) -> str | None:
    """What reports the failure fails itself where `image` is neither a string nor a list of them."""
    if "image" not in record:
        return None
    value = record["image"]
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(path, str) for path in value)):
        return None
    return f"'image' should be a path or a list of paths and is {shown(value)}"


def no_conversation(record: Record) -> str | None:
    """Every turn is looked at by these names."""
    held = record.get("conversations")
    if not isinstance(held, list) or not held:
        return f"'conversations' should be a list of turns and is {shown(held)}"
    for number, turn in enumerate(held, 1):
        if not isinstance(turn, dict) or "from" not in turn or "value" not in turn:
            return f"turn {number} should have 'from' and 'value'"
    return None


def _no_string(record: Record) -> tuple[int, Any, bool] | None:
    """A turn whose text is no string: its number, the text, and whether tags are looked for in it."""
    found = [
        (number, turn["value"], _is_searched(record, number, turn))
        for number, turn in enumerate(_turns(record), 1)
        if "value" in turn and not isinstance(turn["value"], str)
    ]
    return next((each for each in found if each[2]), found[0] if found else None)


def _is_searched(record: Record, number: int, turn: Record) -> bool:
    return bool(_images(record)) and (turn.get("from") == "human" or (number == 1 and _is_alone(record)))


def text_without_tags(record: Record) -> str | None:
    """Tags are counted in questions of records with images, and in the first turn of those with one."""
    found = _no_string(record)
    if found is None or not found[2]:
        return None
    return f"'value' of turn {found[0]} should be a string and is {shown(found[1])}"


def text_is_no_string(record: Record) -> str | None:
    """Other values are trained as Python prints them."""
    found = _no_string(record)
    if found is None or found[2]:
        return None
    return f"'value' of turn {found[0]} is {shown(found[1])}, and is trained as such text"


def unknown_role(record: Record) -> str | None:
    """Human and gpt, and a system turn at the beginning."""
    for number, turn in enumerate(_turns(record), 1):
        role = turn.get("from")
        if role not in ("human", "gpt") and not (role == "system" and number == 1):
            return (
                f"turn {number} is from {shown(role)}; human and gpt are known, and system at the beginning"
            )
    return None


def fewer_tags(record: Record) -> str | None:
    """An assertion."""
    images = len(_images(record))
    if _asked(record) >= images:
        return None
    return f"{TAG} in questions: {_asked(record)}, images: {images}"


def more_tags(record: Record) -> str | None:
    """Tags beyond the images, and those in answers or a system text, stay as text."""
    images = len(_images(record))
    tags = n_tags(turn.get("value") for turn in _turns(record)) - _in_questions(record) + _asked(record)
    if tags <= images:
        return None
    return f"{TAG} in the text: {tags}, images: {images}; what is too much is trained as text"


def _in_questions(record: Record) -> int:
    return n_tags(turn.get("value") for turn in _turns(record) if turn.get("from") == "human")


def tag_before_no_question(record: Record) -> str | None:
    """A single image's tag is put before the first turn that lacks it, whoever's it is."""
    first = _turns(record)[:1]
    if not first or not _is_alone(record) or first[0].get("from") == "human":
        return None
    if TAG in str(first[0].get("value")):
        return None
    who = shown(first[0].get("from"))
    return f"{TAG} is put before the first turn, which is from {who}, and stays text there"


def no_answer(record: Record) -> str | None:
    """Only turns of gpt have labels."""
    found = _turns(record)
    if not found or any(turn.get("from") == "gpt" for turn in found):
        return None
    return "there is no answer, so nothing is learned of the record"


def fits(record: Record) -> bool:
    """Is it a conversation of `from` and `value`?"""
    found = _turns(record)
    return bool(found) and all("from" in turn for turn in found) and not record.get("images")


INTERNVL = Trainer(
    "internvl",
    "InternVL",
    "2.5",
    frozenset({LINES}),
    "JSONL of `conversations` (`from`, `value`) and `image`",
    fits,
    (
        Rule("image_is_no_path", CRASH, _GETITEM, image_is_no_path),
        Rule("no_conversation", REPLACED, _PREPROCESS, no_conversation),
        Rule("text_without_tags", REPLACED, _PREPROCESS, text_without_tags),
        Rule("unknown_role", REPLACED, _PREPROCESS, unknown_role),
        Rule("fewer_tags", REPLACED, _PREPROCESS, fewer_tags),
        Rule("more_tags", WRONG, _PREPROCESS, more_tags),
        Rule("tag_before_no_question", WRONG, _SINGLE, tag_before_no_question),
        Rule("text_is_no_string", WRONG, _PREPROCESS, text_is_no_string),
        Rule("no_answer", WRONG, _PREPROCESS, no_answer),
    ),
    lambda record: paths(_images(record)),
    Rule("image_not_opened", REPLACED, _GETITEM, nothing),
)
