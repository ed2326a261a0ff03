"""Rows of Arrow tables as records: the text columns are the record, the image columns say where bytes lie."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.readers.records import BadRecord, Images, record_of
from curation.readers.shapes import SCHEMAS, schema_of
from schemas.errors import BAD_IMAGE_FIELD, BAD_JSON, ReadError
from schemas.protocols import ImageAt, Record

IMAGE_COLUMNS = ("image", "images")
TURN_COLUMNS = ("conversations", "messages")


@dataclass(frozen=True)
class Cells:
    """The image columns of a run of rows, without the images."""

    column: str
    paths: list[list[str | None] | None]  # a row's images; None where the row has none
    embedded: list[list[bool] | None]  # whether the file holds the bytes
    nested: bool  # the column holds lists of images


def check_columns(names: list[str], file: str) -> None:
    """Raise ReadError unless a table with columns `names` can be read as records."""
    if not any(name in names for name in TURN_COLUMNS):
        raise ReadError(
            f"{file} has columns {', '.join(names)}; one of {' or '.join(TURN_COLUMNS)} must hold the turns"
        )


def image_columns(schema: pa.Schema) -> list[str]:
    """The columns of `schema` that hold images as structs (HF `Image`), alone or in lists."""

    def of_image(kind: pa.DataType) -> bool:
        kind = kind.value_type if _is_list(kind) else kind
        return bool(pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)

    return [name for name in IMAGE_COLUMNS if name in schema.names and of_image(schema.field(name).type)]


def cells(column: str, values: pa.Array, *, embedded: bool | None = None) -> Cells:
    """Paths of the images in `values`. Their bytes are not touched.

    `embedded` says for a column read without its bytes whether every struct has them; None looks.
    """
    nested = _is_list(values.type)
    structs = values.flatten() if nested else values
    there = structs.is_valid().to_pylist()
    if structs.type.get_field_index("path") >= 0:
        paths = _strings(pc.struct_field(structs, "path"))
    else:
        paths = [None] * len(structs)
    if embedded is None:
        has = pc.struct_field(structs, "bytes").is_valid().to_pylist()
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
        )
    lengths = pc.list_value_length(values).cast(pa.int64()).fill_null(0).to_pylist()
    ends = [0]
    for length in lengths:
        ends.append(ends[-1] + length)
    runs = list(pairwise(ends))
    return Cells(column, [paths[a:b] or None for a, b in runs], [has[a:b] or None for a, b in runs], nested)


def records(
    texts: pa.RecordBatch, images: list[Cells], *, container: str, first_row: int
) -> Iterator[Record]:
    """The records of a run of rows, `first_row` being its first row's number in the file `container`.

    The raw record is the canonical JSON of the columns that hold no image; null where a cell is not UTF-8.
    """
    for at, (row, broken) in enumerate(_rows(texts)):
        key = str(first_row + at)
        raw = canonical_json(row)
        if broken:
            error = (BAD_JSON, f"column {broken[0]!r} holds a string that is not UTF-8")
            yield Record(key=key, raw=raw, record_id=_id(row), error=error)
            continue
        value = {name: item for name, item in row.items() if item is not None}
        schema = schema_of(value)
        try:
            found = _images(images, at, container, first_row + at)
        except BadRecord as bad:
            yield Record(key=key, raw=raw, record_id=_id(row), error=(bad.code, bad.sentence))
            continue
        yield record_of(value, SCHEMAS[schema or "llava"], key=key, raw=raw, images=found or None)


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
            raise BadRecord(BAD_IMAGE_FIELD, "both 'image' and 'images' hold images")
        for n, (path, inside) in enumerate(zip(paths, embedded, strict=True)):
            if inside:
                place = f"{cell.column}.{n}.bytes" if cell.nested else f"{cell.column}.bytes"
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
