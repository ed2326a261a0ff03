"""Groups of like samples that a filter is measured in: those of a dataset in clusters that are alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.steps.cluster.groups import MOST_GROUPS
from curation.storage.ids import hashed
from schemas.stages import Pool

if TYPE_CHECKING:
    import polars as pl

Cell = tuple[str, int]
CELL = ("dataset", "group")
MOST_A_CELL = 256  # samples that are measured of it
MOST = 64 * 256  # and in all


def scored(pool: Pool, groups: NDArray[np.int32]) -> Iterator[pl.DataFrame]:
    """Of each shard the samples with an `alignment`, one image and a cluster.

    Columns: `shard`, `row` and `hash` of the uid; `dataset` and `group`, which are its cell; `alignment`.
    With several images a sample is as good as its best one, which no mismatched pair says anything about.
    """
    import polars as pl

    tables = {"checked": ["uid", "dataset", "n_images"], "nearest": ["centroid"], "alignment": ["alignment"]}
    parts = (pool.iterate(table, columns) for table, columns in tables.items())
    for number, (checked, nearest, alignment) in enumerate(zip(*parts, strict=True)):
        centroid = nearest["centroid"]
        yield pl.DataFrame(
            {
                "shard": np.full(len(checked), number, np.int32),
                "row": np.arange(len(checked), dtype=np.int32),
                "hash": hashed(checked["uid"]),
                "dataset": pl.Series(checked["dataset"]),
                "group": groups[centroid.fill_null(0).to_numpy()],
                "alignment": pl.Series(alignment["alignment"]),
            }
        ).filter(
            pl.Series(centroid.is_valid()),
            pl.Series(checked["n_images"]) == 1,
            pl.col("alignment").is_not_null(),
        )


def drawn(pool: Pool, groups: NDArray[np.int32], limit: int = MOST) -> tuple[pl.DataFrame, dict[Cell, int]]:
    """At most `limit` samples, as many of each cell while there are some, and the size of each cell.

    Of a cell those with the smallest hashes, at most MOST_A_CELL. The smallest hashes of all come first.
    """
    import polars as pl

    kept: pl.DataFrame | None = None
    sizes: dict[Cell, int] = {}
    for shard in scored(pool, groups):
        for dataset, group, n in shard.group_by(CELL).len().iter_rows():
            sizes[dataset, group] = sizes.get((dataset, group), 0) + n
        kept = shard if kept is None else pl.concat([kept, shard])
        if len(kept) > 2 * MOST_A_CELL * max(len(sizes), MOST_GROUPS):
            kept = _smallest(kept)
    assert kept is not None
    rank = pl.int_range(pl.len()).over(CELL).alias("rank")
    spread = _smallest(kept).with_columns(rank).sort("rank", "hash", "shard", "row").head(limit)
    return spread.drop("rank").sort("hash", "shard", "row"), sizes


def _smallest(rows: pl.DataFrame) -> pl.DataFrame:
    """Of each cell the first MOST_A_CELL by hash, all in that order."""
    import polars as pl

    in_order = rows.sort("hash", "shard", "row")
    return in_order.filter(pl.int_range(pl.len()).over(CELL) < MOST_A_CELL)
