"""`curate scores`: columns of the samples that meet conditions, listed or written, a shard at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.catalog import own_columns
from curation.commands.frames import Rows, score_rows
from curation.commands.matching import asked_rows, demanded, matching
from curation.commands.tables import demand_suffix, write_rows
from curation.storage.store import Store

if TYPE_CHECKING:
    import polars as pl

# What is listed where nobody says what: who, what became of it, and what samples are mostly judged by.
FIRST = ("uid", "id", "source", "kept", "reason")
TELLING = ("alignment", "fidelity", "synthetic_quality", "n_tokens")


def list_scores(
    store: Store, columns: Sequence[str] = (), where: Sequence[str] = (), limit: int = 20
) -> dict[str, Any]:
    """The first samples in pool order that meet the conditions.

    Args:
        store: ingested.
        columns: of the score table; by default a few, and those of one's own.
        where: conditions over any of them.
        limit: how many samples.

    Returns:
        `n_samples`, `n_matching`, `columns`, and `rows`, a dict each.

    Raises:
        ConfigError: there is no such column, or a condition is none.
        WorkspaceError: nothing is ingested yet.
    """
    rows = _rows(store)
    there = [name for name in (*FIRST, *TELLING, *own_columns(store)) if name in rows.columns]
    wanted = demanded(rows, columns or there)
    met = matching(store, where)
    found = [row for frame in _frames(rows, wanted, met, limit) for row in frame.iter_rows(named=True)]
    return {
        "n_samples": len(met),
        "n_matching": int(met.sum()),
        "columns": wanted,
        "rows": found,
    }


def write_scores(
    store: Store,
    out: Path | str,
    columns: Sequence[str] = (),
    where: Sequence[str] = (),
    limit: int | None = None,
) -> dict[str, Any]:
    """Write them, by default all columns of all samples, to a file ending in .parquet or .csv.

    Raises:
        ConfigError: there is no such column, or a condition is none.
        ExportError: `out` is of no known format, or cannot be written.
        WorkspaceError: nothing is ingested yet.
    """
    demand_suffix(out)
    rows = _rows(store)
    wanted = demanded(rows, columns or list(score_rows(store).columns))
    frames = _frames(rows, wanted, matching(store, where), limit)
    return {**write_rows((frame.to_arrow() for frame in frames), out), "columns": wanted}


def _rows(store: Store) -> Rows:
    store.demand_ingested()
    return asked_rows(store)


def _frames(rows: Rows, wanted: Sequence[str], met: Any, limit: int | None) -> Iterator[pl.DataFrame]:
    """The rows that are `met`, (n,) of the pool, at most `limit`; one frame at least."""
    import polars as pl

    left, start = limit, 0
    for frame in rows.frames(wanted):
        there = frame.filter(pl.Series(met[start : start + len(frame)]))
        there = there if left is None else there.head(left)
        yield there
        start += len(frame)
        left = None if left is None else left - len(there)
        if left == 0:
            return
