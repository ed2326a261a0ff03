"""From the value of one record, or its bytes, to a `Record`: what every format shares. No files here."""

from __future__ import annotations

from typing import Any

from curation.readers import unsupported
from curation.readers.keys import NO_KEYS, Keys
from curation.readers.records import (
    BadRecord,
    Images,
    Schema,
    Shape,
    Turns,
    images_first,
    kind,
    parse,
    text_of,
)
from schemas.errors import NO_TURNS, NOT_AN_OBJECT
from schemas.protocols import Record


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
    error = unsupported.reason(value)
    read = schema.read if isinstance(schema, Shape) else schema
    try:
        turns, named = read(value) if error is None else ((), ())
        found = named if images is None else images
        if error is None and isinstance(schema, Shape):
            turns = _with_images(turns, len(found), schema, value)
    except BadRecord as bad:
        error = (bad.code, bad.sentence)
    if error is None and found:
        error = unsupported.of_paths([image.path for image in found])
    if error is not None:
        return Record(key=key, raw=raw, line=line, record_id=record_id, source=source, error=error)
    return Record(key=key, raw=raw, line=line, record_id=record_id, source=source, turns=turns, images=found)


def json_record(
    raw: bytes, schema: Schema, *, key: str, line: int | None = None, keys: Keys = NO_KEYS
) -> Record:
    """The record in the JSON bytes `raw`, which it keeps exactly."""
    try:
        value = parse(raw)
    except BadRecord as bad:
        return Record(key=key, raw=raw, line=line, error=(bad.code, bad.sentence))
    return record_of(keys.renamed(value), schema, key=key, raw=raw, line=line)


def _with_images(turns: Turns, n_images: int, shape: Shape, record: dict[str, Any]) -> Turns:
    if not n_images and shape.needs_image(record):
        raise BadRecord(NO_TURNS, "the record has a caption and no image")
    return images_first(turns, n_images) if shape.images_first(record) else turns
