"""Decide which samples are kept: exactly the budget, out of what is readable and not pruned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from curation.gather import places
from curation.scores import score_table
from curation.selection import selector
from curation.stages.pool import Output
from schemas.budget import Budget, Shared, fill
from schemas.columns import UID

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl
    from numpy.typing import NDArray

    from curation.stages.pool import Pool
    from schemas.protocols import Selector

KEPT, OVER_BUDGET, QUARANTINED = "kept", "over_budget", "quarantined"
SELECTION = pa.schema(
    [
        UID,
        pa.field("keep", pa.bool_(), nullable=False),
        pa.field("rank", pa.int64()),  # 0 for the first pick; null where not kept
        pa.field("cluster", pa.int32()),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Select:
    """`selection`: one row a sample, with what became of it and why."""

    budget: str
    strategy: str
    seed: int
    tables: tuple[str, ...]  # tables the strategy's columns come from

    name: ClassVar[str] = "selection"
    version: ClassVar[int] = 1
    shape: ClassVar[str] = "decide"
    writes: ClassVar[dict[str, pa.Schema]] = {"selection": SELECTION}

    @property
    def reads(self) -> tuple[str, ...]:
        images = ("image_places", "images") if Budget.parse(self.budget).unit == "bytes" else ()
        return ("checked", "clusters", "pruned", *self.tables, *images)

    def params(self) -> dict[str, Any]:
        return {"budget": self.budget, "strategy": self.strategy, "seed": self.seed}

    def shards(self, pool: Pool) -> int:
        return 1

    def run(self, pool: Pool) -> Iterator[Output]:
        import polars as pl

        strategy = selector(self.strategy)
        wanted = ["uid", "content_hash", "error", "cluster", "n_tokens", *strategy.needs]
        table = score_table(pool.store, list(dict.fromkeys(wanted)))
        dropped = pl.from_arrow(pool.read("pruned", ["uid", "reason"]))
        assert isinstance(dropped, pl.DataFrame)
        table = table.join(dropped, on="uid", how="left", maintain_order="left").with_row_index("position")
        candidates = table.filter(pl.col("error").is_null() & pl.col("reason").is_null())
        picks = self._picks(pool, candidates, strategy, n_readable=table["error"].null_count())
        yield Output("selection", _rows(table, candidates["position"].to_numpy()[picks]))

    def _picks(
        self, pool: Pool, candidates: pl.DataFrame, strategy: Selector, n_readable: int
    ) -> NDArray[np.int64]:
        """Positions among the candidates, in pick order."""
        budget = Budget.parse(self.budget)
        if not budget.is_cost:
            n = min(budget.samples(n_readable), len(candidates))
            return strategy.select(candidates, n, self.seed)
        order = strategy.select(candidates, len(candidates), self.seed)
        if budget.unit == "tokens":
            return order[fill(candidates["n_tokens"].to_numpy()[order], int(budget.value))]
        shared = _image_costs(pool, candidates["position"].to_numpy()[order])
        return order[fill(np.zeros(len(order), np.int64), int(budget.value), shared=shared)]


def _image_costs(pool: Pool, rows: NDArray[np.int64]) -> Shared:
    """The images of the samples at `rows` of the pool, each distinct one with its bytes."""
    sizes = [shard["n_bytes"].to_numpy() for shard in pool.iterate("images", ["n_bytes"])]
    starts = np.cumsum([0, *[len(part) for part in sizes]])
    offsets, shards, numbers = places(pool.read("image_places", ["places"])["places"].combine_chunks())
    things = starts[shards] + numbers
    counts = np.diff(offsets)[rows]
    ends = np.concatenate([[0], np.cumsum(counts)])
    within = np.arange(ends[-1]) - np.repeat(ends[:-1], counts)
    return Shared(ends, things[np.repeat(offsets[rows], counts) + within], np.concatenate(sizes))


def _rows(table: pl.DataFrame, picked: NDArray[np.int64]) -> pa.RecordBatch:
    """`picked` are positions in the pool, in pick order."""
    rank = np.full(len(table), -1, np.int64)
    rank[picked] = np.arange(len(picked))
    keep = rank >= 0
    quarantined = table["error"].is_not_null().to_numpy()
    reason = np.where(quarantined, QUARANTINED, np.where(keep, KEPT, OVER_BUDGET)).astype(object)
    pruned = table["reason"].is_not_null().to_numpy()
    reason[pruned] = table["reason"].to_numpy()[pruned]
    columns = [
        table["uid"].to_arrow().cast(pa.binary(16)),
        pa.array(keep),
        pa.array(rank, mask=~keep),
        table["cluster"].to_arrow(),
        pa.array(reason.tolist(), pa.string()),
    ]
    return pa.record_batch(columns, schema=SELECTION)
