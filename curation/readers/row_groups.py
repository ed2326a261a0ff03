"""Rows of a Parquet row group, in order and in small parts, at the cost of reading it once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.readers.kept import Kept
from schemas.errors import ReadError

PAGE_ROWS = 16  # rows of an image column decoded at once
_BUFFER = 1 << 20  # bytes read at once; without it, a column of a whole row group


def open_parquet(file: Path, metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
    """The file, its metadata read unless given.

    Raises:
        ReadError: it is no Parquet, or its end is missing.
    """
    try:
        return pq.ParquetFile(file, metadata=metadata, pre_buffer=False, buffer_size=_BUFFER)
    except (pa.ArrowInvalid, OSError) as error:
        raise ReadError(f"{file} cannot be read as Parquet: {error}") from None


def group_rows(
    file: Path, table: pq.ParquetFile, group: int, columns: list[str], size: int, start: int, stop: int
) -> Iterator[pa.RecordBatch]:
    """Rows `start` to `stop` of a row group, up to `size` at once.

    A page cannot be entered in its middle, so what decodes a group is kept, and the next call goes on where
    this one ended: reading a group in small parts costs what reading it once does. Thread-safe.

    Raises:
        ReadError: the group is damaged.
    """
    n_rows = table.metadata.row_group(group).num_rows
    key = (identity(file), group, tuple(columns), size)
    cursor = _cursors.take(key, start) or _Cursor(key, file, table.metadata)
    sound = False
    try:
        while cursor.position < stop:
            sound = False
            try:
                batch = cursor.next()
            except (OSError, ValueError, StopIteration) as error:
                raise unreadable(file, group, error) from None
            sound = True
            first, cursor.position = cursor.position, min(cursor.position + len(batch), stop)
            rest = batch.slice(cursor.position - first)
            cursor.rest = rest if len(rest) else None
            if cursor.position > start:
                skip = max(0, start - first)
                yield batch.slice(skip, cursor.position - first - skip)
    finally:
        if sound and cursor.position < n_rows:
            _cursors.put(cursor)
        else:
            cursor.close()


class _Cursor:
    """A row group decoded up to a row."""

    def __init__(self, key: tuple[Any, ...], file: Path, metadata: pq.FileMetaData) -> None:
        _, group, columns, size = self.key = key
        self.table = open_parquet(file, metadata)
        self.batches = self.table.iter_batches(
            size, row_groups=[group], columns=list(columns), use_threads=False
        )
        self.position = 0
        self.rest: pa.RecordBatch | None = None  # decoded, from `position` on

    def next(self) -> pa.RecordBatch:
        return next(self.batches) if self.rest is None else self.rest

    def close(self) -> None:
        self.table.close()


_cursors: Kept[_Cursor] = Kept(8)  # each holds a page of each of its columns


def identity(file: Path) -> tuple[str, int, int, int]:
    """Of a file as it is: another one after it was written anew."""
    now = file.stat()
    return str(file.absolute()), now.st_ino, now.st_size, now.st_mtime_ns


def unreadable(file: Path, group: int, error: Exception) -> ReadError:
    """What to raise where a row group is damaged."""
    return ReadError(f"{file}: row group {group} cannot be read: {str(error) or 'it ends early'}")
