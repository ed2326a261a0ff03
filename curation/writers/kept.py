"""The kept samples in pool order, a bounded batch at a time, and the bytes of their images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.catalog import FACTS, IDS, current_tables
from curation.readers.images import BadImage, fetch
from curation.storage.files import each, is_url
from curation.storage.store import ROW_GROUP, Store, read_shard
from schemas.errors import ExportError, WorkspaceError

SAMPLE = ("uid", "dataset", "record_id", "record", "turns", "images", "n_tokens", "source", "repaired")
DECISION = ("rank", "cluster")
# Rows a batch: what the Hub's viewer likes as a row group of images.
BATCH = 100
# Image bytes in memory at once, one image at least.
BATCH_BYTES = 64_000_000


@dataclass(frozen=True)
class Kept:
    """The rows of `samples` that `selection` keeps, with their rank, cluster and scores.

    Args:
        store: where they are.
        only: (rows of the pool,) which of them count; all by default.
    """

    store: Store
    only: NDArray[np.bool_] | None = None

    def scores(self) -> dict[str, list[pa.Field]]:
        """The score columns that exist, by table."""
        found: dict[str, list[pa.Field]] = {}
        taken = {*IDS, *SAMPLE, *DECISION}
        for table in current_tables(self.store):
            if table in FACTS:
                continue
            schema = self.store.schema(table)
            found[table] = [field.remove_metadata() for field in schema if field.name not in taken]
            taken |= set(schema.names)
        return found

    def schema(self) -> pa.Schema:
        """The score columns of a batch, in order."""
        return pa.schema([field for fields in self.scores().values() for field in fields])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The kept rows in pool order, BATCH a batch (the last may be smaller).

        Raises:
            WorkspaceError: the tables do not belong together, or a shard's file is gone.
        """
        waiting: list[pa.Table] = []
        for part in self._parts():
            waiting.append(part)
            if sum(map(len, waiting)) >= BATCH:
                rows = pa.concat_tables(waiting).combine_chunks()
                whole = len(rows) - len(rows) % BATCH
                yield from rows.slice(0, whole).to_batches(max_chunksize=BATCH)
                waiting = [rows.slice(whole)]
        if sum(map(len, waiting)):
            yield from pa.concat_tables(waiting).combine_chunks().to_batches()

    def _parts(self) -> Iterator[pa.Table]:
        """The kept rows of one row group of one shard after the other."""
        selection = self.store.read("selection", ["uid", "keep", *DECISION])
        samples = self.store.manifest("samples")
        tables = {table: [field.name for field in fields] for table, fields in self.scores().items()}
        scores = {table: self.store.iterate(table, ["uid", *names]) for table, names in tables.items()}
        for shard, rows in zip(samples.shards, samples.slices, strict=True):
            decided = selection[rows]
            narrow = {table: next(shards, None) for table, shards in scores.items()}
            keep = decided["keep"].to_numpy()
            wanted = np.flatnonzero(keep if self.only is None else keep & self.only[rows])
            if len(wanted):
                joined = _beside(decided, narrow)
                yield from self._groups(shard.checksum, wanted, joined)

    def _groups(self, checksum: str, wanted: NDArray[np.int64], joined: pa.Table) -> Iterator[pa.Table]:
        path = str(self.store.shard_path("samples", checksum))

        def read(group: int) -> pa.Table:
            try:
                return read_shard(path, SAMPLE, [group])
            except FileNotFoundError:
                raise WorkspaceError(f"{path} is gone; run `curate select` to compute it anew") from None

        groups = np.unique(wanted // ROW_GROUP).tolist()
        for group, rows_of_group in zip(groups, each(read, groups, remote=is_url(path)), strict=True):
            rows = wanted[wanted // ROW_GROUP == group]
            part = rows_of_group.take(pa.array(rows - group * ROW_GROUP))
            beside = joined.take(pa.array(rows))
            _check_uids(part, beside, "selection")
            for name in beside.column_names[1:]:
                part = part.append_column(beside.schema.field(name), beside[name])
            yield part


def _beside(decided: pa.Table, narrow: dict[str, pa.Table | None]) -> pa.Table:
    """uid, rank, cluster and the scores of a shard's rows."""
    joined = decided.select(["uid", *DECISION])
    for table, scores in narrow.items():
        _check_uids(decided, scores, table)
        assert scores is not None
        for name in scores.column_names[1:]:
            joined = joined.append_column(scores.schema.field(name), scores[name])
    return joined


def _check_uids(expected: pa.Table, found: pa.Table | None, table: str) -> None:
    if found is None or not expected["uid"].equals(found["uid"]):
        raise WorkspaceError(f"table {table} is of another state of the pool; run `curate select` again")


def split(batch: pa.RecordBatch, limit: int = BATCH_BYTES) -> Iterator[pa.RecordBatch]:
    """Runs of rows whose images have at most `limit` bytes, a row at least."""
    sizes = [sum(ref["n_bytes"] for ref in refs) for refs in batch["images"].to_pylist()]
    start = held = 0
    for row, size in enumerate(sizes):
        if row > start and held + size > limit:
            yield batch.slice(start, row - start)
            start, held = row, 0
        held += size
    if start < len(sizes):
        yield batch.slice(start)


def image_bytes(refs: Sequence[dict[str, Any]]) -> list[bytes]:
    """The bytes of each image as they were ingested.

    Raises:
        ExportError: a file is gone or has changed.
    """
    found = []
    for ref, data in zip(refs, fetch(refs), strict=True):
        if isinstance(data, BadImage):
            raise ExportError(
                f"an image of a kept sample cannot be read any more: {data}; put it back, or touch the data "
                "file and select again without it"
            )
        if hashlib.sha256(data).digest() != ref["sha256"]:
            raise ExportError(
                f"{ref['path']} ({ref['name']}) has changed since it was ingested; put the old file back, "
                "or touch the data file and select again"
            )
        found.append(data)
    return found
