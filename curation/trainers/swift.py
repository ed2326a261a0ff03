"""ms-swift: its preprocessors of messages and of `query` and `response`, and its templates, not strict."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from curation.trainers.rules import (
    ARRAY,
    DROPPED,
    LINES,
    NEW,
    PARQUET,
    REPLACED,
    TAG,
    WRONG,
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

_ROWS = "swift/dataset/preprocessor/core.py: RowPreprocessor._check_messages"
_MESSAGES = "swift/dataset/preprocessor/core.py: MessagesPreprocessor.preprocess"
_RESPONSE = "swift/dataset/preprocessor/core.py: ResponsePreprocessor.preprocess"
_MEDIA = "swift/template/template_inputs.py: StdTemplateInputs.remove_messages_media"
_TAGS = "swift/template/base.py: Template._add_default_tags"
_ENCODE = "swift/template/base.py: Template._swift_encode"
_MERGED = "swift/template/base.py: Template._swift_prepare_inputs"
_LAZY = "swift/dataset/utils.py: LazyLLMDataset.__getitem__"
_CONVERSATIONS = ("messages", "conversations", "conversation")
_USERS = ("user", "human")
_ASSISTANTS = ("assistant", "gpt", "bot")
_TOOLS = (
    *("tool", "tool_call", "tool_response", "function_call", "function_response"),
    *("observation", "observations"),
)
_QUERIES = ("query", "prompt", "input", "instruction", "question", "problem")
_RESPONSES = ("response", "answer", "output", "targets", "target", "answers", "solution", "completion")


def _key(record: Record) -> str | None:
    return next((key for key in _CONVERSATIONS if key in record), None)


def _said(record: Record) -> list[tuple[Any, Any]]:
    """(role, text) of each turn under swift's own names, without a system turn at the beginning."""
    key = _key(record)
    if key is None:
        return _asked(record)
    found = turns(record, key)
    said = [(turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))) for turn in found]
    named = [
        ("user" if role in _USERS else "assistant" if role in _ASSISTANTS else role, text)
        for role, text in said
    ]
    return named[1:] if named and named[0][0] == "system" else named


def _asked(record: Record) -> list[tuple[Any, Any]]:
    """The turns of a record of query and response; of several responses the first."""
    pairs = [pair for pair in listed(record.get("history")) if isinstance(pair, list) and len(pair) == 2]
    said = [turn for asked, answer in pairs for turn in (("user", asked), ("assistant", answer))]
    asked, answer = _query(record), _first(record, _RESPONSES)
    if isinstance(answer, list) and answer:
        answer = answer[0]
    said += [("user", asked)] if asked is not None else []
    return said + ([("assistant", answer)] if answer is not None else [])


def _query(record: Record) -> Any:
    if not _is_alpaca(record):
        return _first(record, _QUERIES)
    instruction, added = record["instruction"], record["input"]
    return f"{instruction}\n{added}" if instruction and added else instruction or added


def _is_alpaca(record: Record) -> bool:
    return {"instruction", "input"} <= set(record)


def _first(record: Record, keys: tuple[str, ...]) -> Any:
    return next((record[key] for key in keys if record.get(key) is not None), None)


def _texts(record: Record) -> list[str]:
    """Texts as they are trained; a part that is an image is a tag."""
    found = []
    for _, text in _said(record):
        parts = text if isinstance(text, list) else [text]
        found += [part if isinstance(part, str) else _of_part(part) for part in parts]
    return found


def _of_part(part: Any) -> str:
    if not isinstance(part, dict):
        return ""
    return str(part.get("text") or "") if part.get("type") == "text" else TAG


def _parts(record: Record) -> list[dict[str, Any]]:
    return [
        part for _, text in _said(record) if isinstance(text, list) for part in text if isinstance(part, dict)
    ]


def _listed(record: Record) -> list[Any]:
    return listed(record["images"] if record.get("images") is not None else record.get("image"))


def _images(record: Record) -> list[Any]:
    """Those in parts of the messages, else those that the record lists."""
    found = []
    for part in _parts(record):
        value = part.get(str(part.get("type")))
        value = value.get("url") if isinstance(value, dict) else value
        found += [value] if part.get("type") in ("image", "image_url") and value else []
    return found or _listed(record)


def no_turns(record: Record) -> str | None:
    """Nothing is asked or answered; of Alpaca nothing is asked."""
    if _key(record) is None and _is_alpaca(record) and _query(record) is None:
        return "both 'instruction' and 'input' are null"
    if _said(record) or _has_system(record):
        return None
    return "the record has no messages, and no query with a response"


def only_system(record: Record) -> str | None:
    """A system turn alone is no round."""
    return "a system turn stands alone" if _has_system(record) and not _said(record) else None


def _has_system(record: Record) -> bool:
    found = turns(record, _key(record) or "")
    return bool(found) and found[0].get("role", found[0].get("from")) == "system"


def unknown_role(record: Record) -> str | None:
    """User and assistant under several names, system at the beginning, and tools."""
    for number, (role, _) in enumerate(_said(record), 1):
        if role not in ("user", "assistant", "system", *_TOOLS):
            return f"turn {number} is by {shown(role)}, a role that is not known"
    return None


def text_is_null(record: Record) -> str | None:
    """Every turn says something."""
    for number, (_, text) in enumerate(_said(record), 1):
        if text is None:
            return f"turn {number} has no text"
    return None


def text_is_no_string(record: Record) -> str | None:
    """A string, or a list of parts."""
    for number, (_, text) in enumerate(_said(record), 1):
        if text is not None and not isinstance(text, (str, list)):
            return f"turn {number} should be a string or parts and is {shown(text)}"
    return None


def images_twice(record: Record) -> str | None:
    """Images in parts and images beside the messages exclude each other."""
    inside = any(part.get(str(part.get("type"))) for part in _parts(record) if part.get("type") != "text")
    return "both parts and 'images' name images" if inside and _listed(record) else None


def system_inside(record: Record) -> str | None:
    """A system turn that is not the first stands where a question or an answer should be."""
    if any(role == "system" for role, _ in _said(record)):
        return "a system turn stands in the middle"
    return None


def more_tags(record: Record) -> str | None:
    """Missing tags are put before the first question, those beyond the images stay text."""
    tags, images = n_tags(_texts(record)), len(_images(record))
    if tags <= images:
        return None
    return f"{TAG} in the text: {tags}, images: {images}; what is too much is trained as text"


def roles_merged(record: Record) -> str | None:
    """Neighbouring turns of one role become one."""
    for (role, _), (following, _) in pairwise(_said(record)):
        if role == following and role in ("user", "assistant"):
            return f"two turns of {role} follow each other and are run together"
    return None


def no_question(record: Record) -> str | None:
    """An empty question is put before it."""
    said = _said(record)
    return (
        "the first turn is an answer, to which an empty question is added"
        if said[:1] and said[0][0] == "assistant"
        else None
    )


def no_answer(record: Record) -> str | None:
    """What is not answered has no labels."""
    said = _said(record)
    return (
        "the last question has no answer, so nothing is learned of it"
        if said and said[-1][0] == "user"
        else None
    )


def image_is_no_path(record: Record) -> str | None:
    """Paths, addresses and structs of bytes are opened; an empty string is the folder itself."""
    for image in _images(record):
        if not embedded(image) and not any(paths([image])):
            return f"an image should be a path and is {shown(image)}"
    return None


def fits(record: Record) -> bool:
    """Has it messages, or something that is asked and answered?"""
    roles = [role for role, _ in _said(record)]
    texts = [text for _, text in _said(record)]
    strings = _key(record) is not None or all(isinstance(text, str) for text in texts)
    return "user" in roles and "assistant" in roles and strings


SWIFT = Trainer(
    "swift",
    "ms-swift",
    "4.6.0",
    frozenset({ARRAY, LINES, PARQUET}),
    "messages, conversations, or `query` and `response` under many names, with `images`",
    fits,
    (
        Rule("no_turns", DROPPED, _MESSAGES, no_turns),
        Rule("only_system", REPLACED, _ENCODE, only_system),
        Rule("unknown_role", DROPPED, _ROWS, unknown_role),
        Rule("text_is_null", DROPPED, _ROWS, text_is_null),
        Rule("text_is_no_string", REPLACED, _MEDIA, text_is_no_string),
        Rule("images_twice", REPLACED, _MEDIA, images_twice),
        Rule("image_is_no_path", REPLACED, _LAZY, image_is_no_path),
        Rule("system_inside", REPLACED, _ENCODE, system_inside),
        Rule("more_tags", WRONG, _TAGS, more_tags),
        Rule("roles_merged", WRONG, _MERGED, roles_merged),
        Rule("no_question", WRONG, _ENCODE, no_question),
        Rule("no_answer", WRONG, _ENCODE, no_answer),
    ),
    lambda record: [path for path in paths(_images(record)) if path],
    Rule("image_not_opened", REPLACED, _LAZY, nothing),
    fetches=True,
    datasets=NEW,
)
