"""From one parsed record to a `Record`: what every record schema shares. No files here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from schemas.errors import BAD_IMAGE_FIELD, BAD_JSON, BAD_TURN, NO_TURNS, NOT_AN_OBJECT
from schemas.protocols import ImageAt, Record

PLACEHOLDER = "<image>"

Turns: TypeAlias = tuple[tuple[str, str], ...]  # (role, canonical text)
Images: TypeAlias = tuple[ImageAt, ...]
Schema: TypeAlias = Callable[[dict[str, Any]], tuple[Turns, Images]]  # raises BadRecord


_ROLES = {"human": "user", "gpt": "assistant", "developer": "system"}


@dataclass(frozen=True)
class Shape:
    """One way to lay out records in JSON: a line of `curation.readers.shapes.SHAPES`."""

    fits: Callable[[dict[str, Any]], bool]  # tells from its keys whether a record is laid out so
    read: Schema


class BadRecord(Exception):
    """One record cannot be understood: an error code and a sentence that names what was found."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(code, sentence)
        self.code = code
        self.sentence = sentence


def canonical(text: str) -> str:
    r"""The one spelling of a turn's text, equal for every input format.

    Every image is the placeholder `<image>` on a line of its own. White space next to a placeholder says how
    a format glues text and images, not what the turn says, so it is dropped: LLaVA's `"<image>\nWhat?"`,
    `"<image> What?"` and the OpenAI parts [image, "What?"] are all `"<image>\nWhat?"`. White space at the
    ends of the turn that touches no placeholder stays. Text without a placeholder comes back unchanged.
    """
    if PLACEHOLDER not in text:
        return text
    pieces = text.split(PLACEHOLDER)
    lines = [pieces[0].rstrip()]
    for piece in pieces[1:-1]:
        lines += [PLACEHOLDER, piece.strip()]
    lines += [PLACEHOLDER, pieces[-1].lstrip()]
    return "\n".join(line for line in lines if line)


def role(name: str) -> str:
    """user, assistant or system; another name stays as read, so that the role check fails."""
    return _ROLES.get(name, name)


def turn_list(record: dict[str, Any], *keys: str) -> list[dict[str, Any]]:
    """The turns under the first of `keys` that is present: a list of at least one object.

    Raises:
        BadRecord: NO_TURNS without such a list, BAD_TURN if an element is no object.
    """
    key = next((key for key in keys if record.get(key) is not None), None)
    if key is None:
        raise BadRecord(NO_TURNS, f"the record has no {_either(keys)}; its keys are {_names(record)}")
    turns = record[key]
    if not isinstance(turns, list):
        raise BadRecord(NO_TURNS, f"{key!r} should be a list of turns and is {kind(turns)}")
    if not turns:
        raise BadRecord(NO_TURNS, f"{key!r} is an empty list")
    for number, turn in enumerate(turns, 1):
        if not isinstance(turn, dict):
            raise BadRecord(BAD_TURN, f"turn {number} should be an object and is {kind(turn)}")
    return turns


def listed_turns(record: dict[str, Any], key: str) -> list[dict[str, Any]] | None:
    """The objects in the list under `key`; None where there is no list."""
    turns = record.get(key)
    return [turn for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else None


def turn_text(turn: dict[str, Any], number: int, *keys: str) -> str:
    """The string under the first of `keys` that is present in turn `number`, else BadRecord BAD_TURN."""
    key = next((key for key in keys if key in turn), None)
    if key is None:
        raise BadRecord(BAD_TURN, f"turn {number} has no {_either(keys)}; its keys are {_names(turn)}")
    value = turn[key]
    if not isinstance(value, str):
        raise BadRecord(BAD_TURN, f"{key!r} of turn {number} should be a string and is {kind(value)}")
    return value


def image_list(record: dict[str, Any]) -> Images:
    """The images under `image` or `images`: absent, null or "" is none, a string one, a list several."""
    single, several = (_under(record, key) for key in ("image", "images"))
    if single and several and single != several:
        raise BadRecord(BAD_IMAGE_FIELD, "the record has both 'image' and 'images', and they differ")
    return single or several


def location(value: Any, where: str) -> ImageAt:
    """The image at path or URL `value`; an HF struct with a path counts as its path."""
    if isinstance(value, dict) and isinstance(value.get("path"), str) and value.get("bytes") is None:
        value = value["path"]
    if not isinstance(value, str):
        raise BadRecord(BAD_IMAGE_FIELD, f"{where} should be a path and is {kind(value)}")
    if not value.strip():
        raise BadRecord(BAD_IMAGE_FIELD, f"{where} is an empty string")
    if value.startswith("data:"):
        raise BadRecord(
            BAD_IMAGE_FIELD,
            f"{where} is a data: URL ({len(value)} characters); write the image to a file and give its path",
        )
    return ImageAt(path=value)


def parse(raw: bytes) -> Any:
    """The JSON value of `raw`. Lone surrogates, which no UTF-8 column can hold, become U+FFFD.

    Raises:
        BadRecord: BAD_JSON, with the reason and the character at which it was found.
    """
    try:
        value = json.loads(raw.decode("utf-8"))
        return _without_surrogates(value) if b"\\ud" in raw or b"\\uD" in raw else value
    except UnicodeDecodeError as error:
        raise BadRecord(BAD_JSON, f"the record is not UTF-8 at its byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise BadRecord(
            BAD_JSON, f"the record is not JSON: {error.msg.removesuffix(' at')} at its character {error.pos}"
        ) from None
    except RecursionError:
        raise BadRecord(BAD_JSON, "the record is nested too deeply to be read") from None
    except ValueError as error:  # an integer with thousands of digits
        raise BadRecord(BAD_JSON, f"the record cannot be read: {error}") from None


def record_of(
    value: Any, schema: Schema, *, key: str, raw: bytes, line: int | None = None, images: Images | None = None
) -> Record:
    """The record that `schema` sees in `value`; one with an error where it sees none.

    `images`, where given, are what the container holds for this record, and replace what the record names.
    """
    if not isinstance(value, dict):
        sentence = f"the record should be an object and is {kind(value)}"
        return Record(key=key, raw=raw, line=line, error=(NOT_AN_OBJECT, sentence))
    if images is not None:
        value = {name: item for name, item in value.items() if name not in ("image", "images")}
    record_id, source = text_of(value.get("id")), text_of(value.get("source"))
    try:
        turns, named = schema(value)
    except BadRecord as bad:
        error = (bad.code, bad.sentence)
        return Record(key=key, raw=raw, line=line, record_id=record_id, source=source, error=error)
    found = named if images is None else images
    return Record(key=key, raw=raw, line=line, record_id=record_id, source=source, turns=turns, images=found)


def json_record(raw: bytes, schema: Schema, *, key: str, line: int | None = None) -> Record:
    """The record in the JSON bytes `raw`, which it keeps exactly."""
    try:
        value = parse(raw)
    except BadRecord as bad:
        return Record(key=key, raw=raw, line=line, error=(bad.code, bad.sentence))
    return record_of(value, schema, key=key, raw=raw, line=line)


def kind(value: Any) -> str:
    """What a value is, in the words of JSON, for an error's sentence."""
    if value is None:
        return "null"
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), type(value).__name__)


def _under(record: dict[str, Any], key: str) -> Images:
    value = record.get(key)
    if value is None or value == "":
        return ()
    if isinstance(value, list):
        return tuple(location(item, f"element {i} of {key!r}") for i, item in enumerate(value, 1))
    return (location(value, f"{key!r}"),)


def text_of(value: Any) -> str | None:
    """An id or a source as a string, other values than strings as JSON; ids of mixtures are of mixed type."""
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


def _either(keys: tuple[str, ...]) -> str:
    return " or ".join(repr(key) for key in keys)


def _names(record: dict[str, Any]) -> str:
    """The first keys of an object; a hostile one may have thousands, of any length."""
    names = [repr(str(key)[:40]) for key in list(record)[:12]]
    return (", ".join(names) + (", …" if len(record) > 12 else "")) or "none"
