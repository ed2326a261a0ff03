"""`curate verify` and `curate gc`: is every table whole, and what does nothing refer to."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from curation.ids import words
from curation.scores import TABLES

if TYPE_CHECKING:
    from pathlib import Path

    from curation.store import Store


def verify(store: Store) -> list[str]:
    """What is wrong, a sentence each; empty where all is well. Reads every byte of every table."""
    problems = []
    for table in store.tables():
        manifest = store.manifest(table)
        for shard in manifest.shards if manifest else ():
            path = store.shard_path(table, shard.checksum)
            if not path.exists():
                problems.append(f"{table}: the file of shard {shard.number} is missing ({path.name})")
            elif hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() != shard.checksum:
                problems.append(
                    f"{table}: the bytes of shard {shard.number} do not match their checksum ({path.name})"
                )
    return problems or _verify_uids(store)


def _verify_uids(store: Store) -> list[str]:
    """Every sample's uid once in `samples`, and the same uids in the same order wherever rows are samples."""
    if store.manifest("samples") is None:
        return []
    import numpy as np

    pool = words(store.read("samples", ["uid"])["uid"])
    problems = []
    n_doubled = len(pool) - len(np.unique(pool, axis=0))
    if n_doubled:
        problems.append(f"samples: {n_doubled} uids occur more than once")
    for table in (*TABLES, "vectors", "selection"):
        if store.manifest(table) is None:
            continue
        uids = words(store.read(table, ["uid"])["uid"])
        if not np.array_equal(uids, pool):
            problems.append(
                f"{table}: its {len(uids):,} uids are not those of the {len(pool):,} samples; run again"
            )
    return problems


def collect_garbage(store: Store) -> tuple[int, int]:
    """Remove shards, ledger entries and partial files that no manifest refers to: (files, bytes) removed."""
    kept: dict[str, set[str]] = {}
    for table in store.tables():
        manifest = store.manifest(table)
        kept[table] = {shard.checksum for shard in manifest.shards} if manifest else set()
    n_files = n_bytes = 0
    for kind in ("shards", "ledger"):
        for path in _files(store.root / kind):
            checksum = path.stem.rpartition("-")[2]
            if path.name.startswith(".") or checksum not in kept.get(path.parent.name, set()):
                n_files, n_bytes = n_files + 1, n_bytes + path.stat().st_size
                path.unlink()
    for path in _files(store.root / "tmp"):
        n_files, n_bytes = n_files + 1, n_bytes + path.stat().st_size
        path.unlink()
    return n_files, n_bytes


def _files(folder: Path) -> list[Path]:
    return [folder.__class__(parent) / name for parent, _, names in os.walk(folder) for name in sorted(names)]
