"""`alignment`: how well image and text agree, in standard deviations above the pool's mismatched pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.steps.score.scored import Scored
from curation.storage.rows import ShardRows, vectors
from curation.storage.sampling import sample
from curation.storage.store import read_shard
from schemas.columns import UID, vector
from schemas.stages import Output, Pool, Task, Whole
from scorers.alignment import Alignment, Bank, mismatch_statistics

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
    reads: ClassVar[tuple[str, ...]] = ("vectors", "cosines")

    @property
    def writes(self) -> dict[str, pa.Schema]:
        """The statistics, and the sample that they are of."""
        rows = pa.schema([UID, vector("image", self.dim), vector("text", self.dim)])
        return {"mismatch": MISMATCH, "mismatch_bank": rows}

    def params(self) -> dict[str, Any]:
        return {"limit": self.limit}

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


def _compared(task: Task, rows: pa.RecordBatch) -> Compared:
    fitted = read_shard(task.artefact("mismatch")).to_pylist()[0]
    bank = read_shard(task.artefact("mismatch_bank"))
    return Compared(
        rows.select(["uid", "cosine"]),
        vectors(rows["image"]),
        vectors(rows["text"]),
        Bank(vectors(bank["image"]), vectors(bank["text"])),
        fitted["mean"],
        fitted["deviation"],
    )


# The cosines and vectors of samples, and the pool's mismatch.
COSINES = ShardRows(
    (("cosines", None), ("vectors", ("image", "text"))),
    1024,  # rows that are held against the bank at once
    (Whole("mismatch"), Whole("mismatch_bank")),
    _compared,
)


def align_stage() -> Scored:
    """`alignment`: see `scorers.alignment`."""
    return Scored("alignment", Alignment.version, Alignment.writes, COSINES, _align)


def _align(piece: Compared) -> pa.RecordBatch:
    near = piece.bank.nearness(piece.images, piece.texts)
    rows = piece.rows.append_column("nearness", pa.array(near, from_pandas=True))
    return Alignment(piece.mean, piece.deviation).score(rows)
