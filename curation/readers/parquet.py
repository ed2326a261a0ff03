"""Parquet with HF `Image` columns: records are read without the bytes of their images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from curation.readers.listing import data_files
from curation.readers.rows import Cells, cells, check_columns, image_columns, records
from schemas.errors import ReadError
from schemas.protocols import Record, Span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq


@dataclass(frozen=True)
class Parquet:
    """Parquet: `conversations` or `messages`, `image` or `images`, further columns. Spans count rows."""

    name: ClassVar[str] = "parquet"
    version: ClassVar[int] = 1

    def files(self, path: Path) -> list[Path]:
        return [path] if path.is_file() else data_files(path, (".parquet",))

    def spans(self, file: Path, rows: int) -> Iterator[Span]:
        """Whole row groups while they fit into `rows`; a larger group is cut, and never shares a span."""
        if rows < 1:
            raise ValueError(f"rows is {rows}, and a span has at least one record")
        with open_parquet(file) as table:
            check_columns(table.schema_arrow.names, str(file))
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
            images = image_columns(table.schema_arrow)
            for group, skip, length, first_row in _parts(table, span):
                try:
                    texts, found = _group(table, group, images)
                except (OSError, ValueError) as error:  # pyarrow: ArrowInvalid is a ValueError
                    raise ReadError(f"{file}: row group {group} cannot be read: {error}") from None
                part = texts.slice(skip, length).to_pylist()
                cut = [Cells(c.column, c.paths[skip:][:length], c.embedded[skip:][:length]) for c in found]
                yield from records(part, cut, container=str(file.absolute()), first_row=first_row)


def open_parquet(file: Path) -> pq.ParquetFile:
    """The file, its metadata read.

    Raises:
        ReadError: it is no Parquet, or its end is missing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file, pre_buffer=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise ReadError(f"{file} cannot be read as Parquet: {error}") from None


def _parts(table: pq.ParquetFile, span: Span) -> Iterator[tuple[int, int, int, int]]:
    """(row group, rows to skip in it, rows to take, first row's number in the file) of a span."""
    begin = 0
    for group in range(table.num_row_groups):
        end = begin + table.metadata.row_group(group).num_rows
        low, high = max(begin, span.offset), min(end, span.offset + span.length)
        if low < high:
            yield group, low - begin, high - low, low
        begin = end


def _group(table: pq.ParquetFile, group: int, images: list[str]) -> tuple[pa.Table, list[Cells]]:
    """The columns of a row group that hold no image, and where its images are."""
    names = [name for name in table.schema_arrow.names if name not in images]
    texts = table.read_row_group(group, columns=names)
    return texts, [_cells(table, group, name) for name in images]


def _cells(table: pq.ParquetFile, group: int, column: str) -> Cells:
    """Reads the paths alone if the statistics show that every image has bytes, or that none has."""
    leaves = {table.schema.column(i).path: i for i in range(len(table.schema))}
    paths = [leaf for leaf in leaves if leaf.startswith(f"{column}.") and leaf.endswith(".path")]
    inside = [leaf for leaf in leaves if leaf.startswith(f"{column}.") and leaf.endswith(".bytes")]
    if paths and inside:
        values = _column(table, group, column, paths)
        chunk = table.metadata.row_group(group).column(leaves[inside[0]])
        statistics = chunk.statistics
        if statistics is not None and statistics.has_null_count:
            present = chunk.num_values - statistics.null_count
            total = _count_structs(values)
            if present in (0, total):
                return cells(column, values, embedded=present == total)
    return cells(column, _column(table, group, column, [column]))


def _column(table: pq.ParquetFile, group: int, column: str, leaves: list[str]) -> pa.Array:
    import pyarrow as pa

    values = table.read_row_group(group, columns=leaves).column(column)
    return values.chunk(0) if values.num_chunks == 1 else pa.concat_arrays(values.chunks)


def _count_structs(values: pa.Array) -> int:
    import pyarrow as pa

    structs = values if pa.types.is_struct(values.type) else values.flatten()
    return int(len(structs) - structs.null_count)
