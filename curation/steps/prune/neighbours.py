"""Group stage: rows are regrouped into bins of whole clusters, then each cluster is compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clustering.bins import balance
from clustering.neighbours import nearest
from clustering.vectors import checked, cosines
from curation.steps.prune.similarity import Likeness
from schemas.stages import Pool

NEIGHBOURS = pa.schema(
    [
        pa.field("uid", pa.binary(16), nullable=False),
        pa.field("other", pa.binary(16), nullable=False),
        pa.field("similarity", pa.float32(), nullable=False),  # cosine in [-1, 1], by the key
        pa.field("text", pa.float32()),  # cosine of the texts, where the key is joint and they have some
        pa.field("cluster", pa.int32(), nullable=False),  # where they met
    ]
)


@dataclass(frozen=True)
class FindNeighbours:
    """`neighbours`: for each sample the `most` samples most similar to it, of those that reach `floor`.

    And at least the most similar one of its own cluster, however little it is. Samples meet in their own
    cluster and in those that they visit (table `visits`), so a pair may stand there twice. Only the first of
    equal samples takes part: copies are decided without vectors.
    """

    likeness: Likeness
    floor: float
    most: int
    bin_rows: int = 65536

    name: ClassVar[str] = "neighbours"
    version: ClassVar[int] = 2
    writes: ClassVar[pa.Schema] = NEIGHBOURS

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.likeness.table, "visits", "checked")

    @property
    def columns(self) -> dict[str, list[str] | None]:
        """What `rows` needs of each table."""
        return {self.likeness.table: None, "visits": ["visits"], "checked": ["n_images"]}

    def params(self) -> dict[str, Any]:
        return {**self.likeness.params(), "floor": self.floor, "most": self.most, "bin_rows": self.bin_rows}

    def bins(self, pool: Pool) -> NDArray[np.int64]:
        """(c,) the bin of each cluster: balanced by the pairs to compare, about `bin_rows` rows in each."""
        visits = pool.read("visits", ["visits"])["visits"].drop_null().combine_chunks()
        met = visits.flatten().to_numpy()
        own = visits.values.take(visits.offsets[:-1]).to_numpy() if len(visits) else met
        n = max(int(met.max(initial=-1)) + 1, 1)
        sizes, homes = np.bincount(met, minlength=n), np.bincount(own, minlength=n).astype(np.float64)
        n_bins = max(1, -(-int(sizes.sum()) // self.bin_rows))
        costs = homes * (sizes - homes / 2)
        bins = np.asarray(balance(costs, n_bins), np.int64)
        # Numbered by cost, dearest first: a cluster's scheduler starts the longest bin first.
        order = np.argsort(-np.bincount(bins, costs, minlength=n_bins), kind="stable")
        rank = np.empty(n_bins, np.int64)
        rank[order] = np.arange(n_bins)
        return rank[bins]

    def rows(self, parts: dict[str, pa.Table], bins: NDArray[np.int64]) -> Iterator[tuple[int, pa.Table]]:
        """The rows of one shard, bin by bin: each in its own cluster, and in each that it visits."""
        table = parts[self.likeness.table].append_column("n_images", parts["checked"]["n_images"])
        visits = parts["visits"]["visits"].combine_chunks()
        rows = pc.list_parent_indices(visits).to_numpy()
        cluster = visits.flatten().to_numpy()
        home = np.diff(rows, prepend=-1) > 0
        where = bins[cluster] if len(cluster) else np.zeros(0, np.int64)
        for number in np.unique(where):
            own = np.flatnonzero(where == number)
            found = table.take(pa.array(rows[own]))
            found = found.append_column("cluster", pa.array(cluster[own]))
            yield int(number), found.append_column("home", pa.array(home[own]))

    def run(self, rows: pa.Table) -> Iterator[pa.RecordBatch]:
        """The lists of a bin; `rows` are sorted by uid."""
        cluster = rows["cluster"].to_numpy()
        for number in np.unique(cluster):
            members = rows.take(pa.array(np.flatnonzero(cluster == number)))
            for _, group in self.likeness.groups(members):
                yield self._lists(int(number), members.take(pa.array(group)))

    def _lists(self, cluster: int, members: pa.Table) -> pa.RecordBatch:
        # Visitors last; in each part ties still go to the smaller uid.
        home = members["home"].to_numpy()
        members = members.take(pa.array(np.argsort(~home, kind="stable")))
        visitors = int(np.count_nonzero(~home))
        views = self.likeness.views(members)
        found = nearest(views, self.floor, self.most, visitors=visitors)
        uid = members["uid"].combine_chunks()
        text = pa.nulls(len(found.row), pa.float32())
        if self.likeness.key == "joint" and members["text"][0].is_valid:
            texts = checked(views[-1], "texts")
            text = pa.array(cosines(texts, texts, found.row, found.other).astype(np.float32))
        columns = [
            uid.take(pa.array(found.row)),
            uid.take(pa.array(found.other)),
            pa.array(found.similarity, pa.float32()),
            text,
            pa.array(np.full(len(found.row), cluster, np.int32)),
        ]
        return pa.record_batch(columns, schema=NEIGHBOURS)
