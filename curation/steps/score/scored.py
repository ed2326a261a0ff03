"""The one stage of all scorers that need no more than a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from schemas.columns import UID
from schemas.stages import Source


@dataclass(frozen=True)
class Scored:
    """A table of scores beside the uids of the rows that its source plans.

    Args:
        name: of the table.
        version: of the scorer.
        columns: what `score` writes.
        source: loads one piece a batch, which holds the batch's rows, in order.
        score: something to call that pickles: a function of a module, or a small value.
        settings: what stands in the keys of the shards: everything else that the scores follow from.
    """

    name: str
    version: int
    columns: pa.Schema
    source: Source
    score: Callable[[Any], pa.RecordBatch]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def writes(self) -> pa.Schema:
        return pa.schema([UID, *self.columns])

    def params(self) -> dict[str, Any]:
        return self.settings

    def prepare(self, piece: Any) -> pa.RecordBatch:
        return self.score(piece)

    def finish(self, rows: pa.RecordBatch, prepared: list[pa.RecordBatch]) -> pa.RecordBatch:
        (scores,) = prepared
        return pa.record_batch([rows["uid"], *scores.columns], schema=self.writes)
