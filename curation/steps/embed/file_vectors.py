"""`file_vectors`: the vector that a file holds of each sample (`--vectors file:PATH`), as a unit vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from clustering.vectors import unit
from curation.steps.embed.vector_file import UID as BY_UID
from curation.steps.embed.vector_file import VectorFile
from curation.storage.rows import ShardRows, vector_array
from schemas.columns import UID, vector
from schemas.stages import Prepared

REASON = pa.field("vector_reason", pa.string())
NOT_READABLE = "quarantined"
NOT_THERE = "not_in_file"
NO_NUMBER = "not_a_number"
NO_DIRECTION = "zero"


@dataclass(frozen=True)
class FileVectors(Prepared):
    """A unit vector a sample; null with a reason where the file has none that has a direction."""

    file: VectorFile

    source: ClassVar[ShardRows] = ShardRows((("checked", ("uid", "record_id", "error")),))
    name: ClassVar[str] = "file_vectors"
    version: ClassVar[int] = 1

    @property
    def writes(self) -> pa.Schema:
        return pa.schema([UID, vector("vector", self.file.dim), REASON])

    def params(self) -> dict[str, Any]:
        return self.file.params()

    def prepare(self, piece: pa.RecordBatch) -> pa.RecordBatch:
        ids = piece["record_id"]
        if self.file.key == BY_UID:
            ids = pa.array([uid.hex() for uid in piece["uid"].to_pylist()], pa.string())
        at = self.file.at(ids)
        bad = piece["error"].is_valid().to_numpy(zero_copy_only=False)
        reasons = np.where(bad, NOT_READABLE, np.where(at < 0, NOT_THERE, "")).astype(object)
        good = np.flatnonzero(reasons == "")
        rows = np.zeros((len(piece), self.file.dim))
        rows[good] = self.file.vectors(at[good])
        numbers = np.isfinite(rows).all(axis=1)
        rows[~numbers] = 0
        reasons[~numbers] = NO_NUMBER
        reasons[(reasons == "") & ~rows.any(axis=1)] = NO_DIRECTION
        found = vector_array(unit(rows), reasons == "")
        why = pa.array([reason or None for reason in reasons.tolist()], pa.string())
        return pa.record_batch([piece["uid"], found, why], schema=self.writes)
