"""Rows of Arrow tables as records: the text columns are the record, the image columns say where bytes lie."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.readers.building import record_of
from curation.readers.data_urls import numbered
from curation.readers.keys import NO_KEYS, Keys
from curation.readers.records import PLACEHOLDER, BadRecord, Images
from curation.readers.shapes import SCHEMAS, schema_of
from curation.readers.unsupported import MEDIA_KEYS
from schemas.errors import BAD_IMAGE_FIELD, BAD_JSON, ReadError
from schemas.protocols import ImageAt, Record

IMAGE_COLUMNS = ("image", "images", "jpg", "jpeg", "png", "webp")  # the last as `datasets` names tar members


@dataclass(frozen=True)
class Cells:
    """The image columns of a run of rows, without the images."""

    column: str
    paths: list[list[str | None] | None]  # a row's images; None where the row has none
    embedded: list[list[bool] | None]  # whether the file holds the bytes
    nested: bool  # the column holds lists of images
    structs: bool  # of `bytes` and perhaps `path`, not plain bytes


def check_columns(schema: pa.Schema, file: str, keys: Keys) -> None:
    """Raise ReadError unless a table of `schema` can be read as records."""
    images, media = image_columns(schema, keys), media_columns(schema)
    example = {field.name: example_of(field.type) for field in schema if field.name not in (*images, *media)}
    if shape_of(example, bool(images), keys) is None and not media:
        raise ReadError(
            f"{file} has columns {', '.join(schema.names)}, which hold no conversations that are known; "
            "--image-column and --text-column say where image and caption are"
        )


def shape_of(value: Any, has_images: bool, keys: Keys) -> str | None:
    """The name of the schema that fits a row, whose images lie in columns of their own if it `has_images`."""
    value = keys.renamed(value)
    if has_images and isinstance(value, dict):
        value = {**value, "images": [PLACEHOLDER]}
    return schema_of(value)


def example_of(kind: pa.DataType) -> Any:
    """Some value of a type, with which it can be told what columns are for."""
    if pa.types.is_struct(kind):
        return {field.name: example_of(field.type) for field in kind}
    if _is_list(kind):
        return [example_of(kind.value_type)]
    return ""


def image_columns(schema: pa.Schema, keys: Keys = NO_KEYS) -> list[str]:
    """The columns of `schema` that hold images as structs (HF `Image`) or bytes, alone or in lists.

    Those that `keys` names, or those that are called as usual; bytes count only where they are named so.
    """
    return [
        name
        for name in keys.images or IMAGE_COLUMNS
        if name in schema.names and _of_bytes(schema.field(name))
    ]


def media_columns(schema: pa.Schema) -> list[str]:
    """The columns of `schema` that hold video or audio."""
    return [name for name in MEDIA_KEYS if name in schema.names and _of_bytes(schema.field(name))]


def _of_bytes(field: pa.Field) -> bool:
    kind = field.type.value_type if _is_list(field.type) else field.type
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def cells(column: str, values: pa.Array, *, embedded: bool | None = None) -> Cells:
    """Paths of the images in `values`. Their bytes are not touched.

    `embedded` says for a column read without its bytes whether every struct has them; None looks.
    """
    nested = _is_list(values.type)
    items = values.flatten() if nested else values
    there = items.is_valid().to_pylist()
    structs = pa.types.is_struct(items.type)
    if structs and items.type.get_field_index("path") >= 0:
        paths = _strings(pc.struct_field(items, "path"))
    else:
        paths = [None] * len(items)
    if embedded is None:
        has = pc.struct_field(items, "bytes").is_valid().to_pylist() if structs else there
    else:
        has = [embedded and valid for valid in there]
    if not nested:
        empty = [
            not valid or (not inside and not path)
            for valid, inside, path in zip(there, has, paths, strict=True)
        ]
        return Cells(
            column,
            [None if none else [path] for none, path in zip(empty, paths, strict=True)],
            [None if none else [inside] for none, inside in zip(empty, has, strict=True)],
            nested,
            structs,
        )
    lengths = pc.list_value_length(values).cast(pa.int64()).fill_null(0).to_pylist()
    ends = [0]
    for length in lengths:
        ends.append(ends[-1] + length)
    runs = list(pairwise(ends))
    named, inside = [paths[a:b] or None for a, b in runs], [has[a:b] or None for a, b in runs]
    return Cells(column, named, inside, nested, structs)


def records(
    texts: pa.RecordBatch,
    images: list[Cells],
    media: Mapping[str, pa.Array],
    *,
    container: str,
    first_row: int,
    keys: Keys,
) -> Iterator[Record]:
    """The records of a run of rows, `first_row` being its first row's number in the file `container`.

    A row in which a column of `media` holds something has video or audio. The raw record is the canonical
    JSON of the columns that hold no image; null where a cell is not UTF-8.
    """
    for at, (row, broken) in enumerate(_rows(texts)):
        key = str(first_row + at)
        raw = canonical_json(row)
        if broken:
            error = (BAD_JSON, f"column {broken[0]!r} holds a string that is not UTF-8")
            yield Record(key=key, raw=raw, record_id=_id(row), error=error)
            continue
        value = {name: item for name, item in row.items() if item is not None}
        schema = shape_of(value, bool(images), keys)
        value = {**keys.renamed(value), **{name: True for name, held in media.items() if held[at].is_valid}}
        try:
            found = _images(images, at, container, first_row + at)
        except BadRecord as bad:
            yield Record(key=key, raw=raw, record_id=_id(row), error=(bad.code, bad.sentence))
            continue
        record = record_of(value, SCHEMAS[schema or "llava"], key=key, raw=raw, images=found or None)
        yield numbered(record, container, first_row + at)


def canonical_json(row: dict[str, Any]) -> bytes:
    """`row` as JSON in UTF-8, columns in the table's order, no white space; NaN is null, bytes are base64."""
    return json.dumps(_plain(row), ensure_ascii=False, separators=(",", ":"), default=_text).encode()


def _rows(texts: pa.RecordBatch) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Each row, and its columns that hold a string that is not UTF-8."""
    try:
        rows = texts.to_pylist()
    except UnicodeDecodeError:
        for at in range(len(texts)):
            row, broken = {}, []
            for name, column in zip(texts.schema.names, texts.columns, strict=True):
                try:
                    row[name] = column[at].as_py()
                except UnicodeDecodeError:
                    row[name] = None
                    broken.append(name)
            yield row, broken
    else:
        for row in rows:
            yield row, []


def _strings(values: pa.Array) -> list[str | None]:
    """A path that is not UTF-8 leads nowhere, but may name an image that the file holds."""
    try:
        found: list[str | None] = values.to_pylist()
    except UnicodeDecodeError:
        found = [
            None if value is None else value.decode("utf-8", "replace")
            for value in values.cast(pa.large_binary()).to_pylist()
        ]
    return found


def _images(columns: list[Cells], at: int, container: str, row: int) -> Images:
    found: list[ImageAt] = []
    for cell in columns:
        paths, embedded = cell.paths[at] or [], cell.embedded[at] or []
        if paths and found:
            raise BadRecord(BAD_IMAGE_FIELD, f"both {columns[0].column!r} and {cell.column!r} hold images")
        for n, (path, inside) in enumerate(zip(paths, embedded, strict=True)):
            if inside:
                place = f"{cell.column}.{n}" if cell.nested else cell.column
                place += ".bytes" if cell.structs else ""
                found.append(
                    ImageAt(path=path or f"{cell.column}.{n}", container=container, column=place, row=row)
                )
            elif path:
                found.append(ImageAt(path=path))
            else:
                raise BadRecord(
                    BAD_IMAGE_FIELD, f"element {n + 1} of {cell.column!r} has neither bytes nor a path"
                )
    return tuple(found)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _id(row: dict[str, Any]) -> str | None:
    return None if row.get("id") is None else str(row["id"])


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):  # a map is a list of pairs
        return [_plain(item) for item in value]
    return value


def _text(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
