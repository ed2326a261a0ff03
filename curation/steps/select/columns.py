"""Columns that no score table holds: made for the candidates of one selection from other tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clustering.vectors import joint
from curation.selectors.d2 import NEAR
from curation.selectors.dbp import APART
from curation.selectors.grid import ACTIVATION, BRIDGING, ENTROPY, IMAGE, NEURON, TEXT
from curation.selectors.icons import INFLUENCES
from curation.selectors.less import INFLUENCE, influences
from curation.selectors.order import groups_of
from curation.selectors.tive import ALIKE, NORM, similarity_to_task, sums_of_tasks
from curation.storage.ids import positions
from curation.storage.rows import vectors
from curation.storage.store import Store
from schemas.errors import ConfigError
from schemas.grid import on_grid
from schemas.stages import Pool

if TYPE_CHECKING:
    import polars as pl

    Made = Callable[[Pool, pl.DataFrame, str], pl.Series]

NEAREST_CENTRES = 20
# What makes the tables that not every run makes.
HOW = {
    "gradients": "--vectors gradient --vlm MODEL",
    "activations": "--vectors activation --vlm MODEL",
    "neighbours": "--semantic",
}


def derived(names: Sequence[str]) -> tuple[str, ...]:
    """Those of `names` that are made here."""
    return tuple(name for name in names if name.partition(":")[0] in MADE)


def tables_of(names: Sequence[str]) -> tuple[str, ...]:
    """The tables that the columns `names` are made of."""
    return tuple(dict.fromkeys(table for name in derived(names) for table in _tables(name)))


def _tables(name: str) -> tuple[str, ...]:
    return ("gradients",) if name.endswith("@gradient") else MADE[name.partition(":")[0]][0]


def demand_made(store: Store, names: Sequence[str], made: Sequence[str]) -> None:
    """Refuse columns of a table that is neither there nor `made` on the way.

    Raises:
        ConfigError: naming the table and what makes it.
    """
    for table in tables_of(names):
        if table not in made and store.find(table) is None:
            how = HOW.get(table, "")
            raise ConfigError(f"this strategy needs the table {table}, which is not there; {how} makes it")


def with_columns(pool: Pool, candidates: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """`candidates` with the columns of `names` that are made here.

    Args:
        pool: the tables.
        candidates: with `position` (in the pool, ascending), `uid` and `cluster`.
        names: others are passed over.

    Raises:
        ConfigError: a dataset that is to be aimed at is not there.
    """
    for name in derived(names):
        _, make = MADE[name.partition(":")[0]]
        candidates = candidates.with_columns(make(pool, candidates, name).alias(name))
    return candidates


def _vectors(pool: Pool, candidates: pl.DataFrame, name: str) -> pl.Series:
    """One vector a row, zeros where it has none."""
    import polars as pl

    column = name.removesuffix("_vector")
    out = _rows(pool, "vectors", column, candidates["position"].to_numpy())
    return pl.Series(column, out, dtype=pl.Array(pl.Float32, out.shape[1]))


def _rows(pool: Pool, table: str, column: str, wanted: NDArray[np.int64]) -> NDArray[np.float32]:
    """Vectors at ascending positions of the pool. A shard at a time: nothing else of the pool is held."""
    width = pool.schema(table).field(column).type.list_size
    out = np.zeros((len(wanted), width), np.float32)
    for part, rows in _blocks(pool, table, column, wanted):
        out[part] = rows
    return out


def _blocks(
    pool: Pool, table: str, column: str, wanted: NDArray[np.int64]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The same a shard at a time, each with its places among `wanted`."""
    start = 0
    for shard in pool.iterate(table, [column]):
        low, high = np.searchsorted(wanted, [start, start + len(shard)]).tolist()
        if high > low:
            yield slice(low, high), vectors(shard[column])[wanted[low:high] - start]
        start += len(shard)


def _influence(pool: Pool, candidates: pl.DataFrame, name: str) -> pl.Series:
    """The influence of each row on the dataset that `name` names, null for a row without a vector."""
    import polars as pl

    values = _on_tasks(pool, candidates, name).max(axis=1, initial=-np.inf)
    return pl.Series(name, np.where(np.isfinite(values), values, np.nan)).fill_nan(None)


def _influences(pool: Pool, candidates: pl.DataFrame, name: str) -> pl.Series:
    """The influence of each row on every task of the dataset that `name` names, NaN without a vector."""
    import polars as pl

    values = _on_tasks(pool, candidates, name)
    return pl.Series(name, values, dtype=pl.Array(pl.Float64, values.shape[1]))


def _on_tasks(pool: Pool, candidates: pl.DataFrame, name: str) -> NDArray[np.float64]:
    """(n, t) the mean cosines to the sources of a dataset, NaN for a row without a vector."""
    import polars as pl

    dataset, _, space = name.partition(":")[2].partition("@")
    facts = pl.from_arrow(pool.read("checked", ["dataset", "source", "error"]))
    assert isinstance(facts, pl.DataFrame)
    among = ((facts["dataset"] == dataset) & facts["error"].is_null()).to_numpy()
    if not among.any():
        known = ", ".join(facts["dataset"].unique().sort())
        raise ConfigError(f"there is no readable dataset {dataset!r} to aim at; the pool has {known}")
    targets = np.flatnonzero(among)
    tasks, _ = groups_of([facts["source"][targets]])
    wanted = candidates["position"].to_numpy()
    rows, aims = (_space(pool, space, places) for places in (wanted, targets))
    held = aims.any(axis=1)
    found = influences(rows, aims[held], tasks[held])
    found[~np.asarray(rows.any(axis=1))] = np.nan
    return found


def _space(pool: Pool, space: str, places: NDArray[np.int64]) -> NDArray[np.float32]:
    if space == "gradient":
        return on_grid(_rows(pool, "gradients", "vector", places))
    return on_grid(joint(*(_rows(pool, "vectors", side, places) for side in ("image", "text"))))


def _figure(pool: Pool, candidates: pl.DataFrame, name: str) -> pl.Series:
    """A figure that stands beside gradients or activations, null where a row has none."""
    import polars as pl

    (table,) = MADE[name][0]
    found = pl.from_arrow(pool.read(table, [name])[name])
    assert isinstance(found, pl.Series)
    return found[candidates["position"].to_numpy()]


def _activation(pool: Pool, candidates: pl.DataFrame, name: str) -> pl.Series:
    """The activations of each row, zeros where it has none."""
    import polars as pl

    out = _rows(pool, "activations", "vector", candidates["position"].to_numpy())
    return pl.Series(name, out, dtype=pl.Array(pl.Float32, out.shape[1]))


def _task_similarity(pool: Pool, candidates: pl.DataFrame, _: str) -> pl.Series:
    """The mean cosine of each row's gradient to those of its source. Two passes, a shard at a time."""
    import polars as pl

    wanted = candidates["position"].to_numpy()
    sources = pl.from_arrow(pool.read("checked", ["source"])["source"])
    assert isinstance(sources, pl.Series)
    tasks = groups_of([sources[wanted]])[0]

    def blocks() -> Iterator[tuple[slice, NDArray[np.float32]]]:
        return ((part, on_grid(rows)) for part, rows in _blocks(pool, "gradients", "vector", wanted))

    sums, counts = sums_of_tasks(blocks(), tasks)
    found = np.full(len(wanted), np.nan)
    for part, rows in blocks():
        found[part] = similarity_to_task(rows, tasks[part], sums, counts)
    return pl.Series(ALIKE, found).fill_nan(None)


def _neighbours(pool: Pool, candidates: pl.DataFrame, _: str) -> pl.Series:
    """For each row its stored neighbours: list of struct<uid, similarity>, each once."""
    import polars as pl

    pairs = pool.read("neighbours", ["uid", "other", "similarity"])
    uids = pa.chunked_array([candidates["uid"].to_arrow().cast(pa.binary(16))])
    ends = [positions(pairs[side], uids) for side in ("uid", "other")]
    both = (ends[0] >= 0) & (ends[1] >= 0)
    left, right = ends[0][both], ends[1][both]
    strength = pairs["similarity"].to_numpy()[both]
    first, second = np.concatenate([left, right]), np.concatenate([right, left])
    strength = np.concatenate([strength, strength])
    # Both ends may list the other, in one cluster or in two.
    order = np.unique(np.stack([first, second], axis=1), axis=0, return_index=True)[1]
    structs = pa.StructArray.from_arrays(
        [
            uids.combine_chunks().take(pa.array(second[order])).cast(pa.binary()),
            pa.array(strength[order], pa.float32()),
        ],
        ["uid", "similarity"],
    )
    starts = np.searchsorted(first[order], np.arange(len(candidates) + 1))
    made = pl.from_arrow(pa.ListArray.from_arrays(pa.array(starts, pa.int32()), structs))
    assert isinstance(made, pl.Series)
    return made


def _apart(pool: Pool, candidates: pl.DataFrame, _: str) -> pl.Series:
    """The mean cosine distance of a row's centre to the nearest others, null without a cluster."""
    import polars as pl

    centres = vectors(pool.read("centroids", ["centroid"])["centroid"]).astype(np.float64)
    cosine = centres @ centres.T
    np.fill_diagonal(cosine, -np.inf)
    nearest = -np.sort(-cosine, axis=1)[:, : min(NEAREST_CENTRES, len(centres) - 1)]
    # A float64 product in another order differs in its last digits only; these are cut off.
    apart = np.round(1.0 - nearest, 9).mean(axis=1) if nearest.shape[1] else np.zeros(len(centres))
    # Clusters that were cut have numbers of their own.
    own = pl.from_arrow(pool.read("nearest", ["centroid"])["centroid"])
    assert isinstance(own, pl.Series)
    centroid = own[candidates["position"].to_numpy()]
    values = apart[centroid.fill_null(0).to_numpy()]
    return pl.Series(APART, values).set(centroid.is_null(), None)


# Each column: the tables it is made of, and how.
MADE: dict[str, tuple[tuple[str, ...], Made]] = {
    IMAGE: (("vectors",), _vectors),
    TEXT: (("vectors",), _vectors),
    INFLUENCE: (("vectors",), _influence),
    INFLUENCES: (("vectors",), _influences),
    NORM: (("gradients",), _figure),
    ALIKE: (("gradients",), _task_similarity),
    ACTIVATION: (("activations",), _activation),
    BRIDGING: (("activations",), _figure),
    NEURON: (("activations",), _figure),
    ENTROPY: (("activations",), _figure),
    NEAR: (("neighbours",), _neighbours),
    APART: (("centroids", "nearest"), _apart),
}
