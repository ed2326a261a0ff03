"""Which images the samples of a pool show, and which samples that joins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.storage.rows import places
from curation.storage.store import Store

Ints = NDArray[np.int64]


def image_numbers(store: Store) -> tuple[Ints, Ints]:
    """Offsets (n + 1,) and the numbers of images in the pool, sample after sample."""
    sizes = [ref.rows for ref in store.manifest("images").shards]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    ends, found = [np.zeros(1, np.int64)], [np.zeros(0, np.int64)]
    for table in store.iterate("image_places", ["places"]):
        offsets, shards, rows = places(table["places"].combine_chunks())
        ends.append(ends[-1][-1] + offsets[1:])
        found.append((starts[shards] + rows).astype(np.int64))
    return np.concatenate(ends), np.concatenate(found)


def joined(n: int, left: Ints, right: Ints) -> Ints:
    """(n,) one number for rows that pairs join, however indirectly; `right` may name other things too."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = max(n, int(right.max(initial=-1)) + 1)
    graph = coo_array((np.ones(len(left), bool), (left, right)), shape=(size, size))
    _, label = connected_components(graph, directed=False)
    found: Ints = label[:n].astype(np.int64)
    return found
