"""Samples as people see them: ids, the beginning of their text, and where their pictures lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.storage.ids import positions
from curation.storage.rows import gather, located
from schemas.stages import Pool

Ints = NDArray[np.int64]

CHARS = 400  # of a text that are shown
AT_ONCE = 1024  # samples whose whole text is held
IMAGE_MARK = "<image>"
COLUMNS = ["uid", "record_id", "dataset", "source", "turns", "images", "error", "error_message"]


def records(pool: Pool, at: Ints | Sequence[int], chars: int = CHARS) -> list[dict[str, Any]]:
    """The samples at positions `at` of the pool, in that order; reads the row groups that hold them.

    Each has `position`, `uid` (hex), `id`, `dataset`, `source`, `text` (at most `chars` characters), `images`
    (rows of IMAGE_REF), `error` and `error_message`.
    """
    found: list[dict[str, Any]] = []
    places = np.asarray(at, np.int64)
    sizes, paths = pool.manifest("samples").sizes, pool.paths("samples")
    for start in range(0, len(places), AT_ONCE):
        block = places[start : start + AT_ONCE]
        rows = gather(paths, *located(sizes, block), COLUMNS).to_pylist()
        found += [_shown(row, place, chars) for row, place in zip(rows, block.tolist(), strict=True)]
    return found


def _shown(row: Mapping[str, Any], position: int, chars: int) -> dict[str, Any]:
    return {
        "position": position,
        "uid": row["uid"].hex(),
        "id": row["record_id"],
        "dataset": row["dataset"],
        "source": row["source"],
        "text": beginning(row["turns"], chars),
        "images": row["images"] or [],
        "error": row["error"],
        "error_message": row["error_message"],
    }


def beginning(turns: Sequence[Mapping[str, Any]], chars: int) -> str:
    """The first `chars` characters of what is said, a line a turn; marks of images are left out."""
    lines: list[str] = []
    room = chars
    for turn in turns:
        said = (turn["text"] or "")[: 2 * chars + len(IMAGE_MARK)].replace(IMAGE_MARK, " ")
        line = " ".join(f"{turn['role']}: {said}".split())
        lines.append(line[:room] + ("…" if len(line) > room else ""))
        room -= len(line) + 1
        if room <= 0:
            break
    return "\n".join(lines)


def positions_of(pool: Pool, uids: pa.Array | pa.ChunkedArray) -> Ints:
    """(n,) Where the samples with these uids stand in the pool; -1 where it has none such, and for null."""
    column = uids if isinstance(uids, pa.ChunkedArray) else pa.chunked_array([uids])
    found = positions(column, pool.read("samples", ["uid"])["uid"])
    return np.where(column.is_valid().to_numpy(), found, -1)


def turns_of(pool: Pool, at: Ints | Sequence[int]) -> list[list[dict[str, str]]]:
    """The whole turns of the samples at positions `at`."""
    places = np.asarray(at, np.int64)
    if not len(places):
        return []
    sizes = pool.manifest("samples").sizes
    turns: list[list[dict[str, str]]] = gather(pool.paths("samples"), *located(sizes, places), ["turns"])[
        "turns"
    ].to_pylist()
    return turns
