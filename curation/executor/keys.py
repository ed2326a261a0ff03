"""Keys of shards: hashes of everything that a shard follows from. Knows stages by shape, not by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from curation.readers.sources import FoundSpan
from curation.storage.store import Store
from schemas.stages import Aligned, Linked, MapStage, Sharded, Stage, Whole, is_group, is_map, is_whole
from schemas.tables import key_of


def keys_of(stage: Stage, store: Store, spans: Sequence[FoundSpan] = ()) -> dict[str, list[str]]:
    """The key of every shard that `stage` will write, in order, by table.

    The tables that it reads are finished; `spans` are the pool's, for the stage that reads no table.
    """
    if is_map(stage):
        return {stage.name: _map_keys(stage, store, spans)}
    if is_group(stage):
        base = [fixed_key(stage), _fingerprints(stage.reads, store)]
        n_bins = int(stage.bins(store).max()) + 1
        return {stage.name: [key_of([*base, number, n_bins]) for number in range(n_bins)]}
    assert is_whole(stage)
    base = [fixed_key(stage), _fingerprints(stage.reads, store)]
    n_shards = len(store.manifest(stage.alike).shards) if isinstance(stage, Sharded) else 1
    return {table: [key_of([base, table, number]) for number in range(n_shards)] for table in stage.writes}


def _map_keys(stage: MapStage, store: Store, spans: Sequence[FoundSpan]) -> list[str]:
    base = fixed_key(stage)
    needed = stage.source.inputs
    if not needed:
        return [key_of([base, found.fingerprint]) for found in spans]
    tables = {item.table: store.manifest(item.table) for item in needed}
    through = {item.through: store.manifest(item.through) for item in needed if isinstance(item, Linked)}
    whole = {item.table: tables[item.table].fingerprint for item in needed if isinstance(item, Whole)}
    keys = []
    for number in range(len(tables[needed[0].table].shards)):
        read: list[object] = [whole]
        for item in needed:
            if isinstance(item, Aligned):
                read.append(tables[item.table].shards[number].checksum)
            elif isinstance(item, Linked):
                links = through[item.through].shards[number].links
                read.append([tables[item.table].shards[link].checksum for link in links])
        keys.append(key_of([base, read]))
    return keys


def _fingerprints(tables: Sequence[str], store: Store) -> list[str]:
    return [store.manifest(table).fingerprint for table in tables]


def fixed_key(stage: Stage) -> dict[str, Any]:
    """The part of a stage's keys that does not vary between its shards."""
    return {"name": stage.name, "version": stage.version, "params": stage.params()}
