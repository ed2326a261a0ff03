"""Decide which samples go because another says the same. Narrow columns only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from curation.ids import first_equal, positions
from curation.selection.duplicates import leader
from curation.stages.pool import Output
from schemas.columns import UID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from curation.stages.pool import Pool

EXACT = "exact_duplicate"
NEAR = "near_duplicate"
PRUNED = pa.schema(
    [
        UID,
        pa.field("reason", pa.string(), nullable=False),
        pa.field("kept_uid", pa.binary(16), nullable=False),
        pa.field("similarity", pa.float32(), nullable=False),
        pa.field("group", pa.int64(), nullable=False),  # position in the pool of the sample that is kept
    ]
)


@dataclass(frozen=True)
class Prune:
    """`pruned`: one row a dropped sample, with the sample it duplicates. The first in pool order is kept."""

    eps: float
    semantic: bool

    name: ClassVar[str] = "pruned"
    version: ClassVar[int] = 1
    shape: ClassVar[str] = "decide"
    writes: ClassVar[dict[str, pa.Schema]] = {"pruned": PRUNED}

    @property
    def reads(self) -> tuple[str, ...]:
        return ("checked", "neighbours") if self.semantic else ("checked",)

    def params(self) -> dict[str, Any]:
        return {"eps": self.eps, "semantic": self.semantic}

    def shards(self, pool: Pool) -> int:
        return 1

    def run(self, pool: Pool) -> Iterator[Output]:
        table = pool.read("checked", ["uid", "content_hash", "error"])
        in_pool = np.flatnonzero(table["error"].is_null().to_numpy())
        readable = table.take(pa.array(in_pool))
        # From here on rows are positions among the readable samples, in pool order.
        first = first_equal([readable["content_hash"]])
        near, similarity = self._near(pool, readable["uid"], first)
        kept = np.where(near[first] >= 0, near[first], first)
        dropped = np.flatnonzero(kept != np.arange(len(kept)))
        exact = kept[dropped] == first[dropped]
        columns = [
            readable["uid"].take(pa.array(dropped)).combine_chunks(),
            pa.array(np.where(exact, EXACT, NEAR).tolist(), pa.string()),
            readable["uid"].take(pa.array(kept[dropped])).combine_chunks(),
            pa.array(np.where(exact, np.float32(1), similarity[first[dropped]]), pa.float32()),
            pa.array(in_pool[kept[dropped]], pa.int64()),
        ]
        yield Output("pruned", pa.record_batch(columns, schema=PRUNED))

    def _near(
        self, pool: Pool, uids: pa.ChunkedArray, first: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """For each row the near-duplicate that is kept instead of it (-1: none), and their similarity."""
        if not self.semantic:
            return np.full(len(first), -1), np.zeros(len(first), np.float32)
        pairs = pool.read("neighbours", ["left", "right", "similarity"])
        left, right = (first[positions(pairs[side], uids)] for side in ("left", "right"))
        strength = pairs["similarity"].to_numpy()
        return leader(len(first), left, right, strength, 1 - self.eps, np.arange(len(first)))
