"""TRL's `SFTTrainer` with a model that sees images: its collator, and how images are put into messages."""

from __future__ import annotations

from typing import Any

from curation.trainers.rules import (
    ARRAY,
    CRASH,
    HF,
    LINES,
    NEW,
    PACKED,
    PARQUET,
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

_COLLATOR = "trl/trainer/sft_trainer.py: DataCollatorForVisionLanguageModeling"
_MESSAGES = "trl/data_utils.py: prepare_multimodal_messages"
_TEMPLATE = "trl/data_utils.py: apply_chat_template"
_ROLES = ("system", "user", "assistant", "tool")


def _is_vision(record: Record) -> bool:
    return "image" in record or "images" in record


def _conversation(record: Record) -> list[dict[str, Any]]:
    """What images are put into: the messages, or the prompt."""
    return turns(record, "messages" if record.get("messages") is not None else "prompt")


def _messages(record: Record) -> list[dict[str, Any]]:
    return [*_conversation(record), *(turns(record, "completion") if "messages" not in record else [])]


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    return turns(message, "content")


def _named(found: list[dict[str, Any]]) -> int:
    """Parts that stand for an image."""
    parts = [part for message in found if message.get("role") != "tool" for part in _parts(message)]
    return sum(part.get("type") == "image" and "image" not in part for part in parts)


def _placeholders(found: list[dict[str, Any]], images: int) -> int:
    """Parts that stand for an image, and those that are put before the first question that is a string."""
    asked = (message for message in found if message.get("role") == "user")
    return _named(found) + images * any(isinstance(message.get("content"), str) for message in asked)


def no_messages(record: Record) -> str | None:
    """A batch has `messages`, or `prompt` and `completion`."""
    if isinstance(record.get("messages"), list) and record["messages"]:
        return None
    if all(isinstance(record.get(key), (str, list)) for key in ("prompt", "completion")):
        return None
    return "there are no 'messages', and no 'prompt' with a 'completion'"


def unknown_role(record: Record) -> str | None:
    """System, user, assistant and tool."""
    roles = [message.get("role") for message in _messages(record)]
    wrong = next((role for role in roles if role not in _ROLES), None) if None not in roles else "None"
    return wrong and f"a message is by {shown(wrong)}; {', '.join(_ROLES)} are known"


def images_are_no_list(record: Record) -> str | None:
    """`images` is a list, `image` one of them."""
    if isinstance(record.get("images"), str) or isinstance(record.get("image"), list):
        return "'images' should be a list, and 'image' one image"
    return None


def image_is_null(record: Record) -> str | None:
    """A null under `image` counts as an image; so does one under `images` beside a prompt."""
    if "image" in record and "images" not in record and record["image"] is None:
        return "'image' is null; use 'images', and an empty list where there is none"
    if "images" in record and record["images"] is None and "messages" not in record:
        return "'images' is null beside a prompt; use an empty list"
    if any(image is None for image in listed(record.get("images"))):
        return "an element of 'images' is null"
    return None


def image_is_empty(record: Record) -> str | None:
    """An empty string is opened."""
    return "an image is an empty string" if "" in _images_named(record) else None


def _images(record: Record) -> list[Any]:
    return listed(record["images"] if record.get("images") is not None else record.get("image"))


def _images_named(record: Record) -> list[str]:
    return paths(_images(record))


def placeholder_count(record: Record) -> str | None:
    """As many parts of type image as images, where texts are parts."""
    if not _is_vision(record) or not _conversation(record):
        return None
    images = len(_images(record))
    found = _placeholders(_conversation(record), images)
    if found == images:
        return None
    return f"parts of type 'image' without an image in them: {found}, images: {images}"


def images_in_completion(record: Record) -> str | None:
    """Images are put into the prompt only."""
    if "messages" in record or not _is_vision(record) or not _named(turns(record, "completion")):
        return None
    return "a part of the completion stands for an image, and images are put into the prompt only"


def prompt_ends_with_system(record: Record) -> str | None:
    """The completion answers a user or a tool, or goes on where an assistant stopped."""
    prompt = turns(record, "prompt")
    if "messages" in record or not prompt or prompt[-1].get("role") != "system":
        return None
    return "the prompt ends with a system message"


def prompt_without_token(record: Record) -> str | None:
    """A prompt that is a string is not changed, so it must have the model's own image token."""
    if not isinstance(record.get("prompt"), str) or not _images(record) or "messages" in record:
        return None
    return "the prompt is a string, into which no image is put; make it messages"


def images_in_parts(record: Record) -> str | None:
    """Only the columns `image` and `images` are loaded."""
    if _is_vision(record):
        return None
    parts = [part for message in _messages(record) for part in _parts(message)]
    if not any(str(part.get("type")).startswith("image") for part in parts):
        return None
    return "images stand in parts of the messages only, and are not shown to the model; list them in 'images'"


def tag_stays(record: Record) -> str | None:
    """Images are put before the first question, whatever it says."""
    held = [record.get("prompt"), *(message.get("content") for message in _messages(record))]
    if not n_tags(held):
        return None
    return f"{TAG} in a string is trained as text; images are put before the first question"


def fits(record: Record) -> bool:
    """Is it messages or a prompt with a completion, as TRL names images?"""
    known = not no_messages(record) and not unknown_role(record)
    return known and not any(rule(record) for rule in (tag_stays, images_in_parts, prompt_without_token))


TRL = Trainer(
    "trl",
    "TRL",
    "1.16.0",
    frozenset({ARRAY, LINES, PACKED, PARQUET, HF}),
    "`messages`, or `prompt` and `completion`, with `images` that no text names",
    fits,
    (
        Rule("no_messages", CRASH, _COLLATOR, no_messages),
        Rule("unknown_role", CRASH, _MESSAGES, unknown_role),
        Rule("images_are_no_list", CRASH, _COLLATOR, images_are_no_list),
        Rule("image_is_null", CRASH, _COLLATOR, image_is_null),
        Rule("image_is_empty", CRASH, _COLLATOR, image_is_empty),
        Rule("placeholder_count", CRASH, _MESSAGES, placeholder_count),
        Rule("images_in_completion", CRASH, _MESSAGES, images_in_completion),
        Rule("prompt_ends_with_system", CRASH, _TEMPLATE, prompt_ends_with_system),
        Rule("prompt_without_token", CRASH, _COLLATOR, prompt_without_token),
        Rule("images_in_parts", WRONG, _COLLATOR, images_in_parts),
        Rule("tag_stays", WRONG, _MESSAGES, tag_stays),
    ),
    lambda record: [path for path in _images_named(record) if path],
    Rule("image_not_opened", CRASH, _COLLATOR, nothing),
    fetches=True,
    datasets=NEW,
)
