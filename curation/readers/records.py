"""From one parsed record to a `Record`: what every record schema shares. No files here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from schemas.errors import BAD_IMAGE_FIELD, BAD_JSON, BAD_TURN, NO_TURNS
from schemas.protocols import ImageAt

PLACEHOLDER = "<image>"
# What is asked where data has captions only, whatever its format.
CAPTION_QUESTION = "Describe what is shown."

Turns: TypeAlias = tuple[tuple[str, str], ...]  # (role, canonical text)
Images: TypeAlias = tuple[ImageAt, ...]
Schema: TypeAlias = Callable[[dict[str, Any]], tuple[Turns, Images]]  # raises BadRecord

_FAST = msgspec.json.Decoder()
_NESTED = 500  # brackets; both parsers give up at about 1000 levels, and not at the same one

_ROLES = {"human": "user", "gpt": "assistant", "model": "assistant", "developer": "system"}


def never(_: dict[str, Any]) -> bool:
    """Of no record."""
    return False


def always(_: dict[str, Any]) -> bool:
    """Of every record."""
    return True


@dataclass(frozen=True)
class Shape:
    """One way to lay out records in JSON: a line of `curation.readers.shapes.SHAPES`."""

    fits: Callable[[dict[str, Any]], bool]  # tells from its keys whether a record is laid out so
    read: Schema
    # Whether a record whose text names no image means that all stand before the first question.
    images_first: Callable[[dict[str, Any]], bool] = never
    needs_image: Callable[[dict[str, Any]], bool] = never  # whether a record says nothing without an image

    def __call__(self, record: dict[str, Any]) -> tuple[Turns, Images]:
        return self.read(record)


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


def images_first(turns: Turns, n_images: int) -> Turns:
    """`turns` with a placeholder for each image before the first question, unless some stand there."""
    if not n_images or any(PLACEHOLDER in text for _, text in turns):
        return turns
    first = next((at for at, (who, _) in enumerate(turns) if who == "user"), None)
    if first is None:
        return turns
    asked = canonical("\n".join([*[PLACEHOLDER] * n_images, turns[first][1]]))
    return (*turns[:first], ("user", asked), *turns[first + 1 :])


def captioned(caption: str) -> Turns:
    """An image's caption as the answer to a fixed question."""
    return ("user", CAPTION_QUESTION), ("assistant", caption.strip())


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
    for key in keys:
        if key in turn:
            value = turn[key]
            if isinstance(value, str):
                return value
            raise BadRecord(BAD_TURN, f"{key!r} of turn {number} should be a string and is {kind(value)}")
    raise BadRecord(BAD_TURN, f"turn {number} has no {_either(keys)}; its keys are {_names(turn)}")


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
    return ImageAt(path=value)


def parse(raw: bytes) -> Any:
    """The JSON value of `raw`. Lone surrogates, which no UTF-8 column can hold, become U+FFFD.

    msgspec reads most records; whatever it refuses (NaN, lone surrogates, what is no JSON) and whatever may
    be nested deeply is left to the standard library, which decides.

    Raises:
        BadRecord: BAD_JSON, with the reason and the character at which it was found.
    """
    try:
        return standard(raw) if raw.count(b"[") + raw.count(b"{") > _NESTED else _FAST.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return standard(raw)


def standard(raw: bytes) -> Any:
    """The same by the standard library alone, at a third of the speed."""
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
