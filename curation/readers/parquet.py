"""Parquet with HF `Image` columns: records are read without the bytes of their images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from curation.readers.keys import NO_KEYS, Keys
from curation.readers.listing import data_files
from curation.readers.row_groups import PAGE_ROWS, group_rows, identity, open_parquet, unreadable
from curation.readers.rows import cells, check_columns, image_columns, media_columns, records
from schemas.protocols import Record, Span

_TEXT_ROWS = 1024


@dataclass(frozen=True)
class Parquet:
    """Parquet: columns as the keys of a shape of SHAPES, images as bytes or paths. Spans count rows."""

    name: ClassVar[str] = "parquet"
    version: ClassVar[int] = 3
    keys: Keys = NO_KEYS

    def with_keys(self, keys: Keys) -> Parquet:
        """The same for data whose image and text are called otherwise."""
        return replace(self, keys=keys)

    def files(self, path: Path) -> list[Path]:
        return [path] if path.is_file() else data_files(path, (".parquet",))

    def spans(self, file: Path, rows: int) -> Iterator[Span]:
        """Whole row groups while they fit into `rows`; a larger group is cut, and never shares a span."""
        if rows < 1:
            raise ValueError(f"rows is {rows}, and a span has at least one record")
        with open_parquet(file) as table:
            check_columns(table.schema_arrow, str(file), self.keys)
            sizes = [table.metadata.row_group(g).num_rows for g in range(table.num_row_groups)]
        first = n = 0
        for size in sizes:
            if n and n + size > rows:
                yield Span(first, n, first, n)
                first, n = first + n, 0
            n += size
            while n > rows:
                yield Span(first, rows, first, rows)
                first, n = first + rows, n - rows
            if size > rows and n:
                yield Span(first, n, first, n)
                first, n = first + n, 0
        if n:
            yield Span(first, n, first, n)

    def read(self, file: Path, span: Span) -> Iterator[Record]:
        with open_parquet(file) as table:
            images, media = image_columns(table.schema_arrow, self.keys), media_columns(table.schema_arrow)
            names = [name for name in table.schema_arrow.names if name not in (*images, *media)]
            for group, skip, length, row in _parts(table, span):
                try:
                    embedded = {name: _embedded(file, table, group, name) for name in images}
                except (OSError, ValueError) as error:  # pyarrow: ArrowInvalid is a ValueError
                    raise unreadable(file, group, error) from None
                wide = None in embedded.values()
                columns = list(names)
                for name in images:
                    columns += [name] if embedded[name] is None else _leaves(table, name, "path")
                for name in media:
                    columns += _leaves(table, name, "path") or [name]
                size = PAGE_ROWS if wide or media else _TEXT_ROWS
                for batch in group_rows(file, table, group, columns, size, skip, skip + length):
                    found = [cells(name, batch.column(name), embedded=embedded[name]) for name in images]
                    others = {name: batch.column(name) for name in media}
                    container = str(file.absolute())
                    yield from records(
                        batch.select(names), found, others, container=container, first_row=row, keys=self.keys
                    )
                    row += len(batch)


def _parts(table: pq.ParquetFile, span: Span) -> Iterator[tuple[int, int, int, int]]:
    """(row group, rows to skip in it, rows to take, first row's number in the file) of a span."""
    begin = 0
    for group in range(table.num_row_groups):
        end = begin + table.metadata.row_group(group).num_rows
        low, high = max(begin, span.offset), min(end, span.offset + span.length)
        if low < high:
            yield group, low - begin, high - low, low
        begin = end


def _leaves(table: pq.ParquetFile, column: str, end: str) -> list[str]:
    paths = [table.schema.column(i).path for i in range(len(table.schema))]
    return [path for path in paths if path.startswith(f"{column}.") and path.endswith(f".{end}")]


_known: dict[tuple[Any, ...], bool | None] = {}


def _embedded(file: Path, table: pq.ParquetFile, group: int, column: str) -> bool | None:
    """Whether all images of a row group have bytes (True) or none has (False), by the statistics.

    None: some have, or it is not known, or there are no paths to read alone.
    """
    key = (identity(file), group, column)
    try:
        return _known[key]
    except KeyError:
        embedded = _all_or_none(table, group, column)
    if len(_known) >= 4096:
        _known.clear()
    _known[key] = embedded
    return embedded


def _all_or_none(table: pq.ParquetFile, group: int, column: str) -> bool | None:
    paths, inside = (_leaves(table, column, end) for end in ("path", "bytes"))
    if not paths or not inside:
        return None
    chunks = (table.metadata.row_group(group).column(i) for i in range(len(table.schema)))
    chunk = next((chunk for chunk in chunks if chunk.path_in_schema == inside[0]), None)
    # A damaged file may have no such column after all.
    if chunk is None or chunk.statistics is None or not chunk.statistics.has_null_count:
        return None
    present = chunk.num_values - chunk.statistics.null_count
    if present == 0:
        return False
    parts = table.iter_batches(row_groups=[group], columns=paths, use_threads=False)
    return True if present == sum(_count_structs(part.column(0)) for part in parts) else None


def _count_structs(values: pa.Array) -> int:
    structs = values if pa.types.is_struct(values.type) else values.flatten()
    return int(len(structs) - structs.null_count)
