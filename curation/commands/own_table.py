"""Tables of columns that people bring, by id: read, checked, and put in the order of the uids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from curation.storage.store import Store
from schemas.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    Frame: TypeAlias = (
        pl.DataFrame | pl.LazyFrame | pd.DataFrame | pa.Table | Mapping[str, Sequence[Any]] | str | Path
    )

BY_UID, BY_ID = "uid", "id"
HEX = r"^[0-9a-f]{32}$"
FILES = (".parquet", ".csv", ".jsonl")


def table_of(frame: Frame) -> pl.DataFrame:
    """A frame of what was given: a frame, or a file of one.

    Raises:
        ConfigError: it cannot be read, or is no table.
    """
    import polars as pl

    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, str | Path):
        return _read(Path(frame).expanduser())
    try:
        made = pl.from_pandas(frame) if type(frame).__module__.startswith("pandas") else pl.DataFrame(frame)
    except (pl.exceptions.PolarsError, pa.ArrowInvalid, TypeError, ValueError) as error:
        raise ConfigError(f"this is no table: {_line(error)}") from None
    return made


def _read(path: Path) -> pl.DataFrame:
    import polars as pl

    if path.suffix not in FILES:
        raise ConfigError(f"{path}: the name of a table of scores ends in {', '.join(FILES)}")
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file")
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        if path.suffix == ".jsonl":
            return pl.read_ndjson(path, infer_schema_length=None)
        # Ids stay the texts that they are: 007 is not 7.
        ids = {BY_ID: pl.String, BY_UID: pl.String}
        return pl.read_csv(path, schema_overrides=ids, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {_line(error)}") from None


def values_of(table: pl.DataFrame) -> list[str]:
    """The columns besides the ids.

    Raises:
        ConfigError: there are no ids, nothing besides, or no rows.
    """
    if BY_UID not in table.columns and BY_ID not in table.columns:
        raise ConfigError(
            f"a table of scores names samples by {BY_UID} (in hex) or {BY_ID} (the record's own); this one "
            f"has the columns {', '.join(table.columns) or '(none)'}"
        )
    names = [name for name in table.columns if name not in (BY_UID, BY_ID)]
    if not names:
        raise ConfigError("this table has ids only; bring a column of figures beside them")
    if not len(table):
        raise ConfigError("this table has no rows")
    return names


def typed(table: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The ids and the columns `names`, as whole numbers, numbers, truths or texts. NaN is no value.

    Raises:
        ConfigError: a column is of another type, or holds what is no number.
    """
    import polars as pl

    columns = []
    for name in names:
        column = table[name]
        kind = column.dtype
        if kind.is_integer():
            if kind == pl.UInt64 and (column > 2**63 - 1).any():
                raise ConfigError(f"the column {name} has whole numbers beyond 64 bits with a sign")
            column = column.cast(pl.Int64)
        elif kind.is_float() or kind.is_decimal():
            column = column if kind == pl.Float32 else column.cast(pl.Float64)
            column = column.fill_nan(None)
            if column.is_infinite().any():
                raise ConfigError(f"the column {name} has infinite values; leave them out, or write a number")
        elif kind in (pl.Categorical, pl.Enum):
            column = column.cast(pl.String)
        elif kind not in (pl.Boolean, pl.String):
            raise ConfigError(
                f"the column {name} is of {str(kind).lower()}; take numbers, truths (true, false) or texts"
            )
        columns.append(column)
    ids = [table[name] for name in (BY_UID, BY_ID) if name in table.columns][:1]
    return pl.DataFrame([*ids, *columns])


def by_uid(store: Store, table: pl.DataFrame) -> pl.DataFrame:
    """The rows by uid as bytes, ascending.

    Raises:
        ConfigError: naming an id that is missing, doubled, unknown, or of several samples.
    """
    import polars as pl

    key = table.columns[0]
    ids = table[key]
    if ids.dtype == pl.Binary:
        ids = ids.bin.encode("hex")
    ids = ids.cast(pl.String)
    ids = ids.str.to_lowercase() if key == BY_UID else ids
    if ids.null_count():
        raise ConfigError(f"{ids.null_count():,} rows have no {key}; each must name its sample")
    _refuse(ids.filter(ids.is_duplicated()).unique(maintain_order=True), f"the {key} {{}} stands there twice")
    arrow = store.read("checked", ["uid", "record_id"]).rename_columns([BY_UID, BY_ID])
    pool = pl.from_arrow(arrow)
    assert isinstance(pool, pl.DataFrame)
    pool = pool.with_columns(pl.col(BY_UID).cast(pl.Binary))
    if key == BY_UID:
        _refuse(ids.filter(~ids.str.contains(HEX)), "the uid {} is not 32 digits of hex")
        _refuse(ids.filter(~ids.str.decode("hex").is_in(pool[BY_UID].implode())), "no sample has the uid {}")
        uids = ids.str.decode("hex")
    else:
        _refuse(ids.filter(~ids.is_in(pool[BY_ID].implode())), "no sample has the id {}")
        named = pool.filter(pl.col(BY_ID).is_in(ids.implode()))
        doubled = named[BY_ID].filter(named[BY_ID].is_duplicated()).unique(maintain_order=True)
        _refuse(doubled, f"several samples have the id {{}}; name them by {BY_UID}, as `curate scores` does")
        uids = table.select(ids.alias(BY_ID)).join(named, on=BY_ID, how="left", maintain_order="left")[BY_UID]
    return pl.DataFrame([uids.alias(BY_UID), *table[:, 1:]]).sort(BY_UID)


def _refuse(wrong: pl.Series, sentence: str) -> None:
    if len(wrong):
        more = f", and so for {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
        raise ConfigError(sentence.format(repr(wrong[0])) + more)


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]
