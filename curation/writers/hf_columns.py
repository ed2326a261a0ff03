"""Kept samples as rows of a Hugging Face dataset: images with their bytes, turns, scores."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from curation.writers.facts import Facts
from curation.writers.kept import image_bytes
from curation.writers.pictures import PATHS
from curation.writers.rows import conversations, extra, messages_in_parts

_IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
_TURN = pa.struct([pa.field("from", pa.string()), pa.field("value", pa.string())])
_PART = pa.struct([pa.field("type", pa.string()), pa.field("text", pa.string())])
_MESSAGE = pa.struct([pa.field("role", pa.string()), pa.field("content", pa.list_(_PART))])
# What differs between the two: LLaVA's turns and the record as it came, or messages beside the turns, and
# further keys. TRL wants images as parts of a message, LLaMA-Factory as `<image>` in a text.
CONVERSATIONS = (pa.field("conversations", pa.list_(_TURN)), pa.field("record", pa.large_string()))
MESSAGES = (
    pa.field("messages", pa.list_(_MESSAGE)),
    pa.field("conversations", pa.list_(_TURN)),
    pa.field("extra", pa.large_string()),
)


def schema_of_rows(scores: pa.Schema, turns: tuple[pa.Field, ...]) -> pa.Schema:
    """The columns of an exported dataset, `scores` behind the fixed ones; its metadata is for `datasets`."""
    fields = [
        pa.field("uid", pa.string()),
        pa.field("id", pa.string()),
        pa.field("dataset", pa.string()),
        pa.field("source", pa.string()),
        pa.field("images", pa.list_(_IMAGE)),
        *turns,
        pa.field("rank", pa.int64()),
        pa.field("cluster", pa.int32()),
        pa.field("n_tokens", pa.int64()),
        *scores,
    ]
    schema = pa.schema(fields)
    told = json.dumps({"info": {"features": features(schema)}})
    return schema.with_metadata({"huggingface": told})


def features(schema: pa.Schema) -> dict[str, Any]:
    """The columns as `datasets` describes them, in the one form that its versions from 2.16 to 5 read.

    Lists are written as a list of one: `List` is unknown before 4, and `Sequence` of a struct is a struct of
    lists.
    """
    return {field.name: _feature(field.type) for field in schema}


def _feature(kind: pa.DataType) -> Any:
    if kind == _IMAGE:
        return {"_type": "Image"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if pa.types.is_fixed_size_list(kind):
        return {"feature": _feature(kind.value_type), "length": kind.list_size, "_type": "Sequence"}
    if pa.types.is_list(kind):
        return [_feature(kind.value_type)]
    names = {"double": "float64", "float": "float32", "halffloat": "float16"}
    named = "binary" if pa.types.is_fixed_size_binary(kind) else names.get(str(kind), str(kind))
    return {"dtype": named, "_type": "Value"}


def table(rows: pa.RecordBatch, schema: pa.Schema, facts: Facts) -> tuple[pa.Table, int]:
    """The rows in columns of `schema` (as `schema_of_rows` makes it), and the bytes of that."""
    listed = rows.select(["record", "record_id", "turns", "repaired", "uid"]).to_pylist()
    made = {
        "uid": pa.array([row["uid"].hex() for row in listed]),
        "id": rows["record_id"],
        "images": _images(rows, facts),
        "conversations": pa.array(map(conversations, listed), pa.list_(_TURN)),
        "record": rows["record"].cast(pa.large_string()),
    }
    if "messages" in schema.names:
        made["messages"] = pa.array(map(messages_in_parts, listed), pa.list_(_MESSAGE))
        made["extra"] = pa.array([extra(row).get("extra") for row in listed], pa.large_string())
    columns = [made[name] if name in made else rows[name] for name in schema.names]
    whole = pa.Table.from_arrays(columns, schema=schema)
    return whole, whole.nbytes


def _images(rows: pa.RecordBatch, facts: Facts) -> pa.Array:
    of_rows = rows["images"].to_pylist()
    refs: list[dict[str, Any]] = [ref for of_row in of_rows for ref in of_row]
    if facts.pictures.how == PATHS:
        contents: list[bytes | None] = [None] * len(refs)
        paths = [path for of_row in facts.pictures.names(rows, absolute=True) for path in of_row]
    else:
        contents, paths = list(image_bytes(refs)), [ref["name"] for ref in refs]
    values = pa.StructArray.from_arrays(
        [pa.array(contents, pa.binary()), pa.array(paths, pa.string())], fields=list(_IMAGE)
    )
    ends = [0]
    for of_row in of_rows:
        ends.append(ends[-1] + len(of_row))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), values, type=pa.list_(_IMAGE))
