"""How rows are ordered, whatever their order in the table: by keys, then by (content_hash, uid)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clustering.runs import place_in_run
from curation.storage.ids import mixed
from schemas.errors import SchemaError

if TYPE_CHECKING:
    import polars as pl

TIES = ("content_hash", "uid")
UID_BYTES = 16


def pick_order(
    table: pl.DataFrame, keys: Sequence[pl.Series], descending: Sequence[bool]
) -> NDArray[np.int64]:
    """Row positions sorted by `keys`, first key first, ties by (content_hash, uid); nulls and NaN last.

    (n,) int64, a permutation; equal for every order of the table's rows.
    """
    import polars as pl

    names = [f"key_{number}" for number in range(len(keys))]
    columns = [
        (key.fill_nan(None) if key.dtype.is_float() else key).alias(name)
        for name, key in zip(names, keys, strict=True)
    ]
    sortable = pl.DataFrame([*columns, *table.select(TIES)])
    order = pl.arg_sort_by([*names, *TIES], descending=[*descending, False, False], nulls_last=True)
    return sortable.select(order).to_series().to_numpy().astype(np.int64)


def random_keys(uid: pl.Series, seed: int) -> NDArray[np.uint64]:
    """A random number a row that follows from its uid and the seed alone: (n,) uint64.

    Both halves of the uid and the seed go through `mixed`. Selections that were made follow from this order,
    and samples of fits from that of `curation.storage.ids.hashed`, so there are two.

    Raises:
        SchemaError: a uid is null or has not 16 bytes.
    """
    if not (uid.bin.size() == UID_BYTES).fill_null(False).all():
        raise SchemaError(f"a uid is null or has not {UID_BYTES} bytes")
    raw = b"".join(uid.to_list())
    halves = np.frombuffer(raw, ">u8").astype(np.uint64).reshape(-1, 2)
    start = mixed(np.array([seed % 2**64], np.uint64))
    return mixed(mixed(halves[:, 0] ^ start) ^ halves[:, 1])


def drawn(table: pl.DataFrame, seed: int) -> NDArray[np.int64]:
    """Row positions in random order: by `random_keys`, ties by (content_hash, uid)."""
    keys = random_keys(table["uid"], seed)
    order = np.argsort(keys, kind="stable")
    # Two of n rows share a key with a chance of n^2 / 2^65: only then their ties are looked at.
    if len(keys) > 1 and (np.diff(keys[order].view(np.int64)) == 0).any():
        import polars as pl

        return pick_order(table, [pl.Series(keys)], [False])
    return order.astype(np.int64)


def numbers(column: pl.Series) -> NDArray[np.float64]:
    """A column as float64, NaN where it is null or infinite."""
    import polars as pl

    if not column.dtype.is_numeric() and column.dtype != pl.Boolean:
        raise SchemaError(f"column {column.name} holds {column.dtype}; choosing by it needs numbers")
    values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def groups_of(columns: Sequence[pl.Series]) -> tuple[NDArray[np.int64], pl.DataFrame]:
    """The group of each row, numbered in the order of their values (null first), and those values.

    (n,) int64 in [0, g), and a table of g rows: equal for every order of the rows.
    """
    import polars as pl

    frame = pl.DataFrame(columns)
    found = frame.unique().sort(frame.columns, nulls_last=False)
    numbered = found.with_row_index("_group")
    joined = frame.join(numbered, on=frame.columns, how="left", nulls_equal=True, maintain_order="left")
    return joined["_group"].to_numpy().astype(np.int64), found


def places_in(groups: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each row of `order` among those of its group: (n,) beside `order`, 0 for the first."""
    ids = groups[order]
    grouped = np.argsort(ids, kind="stable")
    places = np.empty(len(ids), np.int64)
    places[grouped] = place_in_run(ids[grouped])
    return places


def in_rounds(groups: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Reorder `order`: the first row of every group, then the second of each that has one, and so on.

    Its first n rows hold of each group what uniform water-filling of n gives it, for every n.

    >>> in_rounds(groups=np.array([0, 0, 0, 1]), order=np.arange(4))
    array([0, 3, 1, 2])
    """
    return order[np.argsort(places_in(groups, order), kind="stable")]


def first_of_each(
    groups: NDArray[np.int64], order: NDArray[np.int64], quotas: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The first `quotas[g]` rows of each group g in `order`, in rounds."""
    places = places_in(groups, order)
    kept = places < quotas[groups[order]]
    return order[kept][np.argsort(places[kept], kind="stable")]


def demand(table: pl.DataFrame, columns: Sequence[str]) -> None:
    """Raise SchemaError, naming both sides, if the table lacks one of `columns`."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise SchemaError(f"the table has no column {', '.join(missing)}; it has {', '.join(table.columns)}")
