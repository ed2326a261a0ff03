"""`alignment`: how well image and text agree, in standard deviations above the pool's mismatched pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from curation.gather import vectors
from curation.sampling import sample
from curation.stages.inputs import Aligned, Input, Whole
from curation.stages.pool import Output
from curation.store import read_shard
from schemas.columns import UID, vector
from scorers.alignment import Alignment, Bank, mismatch_statistics

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from curation.stages.pool import Pool
    from schemas.protocols import Task

BATCH = 1024  # rows that are held against the bank at once
MISMATCH = pa.schema(
    [
        pa.field("mean", pa.float64(), nullable=False),
        pa.field("deviation", pa.float64(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Mismatch:
    """Fit: a uid-hashed sample of the pool, and mean and deviation of contrasts of its mismatched pairs."""

    dim: int
    limit: int = 1024

    name: ClassVar[str] = "mismatch"
    version: ClassVar[int] = 2
    shape: ClassVar[str] = "fit"
    reads: ClassVar[tuple[str, ...]] = ("vectors", "cosines")

    @property
    def writes(self) -> dict[str, pa.Schema]:
        """The statistics, and the sample that they are of."""
        rows = pa.schema([UID, vector("image", self.dim), vector("text", self.dim)])
        return {"mismatch": MISMATCH, "mismatch_bank": rows}

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
        bank = Bank(vectors(both["image"]), vectors(both["text"]))
        mean, deviation = mismatch_statistics(bank)
        row = {"mean": mean, "deviation": deviation, "n": len(both)}
        yield Output("mismatch", pa.RecordBatch.from_pylist([row], MISMATCH))
        columns = [column.combine_chunks() for column in both.columns]
        yield Output("mismatch_bank", pa.record_batch(columns, schema=self.writes["mismatch_bank"]))


@dataclass(frozen=True)
class Compared:
    """The cosines and vectors of a shard, and what they are held against."""

    rows: pa.RecordBatch  # uid, cosine
    images: NDArray[np.float32]
    texts: NDArray[np.float32]
    bank: Bank
    mean: float
    deviation: float


@dataclass(frozen=True)
class CosinesAndMismatch:
    """Source: the cosines and vectors of a shard, and the pool's mismatch."""

    inputs: ClassVar[tuple[Input, ...]] = (
        Aligned("cosines"),
        Aligned("vectors"),
        Whole("mismatch"),
        Whole("mismatch_bank"),
    )

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        known = read_shard(task.inputs["vectors"][task.number], ["image", "text"])
        table = read_shard(task.inputs["cosines"][task.number])
        for name in known.column_names:
            table = table.append_column(known.schema.field(name), known[name])
        yield from table.combine_chunks().to_batches(max_chunksize=BATCH)

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[Compared]:
        fitted = read_shard(task.inputs["mismatch"][0]).to_pylist()[0]
        bank = read_shard(task.inputs["mismatch_bank"][0])
        yield Compared(
            rows.select(["uid", "cosine"]),
            vectors(rows["image"]),
            vectors(rows["text"]),
            Bank(vectors(bank["image"]), vectors(bank["text"])),
            fitted["mean"],
            fitted["deviation"],
        )


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

    def prepare(self, piece: Compared) -> pa.RecordBatch:
        near = piece.bank.nearness(piece.images, piece.texts)
        rows = piece.rows.append_column("nearness", pa.array(near, from_pandas=True))
        scores = Alignment(piece.mean, piece.deviation).score(rows)
        return pa.record_batch([rows["uid"], *scores.columns], schema=self.writes)

    def finish(self, rows: pa.RecordBatch, prepared: list[pa.RecordBatch]) -> pa.RecordBatch:
        return prepared[0]
