"""From vectors of a query to the samples that are nearest, by what they show and by what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clustering.vectors import cosines
from curation.search.build import candidates
from curation.search.index import Index, opened
from curation.search.sides import SIDES, Floats, Ints
from curation.storage.rows import gather, located, vectors
from curation.storage.shown import image_numbers
from curation.storage.store import Store
from schemas.protocols import Progress

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Hit:
    """A sample that was found.

    Args:
        position: in the pool.
        side: by what it was found, `image` or `text`.
        cosine: of its vector to that of the query, in [-1, 1].
        score: the same in standard deviations above the mean of the pool's cosines on this side.
        n_same: samples that were searched and show this picture, this one too; 1 for texts.
    """

    position: int
    side: str
    cosine: float
    score: float
    n_same: int = 1


@dataclass
class Searcher:
    """The indexes of a store as it is now. Make another one when the store has changed."""

    store: Store
    progress: Progress

    def __post_init__(self) -> None:
        self.indexes: dict[str, Index] = {}

    def index(self, side: str) -> Index:
        """The index of a side, opened once, or made."""
        if side not in self.indexes:
            SIDES[side].fingerprint(self.store)
            self.indexes[side] = opened(self.store, SIDES[side], self.progress)
        return self.indexes[side]

    @cached_property
    def good(self) -> Bools:
        """(n,) which samples are none in quarantine."""
        found: Bools = self.store.read("checked", ["error"])["error"].is_null().to_numpy()
        return found

    @cached_property
    def shown(self) -> tuple[Ints, Ints]:
        """(m,) sample, and (m,) its picture, of each picture of each sample."""
        offsets, numbers = image_numbers(self.store)
        return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)), numbers

    def like(self, position: int) -> dict[str, Floats]:
        """The sample's own vector on each side where it has one."""
        side = SIDES["text"]
        side.fingerprint(self.store)
        places = located(self.store.manifest(side.table).sizes, np.array([position]))
        row: pa.Table = gather(self.store.paths(side.table), *places, [each.like for each in SIDES.values()])
        held = {name: row[each.like] for name, each in SIDES.items()}
        return {name: vectors(column)[0] for name, column in held.items() if not column.null_count}

    def nearest(self, queries: Mapping[str, Floats], n: int, among: Bools) -> list[Hit]:
        """At most `n` samples with the highest score, highest first; of equal ones the first of the pool.

        A picture that several samples show is found once, with the first of them.

        Args:
            queries: a unit vector for each side that counts; the better side of a sample decides.
            n: how many.
            among: (n_samples,) which samples may be found.
        """
        best: dict[int, Hit] = {}
        for side, query in queries.items():
            for hit in self._on_side(side, query, n, among & self.good):
                if hit.position not in best or best[hit.position].score < hit.score:
                    best[hit.position] = hit
        return sorted(best.values(), key=lambda hit: (-hit.score, hit.position))[:n]

    def _on_side(self, side: str, query: Floats, n: int, among: Bools) -> list[Hit]:
        index = self.index(side)
        rows = index.nearest(query, candidates(n), self._rows(side, among))
        exact = cosines(
            query[None], index.side.at(self.store, rows), np.zeros(len(rows), np.int64), np.arange(len(rows))
        )
        scores = index.deviations(query, exact)
        samples, counts = self._samples(side, rows, among)
        found = zip(samples.tolist(), exact.tolist(), scores.tolist(), counts.tolist(), strict=True)
        return [Hit(at, side, cosine, score, count) for at, cosine, score, count in found]

    def _rows(self, side: str, among: Bools) -> Bools:
        """Which vectors of a side belong to these samples."""
        if side == "text":
            return among
        sample, picture = self.shown
        allowed = np.zeros(SIDES[side].rows(self.store), bool)
        allowed[picture[among[sample]]] = True
        return allowed

    def _samples(self, side: str, rows: Ints, among: Bools) -> tuple[Ints, Ints]:
        """The first sample of each row of a side, and how many there are."""
        if side == "text":
            return rows, np.ones(len(rows), np.int64)
        sample, picture = self.shown
        held = np.flatnonzero(np.isin(picture, rows) & among[sample])
        # Each sample once a picture, whether or not it shows it twice.
        pairs = np.unique(np.stack([picture[held], sample[held]], axis=1), axis=0)
        named, first, counts = np.unique(pairs[:, 0], return_index=True, return_counts=True)
        at = np.searchsorted(named, rows)
        return pairs[first[at], 1], counts[at]
