"""How an index is made: in two passes over the vectors, a shard at a time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustering.kmeans import fit
from curation.search.sides import SIDES, Floats, Ints, Side
from curation.storage.store import Store
from schemas.protocols import Progress

EXACT = 100_000  # vectors up to which every one is looked at
SAMPLE = 1 << 16  # vectors that lists, codes and deviations are fitted on
ITERATIONS = 10
MOST_LISTS = 4096
# Of the ten nearest to so many vectors of either side, what share has to be found.
N_QUERIES, K, RECALL = 128, 10, 0.98
KNOWN = 64  # nearest that are known of each: copies may stand for each other
FIRST_PROBES = 8


@dataclass(frozen=True)
class Facts:
    """What stands beside an index.

    Args:
        mean: (d,) of the vectors.
        covariance: (d, d).
        n_probes: inverted lists that a search looks at; 0: all is compared.
        recall: share of the ten nearest that this finds, as it was measured; 1 where all is compared.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    n_probes: int = 0
    recall: float = 1.0

    def packed(self) -> bytes:
        """As bytes of an .npz."""
        sink = BytesIO()
        np.savez(sink, **asdict(self))
        return sink.getvalue()

    @classmethod
    def unpacked(cls, data: bytes) -> Facts:
        """From such bytes."""
        with np.load(BytesIO(data)) as held:
            return cls(held["mean"], held["covariance"], int(held["n_probes"]), float(held["recall"]))


def build(store: Store, side: Side, progress: Progress) -> tuple[Any, Facts]:
    """An index of faiss over the vectors of a side that are not null, and its facts.

    Holds a sample of 65,536 vectors and the index: a float32 a number up to 100,000 vectors, a byte above.

    Raises:
        WorkspaceError: there are no vectors.
    """
    import faiss

    side.fingerprint(store)
    n, dim = side.rows(store), side.dim(store)
    sample = drawn(store, side, SAMPLE)
    mean = sample.mean(axis=0, dtype=np.float64)
    centred = sample - mean.astype(np.float32)
    facts = Facts(mean, (centred.T @ centred).astype(np.float64) / max(len(sample), 1))
    if n <= EXACT:
        flat = faiss.IndexIDMap2(faiss.IndexFlatIP(dim))
        _add(flat, store, side, progress, None)
        return flat, facts
    k = min(round(np.sqrt(n)), MOST_LISTS)
    lists = fit(sample, k, iterations=ITERATIONS, seed=0).centroids
    nearest = faiss.IndexFlatIP(dim)
    nearest.add(lists)
    bits = faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexIVFScalarQuantizer(nearest, dim, len(lists), bits, faiss.METRIC_INNER_PRODUCT)
    index.train(sample)
    other = SIDES["text" if side.name == "image" else "image"]
    queries = [drawn(store, each, N_QUERIES) for each in (side, other) if store.find(each.table)]
    exact = Exact.of([rows for rows in queries if rows.shape[1:] == (dim,) and len(rows)])
    _add(index, store, side, progress, exact)
    return index, Facts(facts.mean, facts.covariance, *exact.enough(index))


def candidates(k: int) -> int:
    """How many rows are proposed where `k` are wanted: codes of a byte a number confuse near ones."""
    return 2 * k + 32


def parameters(n_probes: int, allowed: NDArray[np.uint8] | None = None) -> Any:
    """How faiss is to search: lists to look at (0: there are none), and a bit a row that may be found."""
    import faiss

    made: Any = faiss
    chosen = None if allowed is None else made.IDSelectorBitmap(allowed)
    return (
        made.SearchParametersIVF(sel=chosen, nprobe=n_probes)
        if n_probes
        else made.SearchParameters(sel=chosen)
    )


def drawn(store: Store, side: Side, most: int) -> Floats:
    """At most `most` vectors of a side at equal distances, without null ones."""
    step = -(-side.rows(store) // most)
    # Copies: a slice would hold its whole shard.
    parts = [rows[-start % step :: step].copy() for start, rows in side.blocks(store)]
    rows = np.concatenate(parts) if parts else np.zeros((0, side.dim(store)), np.float32)
    held: Floats = rows[rows.any(axis=1)]
    return held


def _add(index: Any, store: Store, side: Side, progress: Progress, exact: Exact | None) -> None:
    with progress.bar(f"index {side.name}s", side.rows(store), "vectors") as bar:
        for start, rows in side.blocks(store):
            there = np.flatnonzero(rows.any(axis=1))
            kept = rows[there]
            if len(there):
                index.add_with_ids(kept, start + there)
            if exact is not None:
                exact.look_at(kept, start + there)
            bar.advance(len(rows))


@dataclass
class Exact:
    """The exact nearest rows of some queries, as far as was looked.

    Args:
        queries: (q, d); vectors of the side itself, and of the other one, which lie elsewhere.
        groups: where each kind of queries begins and ends.
        rows: (q, 64) the nearest so far.
        cosines: (q, 64) theirs, falling.
    """

    queries: Floats
    groups: list[tuple[int, int]]
    rows: Ints
    cosines: Floats

    @classmethod
    def of(cls, queries: list[Floats]) -> Exact:
        ends = np.cumsum([0, *map(len, queries)]).tolist()
        groups = list(pairwise(ends))
        shape = ends[-1], KNOWN
        nothing = np.full(shape, -np.inf, np.float32)
        return cls(np.concatenate(queries), groups, np.full(shape, -1, np.int64), nothing)

    def look_at(self, rows: Floats, numbers: Ints) -> None:
        """Enter some rows of the side."""
        found = np.concatenate([self.cosines, self.queries @ rows.T], axis=1)
        names = np.concatenate([self.rows, np.broadcast_to(numbers, (len(found), len(rows)))], axis=1)
        best = np.argpartition(-found, KNOWN - 1, axis=1)[:, :KNOWN]
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(found, best, 1), axis=1), 1)
        self.rows, self.cosines = np.take_along_axis(names, best, 1), np.take_along_axis(found, best, 1)

    def enough(self, index: Any) -> tuple[int, float]:
        """How many lists have to be looked at, and what share of the ten nearest that finds."""
        probes = FIRST_PROBES
        while True:
            asked = parameters(min(probes, index.nlist))
            _, found = index.search(self.queries, candidates(K), params=asked)
            recall = self.recall(found)
            if recall >= RECALL or probes >= index.nlist:
                # Looking costs little beside reading what was found: twice as many, for harder queries.
                return min(2 * probes, index.nlist), recall
            probes *= 2

    def recall(self, found: Ints) -> float:
        """Of the ten nearest to each query the share that is `found` (q, k); that of the worse kind.

        The very nearest is not counted: it is the query's own row, or the picture that its text is about.
        """
        shares = []
        for mine, exact, cosines in zip(found, self.rows[:, 1:], self.cosines[:, 1:], strict=True):
            # Rows as near as the tenth are as good.
            good = exact[cosines >= cosines[K - 1] - 1e-6]
            shares.append(min(np.isin(mine, good).sum() / K, 1.0))
        return min(float(np.mean(shares[start:end])) for start, end in self.groups)
