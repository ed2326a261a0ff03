"""Columns that no score table holds: made for the candidates of one selection from other tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.gather import vectors
from curation.ids import positions
from curation.selection.d2 import NEAR
from curation.selection.dbp import APART
from curation.selection.grid import IMAGE, TEXT
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from curation.stages.pool import Pool

    Made = Callable[[Pool, pl.DataFrame], pl.Series]

NEAREST_CENTRES = 20


def derived(names: Sequence[str]) -> tuple[str, ...]:
    """Those of `names` that are made here."""
    return tuple(name for name in names if name in MADE)


def tables_of(names: Sequence[str]) -> tuple[str, ...]:
    """The tables that the columns `names` are made of."""
    return tuple(dict.fromkeys(MADE[name][0] for name in derived(names)))


def with_columns(pool: Pool, candidates: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """`candidates` with the columns of `names` that are made here.

    Args:
        pool: the tables.
        candidates: with `position` (in the pool, ascending), `uid` and `cluster`.
        names: others are passed over.

    Raises:
        ConfigError: a table that a column is made of is not there.
    """
    for name in derived(names):
        table, make = MADE[name]
        if pool.store.manifest(table) is None:
            raise ConfigError(
                f"this strategy needs the table {table}, which is not there: run without --no-semantic"
            )
        candidates = candidates.with_columns(make(pool, candidates).alias(name))
    return candidates


def _image(pool: Pool, candidates: pl.DataFrame) -> pl.Series:
    return _vectors(pool, candidates, "image")


def _text(pool: Pool, candidates: pl.DataFrame) -> pl.Series:
    return _vectors(pool, candidates, "text")


def _vectors(pool: Pool, candidates: pl.DataFrame, column: str) -> pl.Series:
    """One vector a row, zeros where it has none. A shard at a time: nothing else of the pool is held."""
    import polars as pl

    wanted = candidates["position"].to_numpy()
    width = pool.store.schema("vectors").field(column).type.list_size
    out = np.zeros((len(wanted), width), np.float32)
    start = 0
    for shard in pool.iterate("vectors", [column]):
        low, high = np.searchsorted(wanted, [start, start + len(shard)])
        if high > low:
            out[low:high] = vectors(shard[column])[wanted[low:high] - start]
        start += len(shard)
    return pl.Series(column, out, dtype=pl.Array(pl.Float32, width))


def _neighbours(pool: Pool, candidates: pl.DataFrame) -> pl.Series:
    """For each row the stored pairs that it is in: list of struct<uid, similarity>."""
    import polars as pl

    pairs = pool.read("neighbours", ["left", "right", "similarity"])
    uids = pa.chunked_array([candidates["uid"].to_arrow().cast(pa.binary(16))])
    ends = [positions(pairs[side], uids) for side in ("left", "right")]
    both = (ends[0] >= 0) & (ends[1] >= 0)
    left, right = ends[0][both], ends[1][both]
    strength = pairs["similarity"].to_numpy()[both]
    first, second = np.concatenate([left, right]), np.concatenate([right, left])
    order = np.lexsort((second, first))
    structs = pa.StructArray.from_arrays(
        [
            pc.take(uids.combine_chunks(), pa.array(second[order])).cast(pa.binary()),
            pa.array(np.concatenate([strength, strength])[order], pa.float32()),
        ],
        ["uid", "similarity"],
    )
    starts = np.searchsorted(first[order], np.arange(len(candidates) + 1))
    made = pl.from_arrow(pa.ListArray.from_arrays(pa.array(starts, pa.int32()), structs))
    assert isinstance(made, pl.Series)
    return made


def _apart(pool: Pool, candidates: pl.DataFrame) -> pl.Series:
    """The mean cosine distance of a row's centre to the nearest others, null without a cluster."""
    import polars as pl

    centres = vectors(pool.read("centroids", ["centroid"])["centroid"]).astype(np.float64)
    cosine = centres @ centres.T
    np.fill_diagonal(cosine, -np.inf)
    nearest = -np.sort(-cosine, axis=1)[:, : min(NEAREST_CENTRES, len(centres) - 1)]
    # A float64 product in another order differs in its last digits only; these are cut off.
    apart = np.round(1.0 - nearest, 9).mean(axis=1) if nearest.shape[1] else np.zeros(len(centres))
    cluster = candidates["cluster"]
    values = apart[cluster.fill_null(0).to_numpy()]
    return pl.Series(APART, values).set(cluster.is_null(), None)


# Each column: the table it is made of, and how.
MADE: dict[str, tuple[str, Made]] = {
    IMAGE: ("vectors", _image),
    TEXT: ("vectors", _text),
    NEAR: ("neighbours", _neighbours),
    APART: ("centroids", _apart),
}
