"""`curate table`: the tables of a workspace, and any of them as a file that others read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from curation.storage.store import Store
from schemas.errors import ExportError

SUFFIXES = (".parquet", ".csv")


def tables(store: Store) -> dict[str, Any]:
    """Rows and columns of every table that there is."""
    found = {name: store.manifest(name) for name in store.tables()}
    return {
        "tables": {
            name: {"rows": manifest.rows, "columns": list(store.schema(name).names)}
            for name, manifest in found.items()
            if manifest.shards
        }
    }


def write_table(store: Store, name: str, out: Path | str) -> dict[str, Any]:
    """Write a table in pool order, a shard at a time: ids in hex; as CSV lists and records in JSON.

    Args:
        store: where the table is.
        name: of the table.
        out: a file ending in .parquet or .csv; it is replaced once the new one is whole.

    Raises:
        ExportError: there is no such table, or `out` is of no known format or cannot be written.
    """
    demand_suffix(out)
    known = tables(store)["tables"]
    if name not in known:
        raise ExportError(f"there is no table {name!r}; there are {', '.join(sorted(known))}")
    return {"table": name, **write_rows(store.iterate(name), out)}


def demand_suffix(out: Path | str) -> None:
    """Raise ExportError where `out` is of no format that is written."""
    if Path(out).suffix not in SUFFIXES:
        raise ExportError(f"{out}: the name of the file ends in {' or '.join(SUFFIXES)}")


def write_rows(shards: Iterable[pa.Table], out: Path | str) -> dict[str, Any]:
    """Write tables with the same columns, one at least, to a file: `rows`, `out` and `bytes`.

    Raises:
        ExportError: `out` is of no known format, or cannot be written.
    """
    demand_suffix(out)
    path = Path(out)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flat = path.suffix == ".csv"
        rows = _write(partial, (_legible(shard, flat=flat) for shard in shards), flat=flat)
        partial.replace(path)
    except OSError as error:
        raise ExportError(f"{out} could not be written: {error}") from error
    return {"rows": rows, "out": str(path), "bytes": path.stat().st_size}


def _write(path: Path, shards: Iterator[pa.Table], *, flat: bool) -> int:
    first = next(shards)
    opened = pc.CSVWriter if flat else pq.ParquetWriter
    rows = 0
    with opened(path, first.schema) as writer:
        for shard in chain([first], shards):
            writer.write_table(shard)
            rows += len(shard)
    return rows


def _legible(shard: pa.Table, *, flat: bool) -> pa.Table:
    """Bytes in hex, and where `flat` what CSV cannot hold as JSON."""
    for at, field in enumerate(shard.schema):
        if pa.types.is_fixed_size_binary(field.type):
            cells = [None if value is None else value.hex() for value in shard[field.name].to_pylist()]
        elif flat and (pa.types.is_nested(field.type) or pa.types.is_large_binary(field.type)):
            cells = [None if value is None else _told(value) for value in shard[field.name].to_pylist()]
        else:
            continue
        shard = shard.set_column(at, field.name, pa.array(cells, pa.string()))
    return shard.replace_schema_metadata(None)


def _told(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return json.dumps(value, ensure_ascii=False, default=lambda each: each.hex())
