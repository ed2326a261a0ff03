"""`curate verify` and `curate gc`: is every table whole, and what does nothing refer to."""

from __future__ import annotations

import hashlib

import numpy as np

from curation.catalog import ON_REQUEST, all_tables, current_tables
from curation.search.index import stale
from curation.storage.files import Location, Remote, each, walk
from curation.storage.ids import words
from curation.storage.store import Store


def verify(store: Store) -> list[str]:
    """What is wrong, a sentence each; empty where all is well. Reads every byte of every table."""
    with store.snapshot():
        return _verify_bytes(store) or _verify_uids(store)


def _verify_bytes(store: Store) -> list[str]:
    problems = []
    for table in store.tables():
        shards = store.manifest(table).shards
        paths = [store.shard_path(table, shard.checksum) for shard in shards]
        checksums = each(_checksum, paths, remote=isinstance(store.root, Remote))
        for shard, path, found in zip(shards, paths, checksums, strict=True):
            if found is None:
                problems.append(f"{table}: the file of shard {shard.number} is missing ({path.name})")
            elif found != shard.checksum:
                problems.append(
                    f"{table}: the bytes of shard {shard.number} do not match their checksum ({path.name})"
                )
    return problems


def _checksum(path: Location) -> str | None:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except FileNotFoundError:
        return None


def _verify_uids(store: Store) -> list[str]:
    """Every sample's uid once in `samples`, and the same uids in the same order wherever rows are samples."""
    if store.find("samples") is None:
        return []
    pool = words(store.read("samples", ["uid"])["uid"])
    problems = []
    n_doubled = len(pool) - len(np.unique(pool, axis=0))
    if n_doubled:
        problems.append(f"samples: {n_doubled} uids occur more than once")
    tables, current = all_tables(store), current_tables(store)
    others = [table for table in (*ON_REQUEST, *tables) if table not in current]
    for table in (*tables, "vectors", "selection"):
        if store.find(table) is None or table in others:
            continue
        uids = words(store.read(table, ["uid"])["uid"])
        if not np.array_equal(uids, pool):
            problems.append(
                f"{table}: its {len(uids):,} uids are not those of the {len(pool):,} samples; run again"
            )
    return problems


def collect_garbage(store: Store) -> tuple[int, int]:
    """Remove shards, ledger entries, partial files, indexes that nothing refers to: (files, bytes) removed.

    The caller holds the lock: what a run is just writing looks like garbage.
    """
    kept: dict[str, set[str]] = {}
    for table in store.tables():
        kept[table] = {shard.checksum for shard in store.manifest(table).shards}
    garbage = []
    for kind in ("shards", "ledger"):
        for path, size in walk(store.root / kind):
            checksum = path.name.partition(".")[0].rpartition("-")[2]
            if path.name.startswith(".") or checksum not in kept.get(path.parent.name, set()):
                garbage.append((path, size))
    garbage += walk(store.root / "tmp") + stale(store)
    for _ in each(_remove, [path for path, _ in garbage], remote=isinstance(store.root, Remote)):
        pass
    return len(garbage), sum(size for _, size in garbage)


def _remove(path: Location) -> None:
    path.unlink()
