"""Which samples meet conditions over the columns that there are, those of the selection too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from curation.catalog import column_tables, unknown_column
from curation.commands.frames import Rows, Told, score_rows
from curation.steps.select.filters import clauses
from curation.storage.store import Store
from schemas.errors import ConfigError


def matching(store: Store, where: Sequence[str]) -> NDArray[np.bool_]:
    """(n,) the samples that meet all of `where`, in pool order; bad records are asked like any other.

    Raises:
        ConfigError: a condition cannot be read, or names a column that does not exist.
    """
    import polars as pl

    met = np.ones(store.manifest("samples").rows, bool)
    conditions = clauses(where)
    if conditions:
        rows = asked_rows(store)
        table = pl.concat(rows.frames(demanded(rows, [name for each in conditions for name in each.columns])))
        for clause in conditions:
            met &= clause.holds(table)
    return met


def asked_rows(store: Store) -> Rows:
    """Every narrow column that conditions may name: scores, facts, and what became of a sample."""
    found = score_rows(store)
    facts = {
        name: Told(table, name, store.schema(table).field(name).type)
        for name, table in column_tables(store).items()
        if name not in found.columns
    }
    return Rows(store, {**found.columns, **facts})


def demanded(rows: Rows, names: Sequence[str]) -> list[str]:
    """`names`, each once.

    Raises:
        ConfigError: there is no such column.
    """
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in rows.columns]
    if unknown:
        raise ConfigError(unknown_column(unknown[0], sorted(rows.columns)))
    return wanted
