"""Rows in an order drawn by a seed, in bounded memory: they wait in buckets on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation.writers.kept import BATCH

BUCKET_ROWS = 20_000  # in memory at once, without images
AT_ONCE = 50  # batches that are spread over buckets together
_PLACE = pa.field("place", pa.int64())


def shuffled(
    batches: Iterator[pa.RecordBatch], n: int, seed: int, scratch: Path, bucket_rows: int = BUCKET_ROWS
) -> Iterator[pa.RecordBatch]:
    """The `n` rows of `batches` in an order that follows from `seed` and `n`, BATCH a batch.

    Args:
        batches: no images in them, only where they lie.
        n: how many rows come.
        seed: of the order.
        scratch: a folder that is made for the rows while they wait, and goes.
        bucket_rows: rows in memory at once.
    """
    place = np.random.default_rng(seed).permutation(n)
    shutil.rmtree(scratch, ignore_errors=True)  # of an interrupted attempt
    scratch.mkdir()
    paths = [scratch / f"{number}.arrow" for number in range(-(-n // bucket_rows))]
    _spread(batches, place, paths, bucket_rows)
    for path in paths:
        with pa.ipc.open_stream(path) as reader:
            rows = reader.read_all()
        order = np.argsort(rows[_PLACE.name].to_numpy())
        whole = rows.take(pa.array(order)).drop_columns([_PLACE.name]).combine_chunks()
        yield from whole.to_batches(max_chunksize=BATCH)
    shutil.rmtree(scratch)


def _spread(
    batches: Iterator[pa.RecordBatch], place: np.ndarray, paths: list[Path], bucket_rows: int
) -> None:
    """Write each row to the file of its bucket, with its place in the order."""
    first = next(batches, None)
    if first is None:
        return
    schema, start = first.schema.append(_PLACE), 0
    with ExitStack() as stack:
        files = [stack.enter_context(pa.ipc.new_stream(path, schema)) for path in paths]
        for table in _gathered(chain([first], batches)):
            places = place[start : start + len(table)]
            start += len(table)
            table = table.append_column(_PLACE, pa.array(places))
            for bucket in np.unique(places // bucket_rows):
                mine = np.flatnonzero(places // bucket_rows == bucket)
                files[bucket].write_table(table.take(pa.array(mine)))


def _gathered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if len(waiting) == AT_ONCE:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)
