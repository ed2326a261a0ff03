"""The true neighbours of a sample of the pool: compared with every shard, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clustering.neighbours import NOTHING, across
from clustering.runs import place_in_run
from curation.steps.prune.similarity import Likeness
from curation.storage.rows import gather
from curation.storage.sampling import smallest
from curation.storage.store import read_shard
from schemas.stages import Pool

Ints = NDArray[np.int64]

SAMPLED = 1024
COUNTED = 8


@dataclass(frozen=True)
class Places:
    """Rows of the pool: (n,) shard and (n,) row in it."""

    shard: NDArray[np.int32]
    row: NDArray[np.int32]


@dataclass(frozen=True)
class SampledPairs:
    """At most 1,024 samples, and for each the 8 most similar of the pool that reach `floor`.

    Only samples that are the first of their equals and have a cluster count.
    """

    pool: Pool
    likeness: Likeness
    floor: float

    def columns(self, table: str, columns: Sequence[str] | None, at: Places) -> pa.Table:
        """Some columns of a table (all, if None) at places."""
        return gather(self.pool.paths(table), at.shard, at.row, columns)

    @cached_property
    def sample(self) -> Places:
        """The sampled rows, those with the smallest hashes of their uids."""
        tables = zip(
            self.pool.iterate("firsts", ["uid", "first"]),
            self.pool.iterate("clusters", ["cluster"]),
            strict=True,
        )
        joined = (first.append_column("cluster", cluster["cluster"]) for first, cluster in tables)
        return Places(
            *smallest(joined, SAMPLED, lambda rows: pc.and_(rows["first"], rows["cluster"].is_valid()))
        )

    @cached_property
    def pairs(self) -> tuple[Ints, Places]:
        """(m,) positions in the sample, and the places of their neighbours."""
        best, strength = np.zeros((0, 3), np.int64), np.zeros(0, np.float32)  # position, shard, row
        if not len(self.sample.row):
            return best[:, 0], self.sample
        table = self.likeness.table
        n_images = self.columns("checked", ["n_images"], self.sample)["n_images"]
        mine = self.columns(table, None, self.sample).append_column("n_images", n_images)
        for number in range(len(self.pool.paths(table))):
            there, members = self._shard(number)
            left, right, similarity = self._compare(mine, members)
            found = np.stack([left, np.full(len(left), number), there[right]], axis=1)
            itself = (self.sample.shard[left] == number) & (self.sample.row[left] == found[:, 2])
            best = np.concatenate([best, found[~itself]])
            strength = np.concatenate([strength, similarity[~itself]])
            order = np.lexsort((best[:, 2], best[:, 1], -strength, best[:, 0]))
            order = order[place_in_run(best[order, 0]) < COUNTED]
            best, strength = best[order], strength[order]
        return best[:, 0], Places(best[:, 1].astype(np.int32), best[:, 2].astype(np.int32))

    def _shard(self, number: int) -> tuple[Ints, pa.Table]:
        """The rows of a shard that count, and what they are compared by."""
        names = {
            "firsts": ["first"],
            "clusters": ["cluster"],
            "checked": ["n_images"],
            self.likeness.table: None,
        }
        parts = {name: read_shard(self.pool.paths(name)[number], wanted) for name, wanted in names.items()}
        first, cluster = parts["firsts"]["first"], parts["clusters"]["cluster"]
        there = np.flatnonzero(pc.and_(first, cluster.is_valid()).to_numpy())
        members = parts[self.likeness.table].append_column("n_images", parts["checked"]["n_images"])
        return there, members.take(pa.array(there))

    def _compare(self, mine: pa.Table, members: pa.Table) -> tuple[Ints, Ints, NDArray[np.float32]]:
        others = dict(self.likeness.groups(members))
        found = [NOTHING]
        for kind, own in self.likeness.groups(mine):
            if kind in others:
                one, two = mine.take(pa.array(own)), members.take(pa.array(others[kind]))
                i, j, similarity = across(self.likeness.views(one), self.likeness.views(two), self.floor)
                found.append((own[i], others[kind][j], similarity))
        left, right, similarity = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return left, right, similarity
