"""`alignment`: the cosine of image and text in standard deviations above the pool's mismatched pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from curation.gather import vectors
from curation.sampling import sample
from curation.stages.inputs import Aligned, Input, Whole
from curation.stages.pool import Output
from curation.store import read_shard
from schemas.columns import UID
from scorers.alignment import Alignment, mismatch_statistics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curation.stages.pool import Pool
    from schemas.protocols import Task

MISMATCH = pa.schema(
    [
        pa.field("mean", pa.float64(), nullable=False),
        pa.field("deviation", pa.float64(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Mismatch:
    """Fit: mean and deviation of the cosine over mismatched pairs of a uid-hashed sample of the pool."""

    limit: int = 4096

    name: ClassVar[str] = "mismatch"
    version: ClassVar[int] = 1
    shape: ClassVar[str] = "fit"
    reads: ClassVar[tuple[str, ...]] = ("vectors", "cosines")
    writes: ClassVar[dict[str, pa.Schema]] = {"mismatch": MISMATCH}

    def params(self) -> dict[str, Any]:
        return {"limit": self.limit}

    def shards(self, pool: Pool) -> int:
        return 1

    def run(self, pool: Pool) -> Iterator[Output]:
        both = sample(
            pool,
            self.limit,
            table="vectors",
            columns=["image", "text"],
            among="cosines",
            wanted="cosine",
            valid=True,
        )
        mean, deviation = mismatch_statistics(vectors(both["image"]), vectors(both["text"]))
        row = {"mean": mean, "deviation": deviation, "n": len(both)}
        yield Output("mismatch", pa.RecordBatch.from_pylist([row], MISMATCH))


@dataclass(frozen=True)
class CosinesAndMismatch:
    """Source: the cosines of a shard, and the pool's mismatch."""

    inputs: ClassVar[tuple[Input, ...]] = (Aligned("cosines"), Whole("mismatch"))

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        yield from read_shard(task.inputs["cosines"][task.number]).combine_chunks().to_batches()

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, float, float]]:
        fitted = read_shard(task.inputs["mismatch"][0]).to_pylist()[0]
        yield rows, fitted["mean"], fitted["deviation"]


@dataclass(frozen=True)
class Align:
    """`alignment`: see `scorers.alignment`."""

    source: ClassVar[CosinesAndMismatch] = CosinesAndMismatch()
    name: ClassVar[str] = "alignment"
    version: ClassVar[int] = Alignment.version
    shape: ClassVar[str] = "map"
    writes: ClassVar[pa.Schema] = pa.schema([UID, *Alignment.writes])

    def params(self) -> dict[str, Any]:
        return {}

    def prepare(self, piece: tuple[pa.RecordBatch, float, float]) -> pa.RecordBatch:
        rows, mean, deviation = piece
        scores = Alignment(mean, deviation).score(rows)
        return pa.record_batch([rows["uid"], *scores.columns], schema=self.writes)

    def finish(self, rows: pa.RecordBatch, prepared: list[pa.RecordBatch]) -> pa.RecordBatch:
        return prepared[0]
