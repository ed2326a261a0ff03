"""Which clusters a sample is compared in besides its own: enough of them that few near pairs are missed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clustering.assignment import Assignment
from curation.steps.prune.recall_sample import Places, SampledPairs
from curation.steps.prune.similarity import Likeness
from curation.storage.ids import first_equal
from curation.storage.rows import ShardRows, vectors
from curation.storage.store import read_shard
from schemas.columns import UID
from schemas.stages import Output, Pool, Prepared, Task, Whole

Ints = NDArray[np.int64]

# Centroids besides its own that a sample visits at most.
MOST = 16
# Pieces of one centroid's cluster, where that was cut, that a sample visits at most.
PIECES_VISITED = 2
FIRSTS = pa.schema([UID, pa.field("first", pa.bool_(), nullable=False)])
PROBES = pa.schema(
    [
        pa.field("probes", pa.int32(), nullable=False),
        pa.field("recall", pa.float64()),  # share of the near pairs that meet; null where there are none
        pa.field("n_pairs", pa.int64(), nullable=False),
        pa.field("chosen", pa.bool_(), nullable=False),
    ]
)
PIECES = pa.schema(
    [pa.field("centroid", pa.int32(), nullable=False), pa.field("cluster", pa.int32(), nullable=False)]
)
VISITS = pa.schema([UID, pa.field("visits", pa.list_(pa.int32()))])


@dataclass(frozen=True)
class Firsts:
    """`firsts`: the first in pool order of all samples that are equal by the key. The others are copies."""

    likeness: Likeness

    name: ClassVar[str] = "firsts"
    alike: ClassVar[str] = "checked"
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("checked",)
    writes: ClassVar[dict[str, pa.Schema]] = {"firsts": FIRSTS}

    def params(self) -> dict[str, Any]:
        return {"identity": self.likeness.identity}

    def run(self, pool: Pool) -> Iterator[Output]:
        identity = self.likeness.identity
        table = pool.read("checked", ["uid", identity, "error"])
        candidates = np.flatnonzero(
            table["error"].is_null().to_numpy() & table[identity].is_valid().to_numpy()
        )
        first = np.zeros(len(table), bool)
        first[candidates[np.unique(first_equal([table[identity].take(pa.array(candidates))]))]] = True
        for rows in pool.manifest("checked").slices:
            columns = [table["uid"][rows].combine_chunks(), pa.array(first[rows])]
            yield Output("firsts", pa.record_batch(columns, schema=FIRSTS))


@dataclass(frozen=True)
class FitProbes:
    """Fit: how many clusters each sample visits, chosen on a sample that is compared with the whole pool.

    A pair meets if both have one cluster, or if the cluster of one is among those that the other visits
    (`Pieces`).
    `probes` holds which share of the sample's near pairs meets, by the number of visits, and which number was
    chosen: the least that reaches `recall` by a standard error, or the one given. `pieces` says what became
    of each centroid's cluster where it was cut.
    """

    likeness: Likeness
    floor: float
    probes: int | Literal["auto"]
    recall: float

    name: ClassVar[str] = "probes"
    version: ClassVar[int] = 2
    writes: ClassVar[dict[str, pa.Schema]] = {"probes": PROBES, "pieces": PIECES}

    @property
    def reads(self) -> tuple[str, ...]:
        tables = (self.likeness.table, self.likeness.clustered.table, "checked", "firsts")
        return tuple(dict.fromkeys((*tables, "nearest", "clusters", "centroids")))

    def params(self) -> dict[str, Any]:
        asked = {"floor": self.floor, "probes": self.probes, "recall": self.recall}
        return {**self.likeness.params(), **self.likeness.clustered.params(), **asked}

    def run(self, pool: Pool) -> Iterator[Output]:
        pieces = _pieces(pool)
        visits = self._visits(pool, Pieces.of(pieces, pool.manifest("centroids").rows))
        recall = [float(np.mean(visits <= probes)) if len(visits) else None for probes in range(MOST + 1)]
        chosen = self._chosen(recall, len(visits))
        rows = [
            {"probes": probes, "recall": share, "n_pairs": len(visits), "chosen": probes == chosen}
            for probes, share in enumerate(recall)
        ]
        yield Output("probes", pa.RecordBatch.from_pylist(rows, PROBES))
        yield Output("pieces", pieces)

    def _chosen(self, recall: list[float | None], n_pairs: int) -> int:
        if self.probes != "auto":
            return min(self.probes, MOST)
        known = [share for share in recall if share is not None]
        if not known:
            return 1
        # What a sample says is true within its standard error, which is left as a margin.
        sure = [share - math.sqrt(share * (1 - share) / n_pairs) for share in known]
        return next(probes for probes, share in enumerate(sure) if share >= min(self.recall, max(sure)))

    def _visits(self, pool: Pool, pieces: Pieces) -> Ints:
        """For each near pair of the sample, with how many visits it meets; more than MOST: with none."""
        found = SampledPairs(pool, self.likeness, self.floor)
        left, there = found.pairs
        if not len(left):
            return left
        centroids = Assignment.of(vectors(pool.read("centroids", ["centroid"])["centroid"]))

        def ranked(at: Places) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
            """The clusters that rows at places have, and the centroids near to them."""
            source = self.likeness.clustered
            rows = source.rows(found.columns(source.table, source.columns, at))
            own = found.columns("clusters", ["cluster"], at)["cluster"].to_numpy()
            return own, centroids.ranked(rows, MOST + 1)[0]

        (cluster, near), (other, other_near) = ranked(found.sample), ranked(there)
        away = np.minimum(
            np.where(pieces.outer(other), _place(near[left], other_near[:, 0]), MOST + 1),
            np.where(pieces.outer(cluster[left]), _place(other_near, near[left, 0]), MOST + 1),
        )
        siblings = near[left, 0] == other_near[:, 0]
        away[siblings] = np.where(pieces.adjacent(cluster[left], other)[siblings], 1, MOST + 1)
        return np.where(cluster[left] == other, 0, away)


def _place(ranked: NDArray[np.int32], centroid: NDArray[np.int32]) -> Ints:
    """(n,) where in each row a centroid stands; more than MOST where it does not."""
    hit = ranked == centroid[:, None]
    return np.where(hit.any(axis=1), hit.argmax(axis=1), MOST + 1)


@dataclass(frozen=True)
class Pieces:
    """What became of the cluster of each centroid where it was cut: by the cosine to it, nearest first.

    A sample visits the pieces beside its own one, and of another centroid the outermost: what lies near to
    it there lies far from that centroid. So a sample visits few, however large a cluster was.
    """

    of_centroid: list[list[int]]
    place: Ints  # (c,) of each cluster, from the centroid outwards
    beyond: Ints  # (c,) pieces farther out

    @classmethod
    def of(cls, pieces: pa.RecordBatch | pa.Table, n_centroids: int) -> Pieces:
        """From rows of PIECES; of a centroid's clusters, a later number is a piece farther out."""
        centroid, cluster = (pieces[name].to_numpy() for name in ("centroid", "cluster"))
        of: list[list[int]] = [[] for _ in range(n_centroids)]
        place, beyond = np.zeros((2, int(cluster.max(initial=-1)) + 1), np.int64)
        for one, number in sorted(zip(centroid.tolist(), cluster.tolist(), strict=True)):
            place[number] = len(of[one])
            of[one].append(number)
        for numbers in of:
            beyond[numbers] = np.arange(len(numbers))[::-1]
        return cls(of, place, beyond)

    def outer(self, cluster: NDArray[np.int32]) -> NDArray[np.bool_]:
        """(n,) Whether samples of other centroids visit these clusters."""
        found: NDArray[np.bool_] = self.beyond[cluster] < PIECES_VISITED
        return found

    def adjacent(self, left: NDArray[np.int32], right: NDArray[np.int32]) -> NDArray[np.bool_]:
        """(n,) Whether samples of one visit the other, of pairs of one centroid's clusters."""
        found: NDArray[np.bool_] = np.abs(self.place[left] - self.place[right]) <= 1
        return found

    def visited(self, own: int, centroids: Sequence[int]) -> list[int]:
        """The clusters that a sample of `own` visits, given the centroids to visit, its own one first."""
        siblings = self.of_centroid[centroids[0]]
        at = siblings.index(own)
        found = [*siblings[max(at - 1, 0) : at], *siblings[at + 1 : at + 2]]
        for centroid in centroids[1:]:
            found += self.of_centroid[centroid][-PIECES_VISITED:]
        return found


def _pieces(pool: Pool) -> pa.RecordBatch:
    centroid = pool.read("nearest", ["centroid"])["centroid"].fill_null(-1).to_numpy()
    cluster = pool.read("clusters", ["cluster"])["cluster"].fill_null(-1).to_numpy()
    pairs = np.unique(np.stack([centroid, cluster], axis=1)[centroid >= 0], axis=0)
    return pa.record_batch(
        [pa.array(pairs[:, 0], pa.int32()), pa.array(pairs[:, 1], pa.int32())], schema=PIECES
    )


@dataclass(frozen=True)
class Ways:
    """Where samples may go: the centroids, the clusters of each, and how many centroids to visit."""

    centroids: Assignment
    pieces: Pieces
    probes: int


@lru_cache(maxsize=1)
def _ways(centroids: str, probes: str, pieces: str) -> Ways:
    """Read from files, which are named by their content."""
    assignment = Assignment.of(vectors(read_shard(centroids)["centroid"]))
    of = Pieces.of(read_shard(pieces), len(assignment.centroids))
    table = read_shard(probes, ["probes", "chosen"])
    return Ways(assignment, of, table.filter(table["chosen"])["probes"][0].as_py())


def _with_ways(task: Task, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, Ways]:
    return rows, _ways(*(task.artefact(name) for name in ("centroids", "probes", "pieces")))


@dataclass(frozen=True)
class Visit(Prepared):
    """`visits`: the clusters that each sample is compared in, its own first; null where it takes no part.

    Those of its own centroid and of the `probes` next ones, as `Pieces` says; with no probes its own alone.
    Where two samples are never more similar than the rows that were clustered (`Likeness.by_angle`), a sample
    visits a cluster only if it is near enough to the plane between both centroids: one farther from it than
    arccos(floor) has no such neighbour beyond it.
    """

    likeness: Likeness
    floor: float

    name: ClassVar[str] = "visits"
    version: ClassVar[int] = 2
    writes: ClassVar[pa.Schema] = VISITS

    @property
    def source(self) -> ShardRows:
        """Vectors as they were clustered, clusters, and which samples are first."""
        vectors = self.likeness.clustered
        narrow = (("clusters", ("cluster",)), ("firsts", ("first",)), ("checked", ("n_images",)))
        read = ((vectors.table, ("uid", *vectors.columns)), *narrow)
        ways = (Whole("centroids"), Whole("probes"), Whole("pieces"))
        return ShardRows(read, further=ways, made=_with_ways)

    def params(self) -> dict[str, Any]:
        return {**self.likeness.clustered.params(), **self.likeness.params(), "floor": self.floor}

    def prepare(self, piece: tuple[pa.RecordBatch, Ways]) -> pa.RecordBatch:
        rows, ways = piece
        likeness = self.likeness
        near, cosine = ways.centroids.ranked(likeness.clustered.rows(rows), ways.probes + 1)
        by_angle = likeness.by_angle(rows["n_images"].to_numpy())
        wanted = np.ones(near.shape, bool)
        if by_angle.any():
            wanted = self._within_reach(ways.centroids.centroids, near, cosine) | ~by_angle[:, None]
        own = rows["cluster"].to_pylist()
        takes_part = np.asarray(rows["first"]) & np.asarray(rows["cluster"].is_valid())
        visits: list[list[int] | None] = [None] * len(own)
        # n: samples of a shard; a handful of clusters each.
        for row in np.flatnonzero(takes_part).tolist():
            others = ways.pieces.visited(own[row], near[row, wanted[row]]) if ways.probes else []
            visits[row] = [own[row], *others]
        return pa.record_batch([rows["uid"], pa.array(visits, VISITS.field("visits").type)], schema=VISITS)

    def _within_reach(
        self, centroids: NDArray[np.float32], near: NDArray[np.int32], cosine: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        wide = centroids.astype(np.float64)
        between = np.linalg.norm(wide[near] - wide[near[:, :1]], axis=2)
        reach = np.sqrt(1 - self.floor**2) + 1e-6
        within: NDArray[np.bool_] = cosine[:, :1] - cosine <= between * reach
        return within
