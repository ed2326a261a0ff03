"""An index of one side, as a file in the workspace: exact up to 100,000 vectors, inverted lists above."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.search.build import Facts, build, parameters
from curation.search.sides import SIDES, Floats, Ints, Side
from curation.storage.files import Location, Remote, put, walk
from curation.storage.lock import locked
from curation.storage.store import Store
from schemas.protocols import Progress
from schemas.tables import key_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = "search"
VERSION = 2


@dataclass(frozen=True)
class Index:
    """What finds the rows of one side that are nearest to a vector.

    Args:
        side: whose vectors these are.
        faiss: proposes rows; what they are compared by at last are the stored vectors.
        facts: of the vectors, and how many lists have to be looked at.
    """

    side: Side
    faiss: Any
    facts: Facts

    @cached_property
    def n(self) -> int:
        """Vectors that there are; those that are null are not counted."""
        return int(self.faiss.ntotal)

    def nearest(self, query: Floats, k: int, allowed: NDArray[np.bool_] | None = None) -> Ints:
        """At most `k` rows with the highest cosine to `query` (d,), nearest first as far as can be told.

        `allowed` says for each row of the side whether it may be among them.
        """
        n = self.n if allowed is None else int(allowed.sum())
        if not n:
            return np.zeros(0, np.int64)
        # As many lists as hold as many rows as without the condition.
        probes = min(-(-self.facts.n_probes * self.n // n), self.faiss.nlist) if self.facts.n_probes else 0
        # The selector reads the array's memory as long as it lives.
        bits = None if allowed is None else np.packbits(allowed, bitorder="little")
        asked = parameters(probes, bits)
        _, found = self.faiss.search(query[None], min(k, n), params=asked)
        rows: Ints = found[0][found[0] >= 0].astype(np.int64)
        return rows

    def deviations(self, query: Floats, cosine: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cosines as standard deviations above the mean of all cosines of the side to `query`."""
        wide = query.astype(np.float64)
        spread = max(float(wide @ self.facts.covariance @ wide), 1e-12) ** 0.5
        found: NDArray[np.float64] = (cosine - float(wide @ self.facts.mean)) / spread
        return found


def opened(store: Store, side: Side, progress: Progress) -> Index:
    """The index of a side; it is made where there is none of the vectors as they are.

    Raises:
        WorkspaceError: there are no vectors.
        WorkspaceLocked: it has to be made, and another process writes to the workspace.
    """
    path = store.root / FOLDER / f"{side.name}-{_key(store, side)}"
    facts = path.parent / f"{path.name}.npz"
    if not facts.exists():
        with locked(store.root, "curate search"):
            made, found = build(store, side, progress)
            _write(path.parent / f"{path.name}.faiss", made)
            put(facts, found.packed())
    return Index(side, _read(path.parent / f"{path.name}.faiss"), Facts.unpacked(facts.read_bytes()))


def stale(store: Store) -> list[tuple[Location, int]]:
    """Files of indexes that are of an earlier state of the vectors, with their bytes."""
    current = {f"{side.name}-{_key(store, side)}" for side in SIDES.values() if store.find(side.table)}
    return [
        (path, size)
        for path, size in walk(store.root / FOLDER)
        if path.name.rpartition(".")[0] not in current
    ]


def _key(store: Store, side: Side) -> str:
    other = SIDES["text" if side.name == "image" else "image"]
    parts = [store.manifest(each.table).fingerprint for each in (side, other) if store.find(each.table)]
    return key_of({"version": VERSION, "side": side.name, "vectors": parts})


def _write(path: Location, made: Any) -> None:
    import faiss

    if isinstance(path, Remote):
        put(path, faiss.serialize_index(made).tobytes())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.tmp")
    faiss.write_index(made, str(partial))
    partial.replace(path)


def _read(path: Location) -> Any:
    """The index of a file. Of inverted lists on this machine only those are read that a search looks at."""
    import faiss

    if isinstance(path, Remote):
        return faiss.deserialize_index(np.frombuffer(path.read_bytes(), np.uint8))
    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
