"""`copy_eps`: how near near-duplicates must be to be looked at, measured where they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.steps.cluster.groups import group_of, groups_of_clusters
from curation.steps.prune.copies import KINDS, OF_A_GROUP
from curation.steps.prune.pairs import MOST_ODD, SamplePairs, least_similarity, shows_pictures
from schemas.stages import Output, Pool

Floats = NDArray[np.float32]

COPY_EPS = pa.schema(
    [
        pa.field("clusters", pa.list_(pa.int32()), nullable=False),  # of the group
        pa.field("n_samples", pa.int64(), nullable=False),  # with pictures
        pa.field("n_others", pa.int64(), nullable=False),  # of them that have a near sample that is no copy
        pa.field("n_copied", pa.int64(), nullable=False),  # pictures that `found` was measured on
        pa.field("eps", pa.float64()),  # what is nearer may be a copy; null where the encoder cannot tell
        pa.field("found", pa.float64()),  # share of the copies that are so near
        *(pa.field(f"found_{kind}", pa.float64()) for kind in KINDS),
    ]
)
MOST_OTHERS = 0.01  # share of samples that a near one which is no copy may be as near to
LEAST_FOUND = 0.1  # share of copies; where fewer are told from other pictures, none are


@dataclass(frozen=True)
class MeasureEps:
    """Fit: in each group of clusters the eps at which at most 1 % of samples would go for what is no copy.

    Of samples that say the same, those whose pictures were looked at because of their hashes and are copies
    count as such, all others as other pictures. `eps` is bounded by `floor`, which neighbours are known down
    to; how many copies it finds comes from copies that were made of a sample of the pool (`copy_cosines`).
    A group where fewer than LEAST_FOUND of them would be found has none.
    """

    floor: float
    text_eps: float | None  # None where texts do not count
    by_hash: bool

    name: ClassVar[str] = "copy_eps"
    version: ClassVar[int] = 1
    writes: ClassVar[dict[str, pa.Schema]] = {"copy_eps": COPY_EPS}

    @property
    def reads(self) -> tuple[str, ...]:
        looks = ("looks",) if self.by_hash else ()
        return (
            *("copy_cosines", "neighbours", "checked", "nearest", "centroids", "image_places", "images"),
            *looks,
        )

    def params(self) -> dict[str, Any]:
        return {**vars(self), "most_others": MOST_OTHERS, "least_found": LEAST_FOUND}

    def run(self, pool: Pool) -> Iterator[Output]:
        groups = groups_of_clusters(pool)
        of_sample = _group_of_samples(pool, groups)
        nearest = self._nearest_others(pool)
        measured = pool.read("copy_cosines")
        cosines = np.stack([measured[kind].drop_null().to_numpy() for kind in KINDS], axis=1)
        of_copy = measured.filter(measured[next(iter(KINDS))].is_valid())["group"].to_numpy()
        rows = []
        for group in np.unique(groups).tolist():
            near = np.sort(nearest[of_sample == group])[::-1]
            own = cosines[of_copy == group]
            copies = own if len(own) >= OF_A_GROUP else cosines
            row = {"clusters": np.flatnonzero(groups == group).tolist(), "n_samples": len(near)}
            row |= {"n_others": int((near >= np.float32(self.floor)).sum()), "n_copied": len(copies)}
            rows.append(row | self._eps(near, copies))
        yield Output("copy_eps", pa.RecordBatch.from_pylist(rows, COPY_EPS))

    def _nearest_others(self, pool: Pool) -> Floats:
        """(n,) the greatest similarity of each sample to one that says the same and shows something else."""
        lists = pool.read("neighbours", ["uid", "other", "similarity", "text"])
        pairs, at = SamplePairs.near(pool, lists, least_similarity(pool, 1 - self.floor), self.text_eps)
        others = pairs.oddness(pool, ("looks",) if self.by_hash else ()) > MOST_ODD
        found = np.full(pool.manifest("checked").rows, -1, np.float32)
        similarity = lists["similarity"].to_numpy()[at][others]
        for side in (pairs.left, pairs.right):
            np.maximum.at(found, side[others], similarity)
        return found

    def _eps(self, near: Floats, copies: Floats) -> dict[str, Any]:
        """The row's eps, and what it finds; `near` in descending order."""
        allowed = int(MOST_OTHERS * len(near))
        bound = near[allowed] if allowed < len(near) else np.float32(-1)
        least = max(np.float32(self.floor), np.nextafter(bound, np.float32(2)))
        found = (copies >= least).mean(axis=0) if len(copies) else np.zeros(len(KINDS))
        share = float(found.mean())
        by_kind = {f"found_{kind}": float(each) for kind, each in zip(KINDS, found, strict=True)}
        eps = 1 - float(least) if share >= LEAST_FOUND and least <= 1 else None
        return {"eps": eps, "found": share, **by_kind}


def _group_of_samples(pool: Pool, groups: NDArray[np.int32]) -> NDArray[np.int32]:
    """(n,) the group of each sample that shows pictures and has a cluster; -1 for others."""
    group = group_of(groups, pool.read("nearest", ["centroid"])["centroid"])
    return np.where(shows_pictures(pool), group, np.int32(-1))
