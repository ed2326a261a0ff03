"""`curate scores --add`: columns of one's own, by id, that samples are then filtered and chosen by."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curation.catalog import ADDED, FIXED, IDS, OWN, column_tables, own_columns
from curation.commands import own_table
from curation.commands.frames import sample_rows, score_rows
from curation.commands.own_table import BY_UID
from curation.pipeline.pipeline import Pipeline
from curation.steps.score.own import own_stages
from curation.storage.lock import locked
from curation.storage.store import Store
from schemas.columns import SAMPLES, UID
from schemas.errors import ConfigError
from schemas.tables import key_of

if TYPE_CHECKING:
    import polars as pl

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What a selection calls what it makes on the way.
INNER = ("position", "listed", "alignment_floor", "near_duplicates", "first")


def add_scores(workspace: Pipeline, frame: own_table.Frame, *, replace: bool = False) -> dict[str, Any]:
    """Take columns into the workspace: `--where`, strategies, bounds and exports know them from now on.

    Args:
        workspace: ingested, or it is now.
        frame: a table, or a file of one (.parquet, .csv, .jsonl), with `uid` in hex or the records' own `id`,
            each once, and columns of numbers, truths or texts. Samples that it does not name have null.
        replace: columns that were added before may be among them, and are replaced as a whole.

    Returns:
        `columns` with their types, `n_samples` that are named, of `n_pool`.

    Raises:
        ConfigError: naming the column or id: unknown, doubled, of two samples, taken, or of no such type.
    """
    if workspace.store.find("checked") is None:
        workspace.run("ingest")
    with locked(workspace.store.root, "curate scores --add"), workspace.store.snapshot():
        store = workspace.store
        table = own_table.table_of(frame)
        names = own_table.values_of(table)
        _demand_free(store, names, replace=replace)
        added = own_table.by_uid(store, own_table.typed(table, names))
        _keep(store, _merged(store, added))
        workspace.compute(own_stages(workspace.context))
        kinds = {name: str(kind).lower() for name, kind in added.schema.items() if name != BY_UID}
        return {
            "columns": kinds,
            "n_samples": len(added),
            "n_pool": store.manifest("checked").rows,
        }


def drop_scores(workspace: Pipeline, names: Sequence[str]) -> dict[str, Any]:
    """Take columns away that were added: `dropped`, and `columns` that are left.

    Raises:
        ConfigError: there is no such column of one's own.
    """
    import polars as pl

    with locked(workspace.store.root, "curate scores --drop"), workspace.store.snapshot():
        store = workspace.store
        held = list(own_columns(store))
        unknown = next((name for name in names if name not in held), None)
        if unknown:
            there = f"; there are {', '.join(held)}" if held else ", and there is none"
            raise ConfigError(f"you added no column {unknown!r}{there}")
        left = [name for name in held if name not in names]
        if left:
            table = pl.from_arrow(store.read(ADDED))
            assert isinstance(table, pl.DataFrame)
            _keep(store, table.select(BY_UID, *left))
            workspace.compute(own_stages(workspace.context))
        else:
            for table_name in (ADDED, OWN):
                store.publish(table_name, {"name": table_name}, [])
        return {"dropped": list(names), "columns": left}


def _demand_free(store: Store, names: Sequence[str], *, replace: bool) -> None:
    """Refuse names that cannot be written in a condition, or that another column has."""
    own = own_columns(store)
    shown = {*sample_rows(store).columns, *score_rows(store).columns}
    taken = ({*FIXED, *IDS, *SAMPLES.names, *INNER, *shown, *column_tables(store)}) - set(own)
    for name in names:
        if not NAME.fullmatch(name):
            fitting = re.sub(r"\W", "_", name, flags=re.ASCII)
            raise ConfigError(
                f"the column {name!r} cannot be named in --where; call it {fitting!r}, or by other letters, "
                "digits and underscores"
            )
        if name in taken:
            raise ConfigError(f"samples have a column {name} already; call yours my_{name}")
        if name in own and not replace:
            raise ConfigError(
                f"a column {name} was added before; --replace (replace=True) puts this one in its place"
            )


def _merged(store: Store, table: pl.DataFrame) -> pl.DataFrame:
    """What was added before and is not replaced, beside what is added now."""
    import polars as pl

    held = own_columns(store)
    others = [name for name in held if name not in table.columns]
    if not others:
        return table
    before = pl.from_arrow(store.read(ADDED, [BY_UID, *others]))
    assert isinstance(before, pl.DataFrame)
    before = before.with_columns(pl.col(BY_UID).cast(pl.Binary))
    return before.join(table, on=BY_UID, how="full", coalesce=True).sort(BY_UID)


def _keep(store: Store, table: pl.DataFrame) -> None:
    """Make `table`, with a row at least, the table of what was added."""
    arrow = table.to_arrow()
    fields = [
        UID if field.name == BY_UID else pa.field(field.name, _plain(field.type)) for field in arrow.schema
    ]
    schema = pa.schema(fields)
    rows = pa.table([arrow[field.name].cast(field.type) for field in schema], schema=schema).combine_chunks()
    digest = hashlib.blake2b(digest_size=16)
    for batch in rows.to_batches():
        digest.update(batch.serialize())
    stage = {"name": ADDED, "version": 1, "params": {"columns": schema.names[1:]}}
    ref = store.commit(ADDED, key_of([stage, digest.hexdigest()]), schema, rows.to_batches())
    store.publish(ADDED, stage, [ref])


def _plain(kind: pa.DataType) -> pa.DataType:
    text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return pa.string() if text else kind
