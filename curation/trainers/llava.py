"""LLaVA: `LazySupervisedDataset`, and the conversation template v1 that its scripts use."""

from __future__ import annotations

from typing import Any

from curation.trainers.rules import (
    ARRAY,
    CRASH,
    TAG,
    WRONG,
    Record,
    Rule,
    Trainer,
    n_tags,
    nothing,
    shown,
    turns,
)

_GETITEM = "llava/train/train.py: LazySupervisedDataset.__getitem__"
_LENGTHS = "llava/train/train.py: LazySupervisedDataset.modality_lengths"
_PREPROCESS = "llava/train/train.py: preprocess_v1"
_MULTIMODAL = "llava/train/train.py: preprocess_multimodal"
_FEATURES = "llava/model/llava_arch.py: prepare_inputs_labels_for_multimodal"
_ROLES = ("human", "gpt")
# What template v1 sets turns apart with.
_SEPARATORS = ("</s>", " ASSISTANT: ")


def _turns(record: Record) -> list[dict[str, Any]]:
    return turns(record, "conversations")


def _trained(record: Record) -> list[dict[str, Any]]:
    """The turns without a first one that is not the human's, which is skipped."""
    found = _turns(record)
    return found[1:] if found and found[0].get("from") == "gpt" else found


def _has_image(record: Record) -> bool:
    return isinstance(record.get("image"), str) and bool(record["image"])


def _texts(record: Record) -> list[str]:
    return [turn["value"] for turn in _turns(record) if isinstance(turn.get("value"), str)]


def no_conversation(record: Record) -> str | None:
    """Every turn is looked at by these names."""
    held = record.get("conversations")
    if not isinstance(held, list) or not held:
        return f"'conversations' should be a list of turns and is {shown(held)}"
    for number, turn in enumerate(held, 1):
        if not isinstance(turn, dict) or "from" not in turn:
            return f"turn {number} has no 'from'"
    return None


def text_is_no_string(record: Record) -> str | None:
    """`split` is called on every value where batches are grouped by length, as the scripts do."""
    for number, turn in enumerate(_turns(record), 1):
        if not isinstance(turn.get("value"), str):
            return f"'value' of turn {number} should be a string and is {shown(turn.get('value'))}"
    return None


def image_is_no_string(record: Record) -> str | None:
    """A key `image` means an image, and joins the folder: null, lists and numbers do not."""
    if "image" not in record or isinstance(record["image"], str):
        return None
    way = "give one path" if record["image"] else "leave the key out"
    return f"'image' should be a path and is {shown(record['image'])}; {way}"


def image_is_empty(record: Record) -> str | None:
    """The folder of images itself is opened."""
    return "'image' is an empty string" if record.get("image") == "" else None


def unknown_role(record: Record) -> str | None:
    """Roles are looked up by name, a system turn too."""
    for number, turn in enumerate(_turns(record), 1):
        if "from" in turn and turn["from"] not in _ROLES:
            return f"turn {number} is from {shown(turn['from'])}; only human and gpt are known"
    return None


def roles_out_of_order(record: Record) -> str | None:
    """An assertion; before it a first turn of gpt is skipped."""
    for number, turn in enumerate([] if unknown_role(record) else _trained(record)):
        role = turn.get("from")
        if role in _ROLES and role != _ROLES[number % 2]:
            return f"two turns of {role} follow each other; roles must alternate"
    return None


def tags_in_two_turns(record: Record) -> str | None:
    """Each turn's tag takes an image of the batch, and the batch has one a record."""
    tagged = sum(TAG in turn["value"] for turn in _trained(record) if isinstance(turn.get("value"), str))
    if not _has_image(record) or tagged < 2:
        return None
    return f"{TAG} stands in {tagged} turns, and a record has one image"


def tags_in_one_turn(record: Record) -> str | None:
    """All tags of a turn become one at its beginning."""
    most = max((text.count(TAG) for text in _texts(record)), default=0)
    if not _has_image(record) or most < 2:
        return None
    return f"{most} {TAG} of one turn become one at its beginning"


def no_tag(record: Record) -> str | None:
    """The image is loaded, and its features are not used."""
    if not _has_image(record) or n_tags(turn.get("value") for turn in _trained(record)):
        return None
    return f"no text has {TAG}, so the image is not shown to the model"


def tag_without_image(record: Record) -> str | None:
    """Without the key `image` the tag is text like any other."""
    if "image" in record or not n_tags(_texts(record)):
        return None
    return f"{TAG} stands in the text of a record without 'image', and is trained as text"


def other_media(record: Record) -> str | None:
    """No other key is looked at."""
    key = next((key for key in ("images", "video", "videos", "audio", "audios") if record.get(key)), None)
    if key is None or record.get("image"):
        return None
    return f"{key!r} is not looked at; the text is trained alone"


def first_turn_skipped(record: Record) -> str | None:
    """What is said before the first question is left out."""
    return "the first turn is of gpt and is left out" if len(_trained(record)) < len(_turns(record)) else None


def no_answer(record: Record) -> str | None:
    """The template's rounds do not come out even, and every label of the record is ignored."""
    if unknown_role(record) or not _turns(record):
        return None
    if len(_trained(record)) % 2 or not _trained(record):
        return "the last question has no answer, so nothing is learned of the whole record"
    return None


def empty_text(record: Record) -> str | None:
    """A turn without text has no separator behind it: its round is not found, or runs into the next."""
    for number, turn in enumerate(_trained(record), 1):
        if turn.get("value") == "":
            return f"turn {number} is empty, so little or nothing is learned of the record"
    return None


def separator_in_text(record: Record) -> str | None:
    """Rounds are found again by the separators."""
    mark = next((mark for text in _texts(record) for mark in _SEPARATORS if mark in text), None)
    return (
        mark and f"the text has {mark!r}, which sets turns apart, so nothing is learned of the whole record"
    )


def fits(record: Record) -> bool:
    """Is it a conversation of `from` and `value`, with one image at most?"""
    found = _turns(record)
    return bool(found) and all("from" in turn for turn in found) and not record.get("images")


def image(record: Record) -> list[str]:
    """The image that is opened."""
    return [record["image"]] if _has_image(record) else []


LLAVA = Trainer(
    "llava",
    "LLaVA",
    "1.2.2",
    frozenset({ARRAY}),
    "a JSON array of `conversations` (`from`, `value`) and `image`",
    fits,
    (
        Rule("no_conversation", CRASH, _PREPROCESS, no_conversation),
        Rule("text_is_no_string", CRASH, _LENGTHS, text_is_no_string),
        Rule("image_is_no_string", CRASH, _GETITEM, image_is_no_string),
        Rule("image_is_empty", CRASH, _GETITEM, image_is_empty),
        Rule("unknown_role", CRASH, _PREPROCESS, unknown_role),
        Rule("roles_out_of_order", CRASH, _PREPROCESS, roles_out_of_order),
        Rule("tags_in_two_turns", CRASH, _FEATURES, tags_in_two_turns),
        Rule("tags_in_one_turn", WRONG, _MULTIMODAL, tags_in_one_turn),
        Rule("no_tag", WRONG, _FEATURES, no_tag),
        Rule("tag_without_image", WRONG, _GETITEM, tag_without_image),
        Rule("other_media", WRONG, _GETITEM, other_media),
        Rule("first_turn_skipped", WRONG, _PREPROCESS, first_turn_skipped),
        Rule("no_answer", WRONG, _PREPROCESS, no_answer),
        Rule("empty_text", WRONG, _PREPROCESS, empty_text),
        Rule("separator_in_text", WRONG, _PREPROCESS, separator_in_text),
    ),
    image,
    Rule("image_not_opened", CRASH, _GETITEM, nothing),
)
