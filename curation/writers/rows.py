"""Kept samples as rows of a Hugging Face dataset: images with their bytes, LLaVA conversations, scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curation.readers.records import BadRecord, parse
from curation.readers.shapes import schema_of
from curation.writers.kept import image_bytes, split

if TYPE_CHECKING:
    from datasets import Features

# LLaVA's trainers know these names and no others.
FROM = {"user": "human", "assistant": "gpt", "system": "system"}


def features(scores: pa.Schema) -> Features:
    """The columns of an exported dataset, `scores` behind the fixed ones."""
    from datasets import Features, Image, List, Value

    fixed = {
        "uid": Value("string"),
        "id": Value("string"),
        "dataset": Value("string"),
        "source": Value("string"),
        "images": List(Image()),
        "conversations": List({"from": Value("string"), "value": Value("string")}),
        "record": Value("large_string"),
        "rank": Value("int64"),
        "cluster": Value("int32"),
        "n_tokens": Value("int64"),
    }
    return Features({**fixed, **Features.from_arrow_schema(scores)})


def tables(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """The batches as rows of `schema` (the Arrow schema of `features`), image bytes untouched."""
    for batch in batches:
        for part in split(batch):
            yield _table(part, schema)


def _table(rows: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    refs = rows["images"].to_pylist()
    flat = [ref for of_row in refs for ref in of_row]
    records, turns = rows["record"].to_pylist(), rows["turns"].to_pylist()
    repaired = map(bool, rows["repaired"].to_pylist())
    made = {
        "uid": pa.array([uid.hex() for uid in rows["uid"].to_pylist()]),
        "id": rows["record_id"],
        "images": _images(flat, [len(of_row) for of_row in refs], schema.field("images").type),
        "conversations": pa.array(
            [conversations(*each) for each in zip(records, turns, repaired, strict=True)],
            schema.field("conversations").type,
        ),
        "record": rows["record"].cast(pa.large_string()),
    }
    columns = [made[name] if name in made else rows[name] for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema)


def _images(refs: list[dict[str, Any]], counts: list[int], kind: pa.DataType) -> pa.Array:
    values = pa.StructArray.from_arrays(
        [pa.array(image_bytes(refs), pa.binary()), pa.array([ref["name"] for ref in refs], pa.string())],
        fields=[pa.field("bytes", pa.binary()), pa.field("path", pa.string())],
    )
    ends = [0]
    for count in counts:
        ends.append(ends[-1] + count)
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), values, type=kind)


def conversations(raw: bytes, turns: list[dict[str, str]], repaired: bool) -> list[dict[str, str]]:
    """Turns as LLaVA has them: the record's if it is LLaVA's and not `repaired`, else the canonical ones."""
    record = llava_record(raw)
    if record is not None and not repaired:
        return [{"from": turn["from"], "value": turn["value"]} for turn in record["conversations"]]
    return [{"from": FROM[turn["role"]], "value": turn["text"]} for turn in turns]


def llava_record(raw: bytes) -> dict[str, Any] | None:
    """The parsed record where LLaVA's trainers can read its turns as they are, else None."""
    try:
        record: dict[str, Any] = parse(raw)
    except BadRecord:  # a caption of a WebDataset is no JSON
        return None
    if schema_of(record) != "llava":
        return None
    known = all(turn.get("from") in FROM.values() for turn in record["conversations"])
    return record if known else None


def write_shards(
    parts: Iterator[pa.Table],
    limit: int,
    shard: Callable[[int], AbstractContextManager[Callable[[pa.Table], object]]],
) -> int:
    """Write `parts` to as many shards of at most `limit` bytes as it takes, one at least; return how many."""
    n = 0
    part = next(parts, None)
    while part is not None or n == 0:
        with shard(n) as write:
            size = 0
            while part is not None and (not size or size + part.nbytes <= limit):
                write(part)
                size += part.nbytes
                part = next(parts, None)
        n += 1
    return n
