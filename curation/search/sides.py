"""The two sides that samples are searched by: what they show, and what they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.storage.rows import gather, located, vectors
from curation.storage.store import Store
from schemas.errors import WorkspaceError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Side:
    """A column of unit vectors in the store.

    Args:
        name: `image` or `text`.
        table: that holds them.
        column: of them; null where there is nothing to compare.
        like: the column of `vectors` that has a sample's own vector on this side.
        row_of: the table whose rows belong to these, which says whether they are of the pool as it is.
    """

    name: str
    table: str
    column: str
    like: str
    row_of: str

    def fingerprint(self, store: Store) -> str:
        """Changes when, and only when, the vectors do.

        Raises:
            WorkspaceError: there are none, or they are of an earlier state of the pool.
        """
        store.demand_ingested()
        found, rows = store.find(self.table), store.find(self.row_of)
        if found is None or not found.shards:
            raise WorkspaceError("nothing is embedded yet; run `curate embed`")
        if rows is None or rows.rows != found.rows:
            raise WorkspaceError("the pool has changed since it was embedded; run `curate embed`")
        return found.fingerprint

    def rows(self, store: Store) -> int:
        """How many vectors there are, null ones too."""
        return store.manifest(self.table).rows

    def dim(self, store: Store) -> int:
        """Numbers a vector."""
        width: int = store.schema(self.table).field(self.column).type.list_size
        return width

    def blocks(self, store: Store) -> Iterator[tuple[int, Floats]]:
        """Every vector, a shard at a time, each with the number of its first; null ones are zeros."""
        start = 0
        for shard in store.iterate(self.table, [self.column]):
            yield start, vectors(shard[self.column])
            start += len(shard)

    def at(self, store: Store, rows: Ints) -> Floats:
        """(k, d) the vectors of `rows`, from the row groups that hold them."""
        if not len(rows):
            return np.zeros((0, self.dim(store)), np.float32)
        places = located(store.manifest(self.table).sizes, rows)
        found: pa.Table = gather(store.paths(self.table), *places, [self.column])
        return vectors(found[self.column])


# Each distinct picture once. A text's side is the sample: what its turns are about together.
SIDES = {
    "image": Side("image", "image_vectors", "vector", "image", "images"),
    "text": Side("text", "vectors", "text", "text", "samples"),
}
