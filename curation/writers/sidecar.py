"""`selection.parquet` beside an export: what became of every sample of the pool."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.storage.ids import positions
from curation.storage.store import Store

SIDECAR = pa.schema(
    [
        pa.field("uid", pa.string(), nullable=False),
        pa.field("id", pa.string()),
        pa.field("keep", pa.bool_(), nullable=False),
        pa.field("rank", pa.int64()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("kept_uid", pa.string()),
    ]
)


def write_sidecar(store: Store, path: Path) -> None:
    """What became of every sample of the pool, and of a pruned one what is kept instead."""
    selection = store.read("selection", ["uid", "keep", "rank", "reason"])
    pruned = store.read("pruned", ["uid", "kept_uid"])
    instead = np.full(len(selection), -1, np.int64)
    instead[positions(pruned["uid"], selection["uid"])] = np.arange(len(pruned))
    start = 0
    with pq.ParquetWriter(path, SIDECAR, compression="zstd") as writer:
        for shard in store.iterate("checked", ["record_id"]):
            rows, at = selection.slice(start, len(shard)), instead[start : start + len(shard)]
            start += len(shard)
            kept = pruned["kept_uid"].take(pa.array(at, mask=at < 0))
            made = {"uid": _hex(rows["uid"]), "id": shard["record_id"], "kept_uid": _hex(kept)}
            columns = [made[name] if name in made else rows[name] for name in SIDECAR.names]
            writer.write_table(pa.Table.from_arrays(columns, schema=SIDECAR))


def _hex(uids: pa.ChunkedArray) -> pa.Array:
    return pa.array([uid if uid is None else uid.hex() for uid in uids.to_pylist()], pa.string())
