"""Group stage: rows are regrouped into bins of whole clusters, then each cluster's near pairs are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clustering.bins import balance
from clustering.neighbours import near_pairs
from curation.gather import vectors
from curation.ids import first_equal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from curation.stages.pool import Pool

PAIRS = pa.schema(
    [
        pa.field("left", pa.binary(16), nullable=False),  # left < right
        pa.field("right", pa.binary(16), nullable=False),
        pa.field("similarity", pa.float32(), nullable=False),  # min over images and text of the cosine
        pa.field("cluster", pa.int32(), nullable=False),
    ]
)


@dataclass(frozen=True)
class NearPairs:
    """`neighbours`: pairs of samples of one cluster with joint cosine of at least `floor`.

    Only one sample of each content hash takes part: exact copies are decided without vectors. A sample is
    compared with samples that have as many images and as much text as it has (DESIGN §3).
    """

    floor: float
    bin_rows: int = 65536

    name: ClassVar[str] = "neighbours"
    version: ClassVar[int] = 1
    shape: ClassVar[str] = "group"
    reads: ClassVar[tuple[str, ...]] = ("vectors", "clusters", "checked")
    columns: ClassVar[dict[str, list[str] | None]] = {
        "vectors": None,
        "clusters": ["cluster"],
        "checked": ["content_hash", "n_images"],
    }
    writes: ClassVar[pa.Schema] = PAIRS

    def params(self) -> dict[str, Any]:
        return {"floor": self.floor, "bin_rows": self.bin_rows}

    def bins(self, pool: Pool) -> NDArray[np.int64]:
        """(c,) the bin of each cluster: balanced by Σ n², about `bin_rows` rows in each."""
        cluster = pc.drop_null(pool.read("clusters", ["cluster"])["cluster"]).to_numpy()
        sizes = np.bincount(cluster) if len(cluster) else np.zeros(1, np.int64)
        n_bins = max(1, -(-int(sizes.sum()) // self.bin_rows))
        costs = sizes.astype(np.float64) ** 2
        bins = np.asarray(balance(costs, n_bins), np.int64)
        # Numbered by cost, dearest first: a cluster's scheduler starts the longest bin first.
        order = np.argsort(-np.bincount(bins, costs, minlength=n_bins), kind="stable")
        rank = np.empty(n_bins, np.int64)
        rank[order] = np.arange(n_bins)
        return rank[bins]

    def rows(self, parts: dict[str, pa.Table], bins: NDArray[np.int64]) -> Iterator[tuple[int, pa.Table]]:
        """The rows of one shard, bin by bin. `parts` holds that shard of each table that is read."""
        table = parts["vectors"].append_column("cluster", parts["clusters"]["cluster"])
        for name in ("content_hash", "n_images"):
            table = table.append_column(name, parts["checked"][name])
        table = table.filter(pc.is_valid(table["cluster"]))
        where = bins[table["cluster"].to_numpy()] if len(table) else np.zeros(0, np.int64)
        for number in np.unique(where):
            yield int(number), table.filter(pa.array(where == number))

    def run(self, rows: pa.Table) -> Iterator[pa.RecordBatch]:
        """Pairs of a bin; `rows` are sorted by uid."""
        cluster = rows["cluster"].to_numpy()
        for number in np.unique(cluster):
            members = rows.take(pa.array(np.flatnonzero(cluster == number)))
            members = members.take(pa.array(np.unique(first_equal([members["content_hash"]]))))
            for group in _alike(members):
                yield self._pairs(int(number), members.take(pa.array(group)))

    def _pairs(self, cluster: int, members: pa.Table) -> pa.RecordBatch:
        left, right, similarity = near_pairs(_views(members), self.floor)
        uid = members["uid"].combine_chunks()
        columns = [
            uid.take(pa.array(left)),
            uid.take(pa.array(right)),
            pa.array(similarity, pa.float32()),
            pa.array(np.full(len(left), cluster, np.int32)),
        ]
        return pa.record_batch(columns, schema=PAIRS)


def _alike(members: pa.Table) -> Iterator[NDArray[np.int64]]:
    """Positions of the samples that may be compared: equal numbers of images, text or no text."""
    kind = members["n_images"].to_numpy() * 2 + members["text"].is_valid().to_numpy()
    for value in np.unique(kind):
        group = np.flatnonzero(kind == value)
        if len(group) > 1:
            yield group


def _views(members: pa.Table) -> list[NDArray[np.float32]]:
    """One (n, d) array an image, in order, and one for the text."""
    views = []
    n_images = members["n_images"][0].as_py()
    if n_images == 1:
        views.append(vectors(members["image"]))
    elif n_images > 1:
        flat = vectors(members["images"].combine_chunks().flatten())
        stacked = flat.reshape(len(members), n_images, -1)
        views.extend(np.ascontiguousarray(stacked[:, place]) for place in range(n_images))
    if members["text"][0].is_valid:
        views.append(vectors(members["text"]))
    return views
