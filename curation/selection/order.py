"""How rows are ordered, whatever their order in the table: by keys, then by (content_hash, uid)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from schemas.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import NDArray

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

    Both halves of the uid and the seed go through the finaliser of SplitMix64 (Steele, Lea and Flood, Fast
    Splittable Pseudorandom Number Generators, OOPSLA 2014).

    Raises:
        SchemaError: a uid is null or has not 16 bytes.
    """
    if not (uid.bin.size() == UID_BYTES).fill_null(False).all():
        raise SchemaError(f"a uid is null or has not {UID_BYTES} bytes")
    raw = b"".join(uid.to_list())
    halves = np.frombuffer(raw, ">u8").astype(np.uint64).reshape(-1, 2)
    start = _mixed(np.array([seed % 2**64], np.uint64))
    return _mixed(_mixed(halves[:, 0] ^ start) ^ halves[:, 1])


def demand(table: pl.DataFrame, columns: Sequence[str]) -> None:
    """Raise SchemaError, naming both sides, if the table lacks one of `columns`."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise SchemaError(f"the table has no column {', '.join(missing)}; it has {', '.join(table.columns)}")


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
