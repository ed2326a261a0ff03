"""Samples and scores as polars frames: a row a record of the pool, in its order, read shard by shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.catalog import IDS, column_tables
from curation.storage.rows import located
from curation.storage.store import Store

if TYPE_CHECKING:
    import polars as pl


class Told(NamedTuple):
    """A column of a frame: the column of a table that it comes from, and how it is shown."""

    table: str
    name: str
    type: pa.DataType
    shown: str = ""  # hex, names or lines; as it stands


DECIDED = {
    "kept": Told("selection", "keep", pa.bool_()),
    "rank": Told("selection", "rank", pa.int64()),
    "reason": Told("selection", "reason", pa.string()),
    "clause": Told("selection", "clause", pa.string()),
    "cluster": Told("clusters", "cluster", pa.int32()),
}
COMPARED = {
    "stratum": Told("selection", "stratum", pa.string()),
    "scorer": Told("selection", "scorer", pa.string()),
    "score": Told("selection", "score", pa.float64()),
}
TURNS = pa.list_(pa.struct([("role", pa.string()), ("text", pa.string())]))


def samples(store: Store) -> pl.LazyFrame:
    """Every record, bad ones too, in pool order: what it says and shows, and what became of it.

    `uid` in hex, `id`, `dataset`, `source`, `file`, `line`, `turns`, `text` (the turns as lines), `images`
    (their names), `n_images`, `n_turns`, `n_tokens`, `repaired`, `error` and `error_message`; of the last
    selection `kept`, `rank`, `reason`, `clause`; `cluster`. What no run has made yet is null.

    Raises:
        WorkspaceError: nothing is ingested yet.
    """
    return sample_rows(store).lazy()


def scores(store: Store) -> pl.LazyFrame:
    """Every record, bad ones too, in pool order: what it measures.

    `uid` in hex, `id`, `dataset`, `source`, `error`; of the last selection `kept`, `rank`, `reason`,
    `clause`, `stratum`, `scorer` and `score`; `cluster` and `similarity`; and every score that there is
    (docs/data-model.md).

    Raises:
        WorkspaceError: nothing is ingested yet.
    """
    return score_rows(store).lazy()


def sample_rows(store: Store) -> Rows:
    """What `samples` reads."""
    store.demand_ingested()
    checked = "checked" if store.find("checked") else "samples"
    string, int32 = pa.string(), pa.int32()
    return Rows(
        store,
        {
            "uid": Told("samples", "uid", string, "hex"),
            "id": Told("samples", "record_id", string),
            "dataset": Told("samples", "dataset", string),
            "source": Told("samples", "source", string),
            "file": Told("samples", "file", string),
            "line": Told("samples", "line", pa.int64()),
            "turns": Told("samples", "turns", TURNS),
            "text": Told("samples", "turns", string, "lines"),
            "images": Told("samples", "images", pa.list_(string), "names"),
            "n_images": Told("samples", "n_images", int32),
            "n_turns": Told("samples", "n_turns", int32),
            "n_tokens": Told("samples", "n_tokens", pa.int64()),
            "repaired": Told("samples", "repaired", pa.list_(string)),
            "error": Told(checked, "error", string),
            "error_message": Told(checked, "error_message", string),
            **DECIDED,
        },
    )


def score_rows(store: Store) -> Rows:
    """What `scores` reads."""
    store.demand_ingested()
    columns = {
        "uid": Told("samples", "uid", pa.string(), "hex"),
        "id": Told("samples", "record_id", pa.string()),
        "dataset": Told("samples", "dataset", pa.string()),
        "source": Told("samples", "source", pa.string()),
        "error": Told("checked" if store.find("checked") else "samples", "error", pa.string()),
        **DECIDED,
        **COMPARED,
    }
    for name, table in column_tables(store).items():
        if name not in IDS and name not in columns:
            columns[name] = Told(table, name, store.schema(table).field(name).type)
    return Rows(store, columns)


@dataclass(frozen=True)
class Rows:
    """Columns of tables with a row a sample; null where a table is of another state of the pool.

    They are read when a frame is collected, not when it is made.
    """

    store: Store
    columns: dict[str, Told]

    def lazy(self) -> pl.LazyFrame:
        """As a lazy frame, which reads the tables and shards that a query asks for."""
        from polars.io.plugins import register_io_source

        return register_io_source(self._source, schema=dict(self.schema))

    @cached_property
    def schema(self) -> pl.Schema:
        """The types of the columns."""
        import polars as pl

        declared = pa.schema([pa.field(name, told.type) for name, told in self.columns.items()])
        frame = pl.from_arrow(declared.empty_table())
        assert isinstance(frame, pl.DataFrame)
        return frame.schema

    def frames(self, wanted: Sequence[str], among: NDArray[np.int32] | None = None) -> Iterator[pl.DataFrame]:
        """`wanted` columns, a shard of the pool at a time, all or those with numbers `among`."""
        tables: dict[str, list[str]] = {"samples": ["uid"]}
        for name in wanted:
            told = self.columns[name]
            tables.setdefault(told.table, ["uid"])
            if told.name not in tables[told.table]:
                tables[told.table].append(told.name)
        beside = {table: _Beside(self.store, table, names) for table, names in tables.items()}
        start = 0
        for number, size in enumerate(self.store.manifest("samples").sizes):
            if among is None or number in among:
                parts = {table: held.rows(number, start, size) for table, held in beside.items()}
                pool = parts["samples"]
                assert pool is not None
                yield self._frame(wanted, parts, pool["uid"])
            start += size

    def at(self, places: Sequence[int], wanted: Sequence[str]) -> list[dict[str, Any]]:
        """`wanted` columns of the samples at these places, in that order; no other shard is read."""
        shards, rows = located(self.store.manifest("samples").sizes, np.asarray(places, np.int64))
        held = dict(zip(np.unique(shards).tolist(), self.frames(wanted, np.unique(shards)), strict=True))
        return [
            held[shard].row(row, named=True)
            for shard, row in zip(shards.tolist(), rows.tolist(), strict=True)
        ]

    def _frame(
        self, wanted: Sequence[str], parts: dict[str, pa.Table | None], uids: pa.ChunkedArray
    ) -> pl.DataFrame:
        import polars as pl

        columns = []
        for name in wanted:
            told = self.columns[name]
            part = parts[told.table]
            if part is None or not part["uid"].equals(uids):
                columns.append(pl.Series(name, [None] * len(uids), self.schema[name]))
                continue
            column = pl.from_arrow(part[told.name])
            assert isinstance(column, pl.Series)
            columns.append(_shown(column, told.shown).cast(self.schema[name]).alias(name))
        return pl.DataFrame(columns)

    def _source(
        self,
        wanted: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        asked = wanted if wanted is not None else list(self.columns)
        read = list(dict.fromkeys([*asked, *(predicate.meta.root_names() if predicate is not None else [])]))
        left = n_rows
        for frame in self.frames(read):
            if left is not None:
                frame = frame.head(left)
                left -= len(frame)
            yield (frame if predicate is None else frame.filter(predicate)).select(asked)
            if left == 0:
                return


class _Beside:
    """Rows of a table by the shards of `samples`, whether it has as many shards or one for all."""

    def __init__(self, store: Store, table: str, names: Sequence[str]) -> None:
        self.store, self.table, self.names = store, table, names
        manifest = store.find(table)
        self.sizes = manifest.sizes if manifest else []
        self.aligned = self.sizes == store.manifest("samples").sizes[: len(self.sizes)]

    @cached_property
    def whole(self) -> pa.Table:
        return self.store.read(self.table, self.names)

    def rows(self, number: int, start: int, size: int) -> pa.Table | None:
        """The rows of a shard of `samples`; None where the table has none."""
        if not self.sizes or start + size > sum(self.sizes):
            return None
        if self.aligned:
            return self.store.read(self.table, self.names, number)
        return self.whole.slice(start, size)


def _shown(column: pl.Series, how: str) -> pl.Series:
    import polars as pl

    if how == "hex":
        return column.cast(pl.Binary).bin.encode("hex")
    if how == "names":
        return column.list.eval(pl.element().struct.field("name"))
    if how == "lines":
        line = pl.concat_str(
            pl.element().struct.field("role").fill_null(""),
            pl.lit(": "),
            pl.element().struct.field("text").fill_null(""),
        )
        return column.list.eval(line).list.join("\n")
    return column
