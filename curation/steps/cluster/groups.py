"""Clusters that are alike, as groups: in each of them thresholds are measured."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clustering.assignment import Assignment
from clustering.kmeans import fit
from curation.storage.rows import vectors
from schemas.stages import Pool

MOST_GROUPS = 64  # of clusters, so that what is measured in a large pool is not a few samples each


def groups_of_clusters(pool: Pool) -> NDArray[np.int32]:
    """The group of each centre: its own, or where there are more than MOST_GROUPS one of its likes."""
    centres = vectors(pool.read("centroids", ["centroid"])["centroid"])
    if len(centres) <= MOST_GROUPS:
        return np.arange(len(centres), dtype=np.int32)
    return Assignment.of(fit(centres, MOST_GROUPS, seed=0).centroids).assign(centres)[0]


def group_of(groups: NDArray[np.int32], centroid: pa.ChunkedArray) -> NDArray[np.int32]:
    """(n,) the group of each sample by its nearest centre; -1 where it has none."""
    known = centroid.is_valid().to_numpy()
    return np.where(known, groups[centroid.fill_null(0).to_numpy()], np.int32(-1))
