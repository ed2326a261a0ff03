"""Images that stand in a record as text: `data:image/png;base64,…`. Their bytes are read where they stand."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import unquote_to_bytes

from curation.readers.records import Images
from schemas.errors import BAD_IMAGE_FIELD
from schemas.protocols import ImageAt, Record

# The column of a reference to a data: URL: what lies at its offset is text. Of one in a row of a table there
# is no offset; its number among those in the row's canonical JSON is added.
COLUMN = "data:"
_HEAD = re.compile(r"data:(?P<kind>[^,;]{0,100})(?P<options>(?:;[^,;]{0,100}){0,5}),", re.IGNORECASE)
_QUOTED = re.compile(rb'"(data:[^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL | re.IGNORECASE)


def is_data_url(path: str) -> bool:
    """Is `path` no path but the image itself?"""
    return path[:5].lower() == "data:"


def decoded(text: str) -> bytes:
    """The bytes in a data: URL, in base64 or with percents.

    Raises:
        ValueError: it is none, or its base64 is damaged.
    """
    head = _HEAD.match(text)
    if head is None:
        raise ValueError("it has no comma behind its type")
    body = text[head.end() :]
    if ";base64" not in head["options"].lower():
        return unquote_to_bytes(body)
    body = "".join(unquote_to_bytes(body).decode("ascii", "replace").split()).rstrip("=")
    altchars = b"-_" if "-" in body or "_" in body else None
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), altchars, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"its base64 is damaged: {error}") from None


def of_span(data: bytes) -> bytes:
    """The image of a reference whose span holds a data: URL as text, or as the inside of a string of JSON.

    Raises:
        ValueError: see `decoded`.
    """
    text = data.decode("utf-8")
    return decoded(json.loads(f'"{text}"', strict=False) if "\\" in text else text)


def placed(record: Record, container: str, offset: int) -> Record:
    """`record` with its data: URLs as places in the file `container`, in which it begins at `offset`."""
    for image in record.images:
        if image.container is None and is_data_url(image.path):
            break
    else:
        return record
    try:
        images = _placed(record.images, record.raw, container, offset)
    except ValueError as error:
        return replace(record, images=(), error=(BAD_IMAGE_FIELD, str(error)))
    return replace(record, images=images)


def numbered(record: Record, container: str, row: int) -> Record:
    """`record` with its data: URLs as places in a row of the table `container`."""
    if not any(image.container is None and is_data_url(image.path) for image in record.images):
        return record
    number = {text: at for at, text in reversed(list(enumerate(listed(record.raw))))}
    images = tuple(
        ImageAt(_name(image.path), container, column=f"{COLUMN}{number[image.path]}", row=row)
        if image.container is None and image.path in number
        else image
        for image in record.images
    )
    return replace(record, images=images)


def listed(raw: bytes) -> list[str]:
    """The data: URLs in JSON, in order."""
    return list(_spans(raw))


def _name(text: str) -> str:
    return text[: text.find(",", 0, 600)]


def _placed(images: Sequence[ImageAt], raw: bytes, container: str, offset: int) -> Images:
    spans = _spans(raw)
    found = []
    for number, image in enumerate(images, 1):
        if image.container is not None or not is_data_url(image.path):
            found.append(image)
            continue
        where = spans.get(image.path)
        at = raw.find(image.path.encode()) if where is None else 0  # a field of CSV without quotes
        where = where or (at, at + len(image.path.encode()))
        if at < 0:
            raise ValueError(f"image {number} is a data: URL that cannot be found again in the record")
        found.append(ImageAt(_name(image.path), container, offset + where[0], where[1] - where[0], COLUMN))
    return tuple(found)


def _spans(raw: bytes) -> dict[str, tuple[int, int]]:
    """Where in the JSON `raw` the inside of each string lies that is a data: URL."""
    found: dict[str, tuple[int, int]] = {}
    for match in _QUOTED.finditer(raw):
        text = match[1].decode("utf-8", "replace")
        try:
            value = json.loads(f'"{text}"') if "\\" in text else text
        except ValueError:
            continue
        found.setdefault(value, match.span(1))
    return found
