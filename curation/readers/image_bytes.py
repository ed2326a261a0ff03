"""The bytes of images, from files, tars, Parquet and Arrow. Nothing is decoded."""

from __future__ import annotations

import os
import stat
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.readers import data_urls
from curation.readers.compressed import codec_of, opened
from curation.readers.hf_disk import HfDisk, batches
from curation.readers.parquet import Parquet
from curation.readers.row_groups import PAGE_ROWS, group_rows, open_parquet
from curation.storage.files import each
from schemas.errors import (
    BAD_IMAGE_FIELD,
    IMAGE_CHANGED,
    IMAGE_TOO_LARGE,
    MISSING_IMAGE,
    NOT_AN_IMAGE,
    TRUNCATED_IMAGE,
    ReadError,
)
from schemas.protocols import Span

MAX_IMAGE_BYTES = 512 << 20
# Threads that read a row group take turns, else each would decode all of it, and hold a part.
_turns = [threading.RLock() for _ in range(64)]


class BadImage(Exception):
    """One image cannot be used: an error code and a sentence."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(code, sentence)
        self.code = code
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


def fetch(refs: Sequence[Mapping[str, Any]]) -> list[bytes | BadImage]:
    """The bytes of each of `refs` (rows of IMAGE_REF), in order, or why they cannot be had.

    A container is opened once a call, and rows in their order cost no reading again: pass what lies
    together. Where a ref carries a sha256, bytes of another length than `n_bytes` are IMAGE_CHANGED.
    Thread-safe.
    """
    found: dict[int, bytes | BadImage] = {}
    containers: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for at, ref in enumerate(refs):
        containers[ref["path"], _kind(ref)].append(at)
    urls = {key: containers.pop(key) for key in list(containers) if "://" in key[0]}
    for places, data in zip(
        urls.values(), each(_from_url, [path for path, _ in urls], remote=True), strict=True
    ):
        found.update(dict.fromkeys(places, data))
    for (path, column), places in containers.items():
        if column is None:
            found.update(_from_file(path, refs, places))
        elif column == data_urls.COLUMN:
            found.update(_from_rows(path, refs, places))
        else:
            found.update(_from_table(path, column, refs, places))
    return [_checked(found[at], ref) for at, ref in enumerate(refs)]


def _kind(ref: Mapping[str, Any]) -> str | None:
    """The column that holds the image, COLUMN for a data: URL in a row, None for a file or its span."""
    column: str | None = ref["column"]
    if column is None or ref["row"] is None:
        return None
    return data_urls.COLUMN if column.startswith(data_urls.COLUMN) else column.split(".")[0]


def _checked(data: bytes | BadImage, ref: Mapping[str, Any]) -> bytes | BadImage:
    if isinstance(data, bytes) and ref["column"] == data_urls.COLUMN:
        try:
            data = data_urls.of_span(data)
        except ValueError as error:
            data = BadImage(BAD_IMAGE_FIELD, f"{ref['name']!r} in {ref['path']!r} cannot be read: {error}")
    if isinstance(data, BadImage) or not ref["sha256"] or ref["n_bytes"] in (None, len(data)):
        return data
    sentence = f"{ref['name']!r} had {ref['n_bytes']} bytes when it was read first and has {len(data)} now"
    return BadImage(IMAGE_CHANGED, sentence)


def _from_file(
    path: str, refs: Sequence[Mapping[str, Any]], places: list[int]
) -> dict[int, bytes | BadImage]:
    """Whole files, and spans of a tar in the order of their offsets."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not block
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return dict.fromkeys(places, BadImage(MISSING_IMAGE, f"{path!r} cannot be opened: {reason}"))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return dict.fromkeys(places, BadImage(NOT_AN_IMAGE, f"{path!r} is no regular file"))
        in_order = sorted(places, key=lambda at: refs[at]["offset"] or 0)
        if _is_inside(refs[in_order[0]]) and codec_of(os.pread(descriptor, 4, 0)):
            return _from_packed(path, refs, in_order)
        return {at: _span(descriptor, refs[at]) for at in in_order}
    finally:
        os.close(descriptor)


def _is_inside(ref: Mapping[str, Any]) -> bool:
    """Is the image a span of a file, and not all of it?"""
    return ref["length"] is not None and ref["length"] >= 0


def _from_packed(
    path: str, refs: Sequence[Mapping[str, Any]], in_order: list[int]
) -> dict[int, bytes | BadImage]:
    """Spans of the text inside a packed file."""
    found: dict[int, bytes | BadImage] = {}
    with opened(Path(path)) as handle:
        for at in in_order:
            ref = refs[at]
            if ref["length"] > MAX_IMAGE_BYTES:
                found[at] = _too_large(ref, ref["length"])
                continue
            handle.seek(ref["offset"])
            data = handle.read(ref["length"])
            found[at] = data if len(data) == ref["length"] else _cut(ref, ref["length"] - len(data))
    return found


def _span(descriptor: int, ref: Mapping[str, Any]) -> bytes | BadImage:
    offset = ref["offset"] or 0
    length = -1 if ref["length"] is None else ref["length"]
    wanted = max(0, os.fstat(descriptor).st_size - offset) if length < 0 else length
    if wanted > MAX_IMAGE_BYTES:
        return _too_large(ref, wanted)
    try:
        data = os.pread(descriptor, wanted, offset)
    except OSError as error:
        return BadImage(MISSING_IMAGE, f"{ref['name']!r} cannot be read: {error.strerror}")
    return data if len(data) == wanted else _cut(ref, wanted - len(data))


def _too_large(ref: Mapping[str, Any], size: int) -> BadImage:
    return BadImage(IMAGE_TOO_LARGE, f"{ref['name']!r} has {size} bytes, more than {MAX_IMAGE_BYTES}")


def _cut(ref: Mapping[str, Any], missing: int) -> BadImage:
    return BadImage(TRUNCATED_IMAGE, f"{ref['path']!r} ends {missing} bytes before {ref['name']!r} does")


def _from_url(url: str) -> bytes | BadImage:
    """Only a URL that was allowed when the record was read gets into a ref."""
    import fsspec

    try:
        with fsspec.open(url, "rb") as handle:
            data: bytes = handle.read(MAX_IMAGE_BYTES + 1)
    except Exception as error:  # each file system, and its HTTP client, raises errors of its own
        return BadImage(MISSING_IMAGE, f"{url!r} cannot be fetched: {type(error).__name__}: {error}")
    if len(data) > MAX_IMAGE_BYTES:
        return BadImage(IMAGE_TOO_LARGE, f"{url!r} has more than {MAX_IMAGE_BYTES} bytes")
    return data


def _from_table(
    path: str, column: str, refs: Sequence[Mapping[str, Any]], places: list[int]
) -> dict[int, bytes | BadImage]:
    wanted: dict[int, list[int]] = defaultdict(list)
    for at in places:
        wanted[refs[at]["row"]].append(at)
    found: dict[int, bytes | BadImage] = {}
    try:
        for row, cell in _cells(path, column, sorted(wanted)):
            found.update({at: _cell_bytes(cell, refs[at]) for at in wanted[row]})
    except (ReadError, OSError, ValueError, KeyError) as error:  # pyarrow: ArrowInvalid is a ValueError
        for at in places:
            found.setdefault(at, BadImage(MISSING_IMAGE, f"{path!r} cannot be read: {error}"))
    for at in places:
        found.setdefault(at, BadImage(MISSING_IMAGE, f"{path!r} has no row {refs[at]['row']}"))
    return found


def _from_rows(
    path: str, refs: Sequence[Mapping[str, Any]], places: list[int]
) -> dict[int, bytes | BadImage]:
    """Images that stand as data: URLs in the text of rows."""
    found: dict[int, bytes | BadImage] = {}
    table = Parquet() if _is_parquet(path) else HfDisk()
    row, urls = -1, []
    for at in sorted(places, key=lambda at: refs[at]["row"]):
        ref = refs[at]
        try:
            if ref["row"] != row:
                (record,) = table.read(Path(path), Span(ref["row"], 1, ref["row"], 1))
                row, urls = ref["row"], data_urls.listed(record.raw)
            found[at] = data_urls.decoded(urls[int(ref["column"].removeprefix(data_urls.COLUMN))])
        except (ReadError, OSError, ValueError, LookupError) as error:
            sentence = f"{ref['name']!r} in row {ref['row']} of {path!r} cannot be read: {error}"
            found[at] = BadImage(BAD_IMAGE_FIELD, sentence)
    return found


def _is_parquet(path: str) -> bool:
    with Path(path).open("rb") as handle:
        return handle.read(4) == b"PAR1"


def _cells(path: str, column: str, rows: list[int]) -> Iterator[tuple[int, pa.Scalar]]:
    """The cells of `column` at `rows` (sorted), reading no more of the file than it must."""
    position = 0
    for first, values in _runs(path, column, rows):
        while position < len(rows) and rows[position] < first:
            position += 1
        while position < len(rows) and rows[position] < first + len(values):
            yield rows[position], values[rows[position] - first]
            position += 1
        if position == len(rows):
            return


def _runs(path: str, column: str, rows: list[int]) -> Iterator[tuple[int, pa.Array]]:
    """(first row, bytes of the images in a run of rows), for the runs that hold some of `rows`."""
    if not _is_parquet(path):
        for first, batch in batches(Path(path)):
            yield first, batch.column(column)
        return
    with open_parquet(Path(path)) as table:
        leaves = [table.schema.column(i).path for i in range(len(table.schema))]
        inside = [leaf for leaf in leaves if leaf.startswith(f"{column}.") and leaf.endswith(".bytes")]
        inside = inside or [column]  # which holds plain bytes
        first = 0
        for group in range(table.num_row_groups):
            end = first + table.metadata.row_group(group).num_rows
            here = [row - first for row in rows if first <= row < end]
            if here:
                start, stop = here[0], here[-1] + 1
                with _turns[hash((path, column, group)) % len(_turns)]:
                    for batch in group_rows(Path(path), table, group, inside, PAGE_ROWS, start, stop):
                        yield first + start, batch.column(0)
                        start += len(batch)
            first = end


def _cell_bytes(cell: pa.Scalar, ref: Mapping[str, Any]) -> bytes | BadImage:
    """The bytes at the column path, such as "image.bytes" or "images.1.bytes"."""
    parts = ref["column"].split(".")
    value = cell
    try:
        for part in parts[1:]:
            value = value[int(part) if part.isdigit() else part]
        data = value.as_py()
    except (LookupError, TypeError) as error:
        return BadImage(BAD_IMAGE_FIELD, f"row {ref['row']} has nothing at {ref['column']}: {error}")
    if not isinstance(data, bytes):
        return BadImage(BAD_IMAGE_FIELD, f"row {ref['row']} has no bytes at {ref['column']}")
    return data
