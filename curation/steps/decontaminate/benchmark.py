"""A benchmark as what is compared of it: images, hashes, vectors, n-grams, and whose they are.

A benchmark is a workspace of its own, computed as the pool is. What is compared is held in memory, once a
process: some 2 kB an image and 16 bytes an n-gram.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.steps.prune.perceptual import TELLING, bytes_of, telling
from curation.storage.files import locate
from curation.storage.rows import places, vectors
from curation.storage.store import Store
from schemas.tables import key_of
from scorers.ngrams import Phrases

Ints = NDArray[np.int64]

HASH_BYTES = 8
# The tables that follow from a benchmark and are compared with the pool; vectors where it is embedded.
COMPARED, VECTORS = ("samples", "checked", "image_places", "images"), "image_vectors"


@dataclass(frozen=True)
class Benchmark:
    """Where a benchmark is, and what state it is in; '' where it was never computed."""

    name: str
    root: str  # of its store: a path or URL
    fingerprint: str

    @classmethod
    def of(cls, name: str, store: Store, *, embedded: bool) -> Benchmark:
        """The benchmark in a store, as it is now; `embedded` where its vectors are compared as well."""
        tables = (*COMPARED, VECTORS) if embedded else COMPARED
        held = [store.find(table) for table in tables]
        found = [manifest.fingerprint for manifest in held if manifest is not None]
        return cls(name, str(store.root), key_of(found) if len(found) == len(tables) else "")


@dataclass(frozen=True)
class Images:
    """What is compared of a benchmark's distinct images."""

    sha256: pa.ChunkedArray  # (m,)
    told: Ints  # (t,) those whose hash says something
    codes: NDArray[np.uint8]  # (t, 8) their hashes


@dataclass(frozen=True)
class About:
    """Who is who in a benchmark."""

    uids: NDArray[np.object_]  # (n,) of its samples
    ids: NDArray[np.object_]  # (n,) the records' own ids, or keys
    images: NDArray[np.object_]  # (m,) sha256 of its distinct images
    first: Ints  # (m,) the first sample that shows each


@lru_cache(maxsize=16)
def held_images(benchmark: Benchmark) -> Images:
    """Read once a process."""
    store = Store(locate(benchmark.root))
    table = store.read("images", ["sha256", *TELLING])
    told = np.flatnonzero(telling(table))
    codes = np.ascontiguousarray(bytes_of(table["phash"], HASH_BYTES)[told])
    return Images(table["sha256"], told, codes)


@lru_cache(maxsize=16)
def held_vectors(benchmark: Benchmark) -> NDArray[np.float32]:
    """(m, d) unit rows of its images, zero where one could not be decoded. Read once a process."""
    return vectors(Store(locate(benchmark.root)).read(VECTORS, ["vector"])["vector"])


@lru_cache(maxsize=16)
def held_phrases(benchmark: Benchmark, n: int) -> Phrases:
    """Read once a process.

    Of a sample with images only the answers count. Its questions are asked of other pictures as well: of 299
    samples that repeated a text of 300 of a dozen sources, 73 did so about something else.
    """
    store = Store(locate(benchmark.root))
    turns: list[list[str]] = []
    for shard in store.iterate("samples", ["turns", "error", "n_images"]):
        answers = turn_texts(shard, roles=("assistant",))
        both = zip(turn_texts(shard), answers, shard["n_images"].to_pylist(), strict=True)
        turns += [answered if n_images else said for said, answered, n_images in both]
    return Phrases.of(turns, n)


@lru_cache(maxsize=16)
def about_samples(benchmark: Benchmark) -> About:
    """Ids of a benchmark's samples and images."""
    store = Store(locate(benchmark.root))
    table = store.read("samples", ["uid", "record_id", "key"])
    ids = pc.coalesce(table["record_id"], table["key"])
    offsets, shards, rows = places(store.read("image_places", ["places"])["places"].combine_chunks())
    manifest = store.manifest("images")
    image = np.cumsum([0, *(shard.rows for shard in manifest.shards)])[shards] + rows
    _, at = np.unique(image, return_index=True)  # every distinct image is shown by some sample
    first = np.searchsorted(offsets, at, side="right") - 1
    sha256 = store.read("images", ["sha256"])["sha256"]
    uids, names, hashes = (np.array(part.to_pylist(), object) for part in (table["uid"], ids, sha256))
    return About(uids, names, hashes, first)


def turn_texts(rows: pa.RecordBatch | pa.Table, roles: Sequence[str] = ()) -> list[list[str]]:
    """The turns of samples, of `roles` or of all; none of a bad record."""
    both = zip(rows["turns"].to_pylist(), rows["error"].to_pylist(), strict=True)
    return [
        [] if error else [turn["text"] for turn in turns if not roles or turn["role"] in roles]
        for turns, error in both
    ]
