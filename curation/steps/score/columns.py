"""Scores that need no more than columns of samples: built in, or of other packages (`--scorer`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from curation.catalog import FIXED
from curation.plugins import VECTORS, Plugin, plugins
from curation.steps.score.scored import Scored
from curation.storage.rows import ShardRows
from schemas.errors import ConfigError
from schemas.protocols import ColumnScorer
from scorers import COLUMN_SCORERS


@dataclass(frozen=True)
class BuiltIn:
    """A scorer of `SCORERS` by its name: small, so workers make their own."""

    name: str

    @property
    def scorer(self) -> ColumnScorer:
        return COLUMN_SCORERS[self.name]()

    @property
    def said(self) -> str:
        """How errors call it."""
        return f"the scorer {self.name!r}"


@dataclass(frozen=True)
class Readable:
    """Scores the rows that are not in quarantine, and puts nulls between them."""

    offer: Plugin | BuiltIn

    def __call__(self, piece: pa.RecordBatch) -> pa.RecordBatch:
        """A row for each row of `piece`, which has the columns that the scorer reads, and `error`."""
        scorer = self.offer.scorer
        usable = piece["error"].is_null()
        scores = scorer.score(piece.filter(usable).select(list(scorer.reads)))
        if scores.num_rows != usable.true_count:
            raise ConfigError(f"{self.offer.said} returned {scores.num_rows} rows for {usable.true_count}")
        there = usable.to_numpy(zero_copy_only=False)
        places = pa.array(np.cumsum(there) - 1, mask=~there)
        columns = [scores.column(name).take(places) for name in scorer.writes.names]
        return pa.record_batch(columns, schema=scorer.writes)


def builtin_stages() -> list[Scored]:
    """A stage for each scorer of `SCORERS` that says which columns it `reads`."""
    return [
        _stage(offer, offer.name, offer.scorer.version, {"reads": list(offer.scorer.reads)})
        for offer in map(BuiltIn, COLUMN_SCORERS)
    ]


def plugin_stages(names: Sequence[str]) -> list[Scored]:
    """A stage for each plug-in.

    Raises:
        ConfigError: one is not installed or does not load, or two write a column of one name.
    """
    stages: list[Scored] = []
    owners: dict[str, Plugin] = {}
    ours = FIXED if names else frozenset()
    for plugin in plugins(names):
        for column in plugin.scorer.writes.names:
            if column in ours:
                raise ConfigError(f"{plugin.said} writes {column!r}, which is a column of curate's own")
            if column in owners:
                raise ConfigError(
                    f"{owners[column].distribution} and {plugin.distribution} both write a column "
                    f"{column!r}; take one of them"
                )
            owners[column] = plugin
        settings = {
            "plugin": plugin.value,
            "package": plugin.distribution,
            "version": plugin.scorer.version,
            "reads": list(plugin.scorer.reads),
        }
        stages.append(_stage(plugin, plugin.table, 1, settings))
    return stages


def _stage(offer: Plugin | BuiltIn, table: str, version: int, settings: dict[str, Any]) -> Scored:
    scorer = offer.scorer
    held = tuple(name for name in scorer.reads if name not in (*VECTORS, "uid", "error"))
    read = [("samples", ("uid", *held)), ("checked", ("error",))]
    if set(scorer.reads) & set(VECTORS):
        read.append(("vectors", tuple(name for name in scorer.reads if name in VECTORS)))
    return Scored(table, version, scorer.writes, ShardRows(tuple(read), 1024), Readable(offer), settings)
