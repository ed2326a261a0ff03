"""The narrow columns of a pool, held in memory as they are asked for, filtered and put in order."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.catalog import IDS, SCORES
from curation.commands.matching import asked_rows, demanded
from curation.steps.select.filters import clauses
from curation.storage.store import Store
from schemas.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

REMEMBERED = 8  # filters, with their order
AHEAD_BYTES = 1 << 30  # of columns that are read before anyone asks for them
# What a page shows first.
FIRST = ("kept", "reason", "source", "dataset", "error", "cluster", "similarity", "rank")


@dataclass
class Frame:
    """Columns with a row a sample, each read once."""

    store: Store
    held: dict[str, pl.Series] = field(default_factory=dict)
    found: OrderedDict[tuple[Any, ...], NDArray[np.int32]] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self.rows = asked_rows(self.store)
        self.reading = threading.RLock()

    @cached_property
    def n(self) -> int:
        """How many samples there are, bad ones too."""
        return self.store.manifest("samples").rows

    @cached_property
    def names(self) -> list[str]:
        """Columns that a page may sort by and show: neither lists nor ids."""
        flat = [name for name, kind in self.rows.schema.items() if not kind.is_nested()]
        return [name for name in flat if name not in IDS or name in FIRST]

    def read(self, names: Sequence[str]) -> pl.DataFrame:
        """Columns of every sample.

        Raises:
            ConfigError: there is no such column.
        """
        import polars as pl

        wanted = demanded(self.rows, names)
        with self.reading:
            missing = [name for name in wanted if name not in self.held]
            if missing:
                self.held |= pl.concat(list(self.rows.frames(missing))).to_dict()
        return pl.DataFrame([self.held[name] for name in wanted])

    def read_ahead(self) -> None:
        """Read what a page shows first, and the rest where that is small."""
        self.read([name for name in FIRST if name in self.rows.columns])
        for name in (name for name in self.names if _kind(self.rows.schema[name]) != "text"):
            if 4 * self.n * (len(self.held) + 1) < AHEAD_BYTES:
                self.read([name])

    def matching(self, where: str) -> NDArray[np.bool_]:
        """(n,) which samples meet a condition; all where it is empty.

        Raises:
            ConfigError: it is no condition.
        """
        met = np.ones(self.n, bool)
        conditions = clauses([where]) if where.strip() else []
        if conditions:
            table = self.read([name for clause in conditions for name in clause.columns])
            for clause in conditions:
                met &= clause.holds(table)
        return met

    def ordered(self, where: str, by: str, *, falling: bool) -> NDArray[np.int32]:
        """Positions of the samples that meet a condition: by a column, nulls last, else in pool order.

        Raises:
            ConfigError: it is no condition, or there is no such column.
        """
        key = (where.strip(), by, falling)
        with self.reading:
            if key not in self.found:
                self.found[key] = self._ordered(where, by, falling)
            self.found.move_to_end(key)
            while len(self.found) > REMEMBERED:
                self.found.popitem(last=False)
            return self.found[key]

    def _ordered(self, where: str, by: str, falling: bool) -> NDArray[np.int32]:
        at = np.flatnonzero(self.matching(where)).astype(np.int32)
        if not by:
            return at
        if by not in self.names:
            raise ConfigError(f"samples cannot be sorted by {by!r}; take {', '.join(self.names[:8])}, …")
        column = self.read([by])[by][at]
        found: NDArray[np.int32] = at[column.arg_sort(descending=falling, nulls_last=True).to_numpy()]
        return found

    def about(self) -> list[dict[str, Any]]:
        """The columns: `name`, `type`, and where they are figures `unit`, `range` and `better`."""
        figures = {
            field.name: {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
            for columns in SCORES.values()
            for field in columns
        }
        kinds = {name: self.rows.schema[name] for name in self.names}
        return [{"name": name, "type": _kind(kinds[name]), **figures.get(name, {})} for name in self.names]


def _kind(kind: pl.DataType) -> str:
    import polars as pl

    if kind == pl.Boolean:
        return "flag"
    return "number" if kind.is_numeric() else "text"
