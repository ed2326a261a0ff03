"""The score table: every narrow column known of the samples, row by row with the pool. Selectors see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from curation.store import Store

# Tables with one row a sample, in pool order, and the columns that are not for ranking.
TABLES = ("checked", "clusters", "hygiene", "alignment", "grounding", "capability", "judgement")
IDS = ("uid", "dataset", "record_id", "file", "line", "content_hash", "error", "error_message")


def column_tables(store: Store) -> dict[str, str]:
    """Each column that exists now, and the table that holds it."""
    found: dict[str, str] = {}
    for table in TABLES:
        manifest = store.manifest(table)
        if manifest is None or not manifest.shards:
            continue
        for name in store.schema(table).names:
            found.setdefault(name, table)
    return found


def score_table(store: Store, columns: Sequence[str]) -> pl.DataFrame:
    """`columns` of every sample, in pool order, bad records included.

    Raises:
        ConfigError: a column does not exist; the message lists those that do.
    """
    import polars as pl

    where = column_tables(store)
    unknown = [name for name in columns if name not in where]
    if unknown:
        known = ", ".join(sorted(set(where) - set(IDS)))
        raise ConfigError(f"there is no column {unknown[0]!r}; there are {known}")
    frames = []
    for table in dict.fromkeys(where[name] for name in columns):
        names = [name for name in columns if where[name] == table]
        frame = pl.from_arrow(store.read(table, names))
        assert isinstance(frame, pl.DataFrame)
        frames.append(frame)
    return pl.concat(frames, how="horizontal").select(columns)
