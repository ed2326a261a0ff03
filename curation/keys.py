"""Keys of shards: hashes of everything that a shard follows from. Knows stages by shape, not by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from curation.stages.inputs import Aligned, Linked, Whole
from curation.stages.pool import Pool
from curation.store import key_of
from schemas.protocols import GroupStage, MapStage, PoolStage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curation.sources import FoundSpan
    from curation.stages.inputs import Input
    from curation.store import Store

Stage = MapStage | PoolStage | GroupStage


def keys_of(stage: Stage, store: Store, spans: Sequence[FoundSpan] = ()) -> dict[str, list[str]]:
    """The key of every shard that `stage` will write, in order, by table.

    The tables that it reads are finished; `spans` are the pool's, for the stage that reads no table.
    """
    if is_map(stage):
        return {stage.name: _map_keys(stage, store, spans)}
    if is_group(stage):
        base = [describe(stage), _fingerprints(stage.reads, store)]
        n_bins = int(stage.bins(Pool(store)).max()) + 1
        return {stage.name: [key_of([*base, number, n_bins]) for number in range(n_bins)]}
    assert is_whole(stage)
    base = [describe(stage), _fingerprints(stage.reads, store)]
    n_shards = stage.shards(Pool(store))
    return {table: [key_of([base, table, number]) for number in range(n_shards)] for table in stage.writes}


def _map_keys(stage: MapStage, store: Store, spans: Sequence[FoundSpan]) -> list[str]:
    base = describe(stage)
    needed = inputs(stage)
    if not needed:
        return [key_of([base, found.fingerprint]) for found in spans]
    pool = Pool(store)
    tables = {item.table: pool.manifest(item.table) for item in needed}
    through = {item.through: pool.manifest(item.through) for item in needed if isinstance(item, Linked)}
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
    return [Pool(store).manifest(table).fingerprint for table in tables]


def describe(stage: Stage) -> dict[str, Any]:
    """The part of a stage's keys that does not vary between its shards."""
    return {"name": stage.name, "version": stage.version, "params": stage.params()}


def outputs(stage: Stage) -> list[str]:
    """The tables that a stage writes."""
    return list(stage.writes) if is_whole(stage) else [stage.name]


def reads(stage: Stage) -> list[str]:
    """The tables that must be finished before a stage can run."""
    if is_map(stage):
        through = [item.through for item in inputs(stage) if isinstance(item, Linked)]
        return [item.table for item in inputs(stage)] + through
    assert is_group(stage) or is_whole(stage)
    return list(stage.reads)


def inputs(stage: MapStage) -> tuple[Input, ...]:
    """What a map stage's source reads; the first gives the rows."""
    found: tuple[Input, ...] = stage.source.inputs
    return found


def is_map(stage: Stage) -> TypeGuard[MapStage]:
    """One shard in, one shard out."""
    return stage.shape == "map"


def is_group(stage: Stage) -> TypeGuard[GroupStage]:
    """Regrouped rows, bin by bin."""
    return stage.shape == "group"


def is_whole(stage: Stage) -> TypeGuard[PoolStage]:
    """Whole tables in: a fit or a decide."""
    return stage.shape in ("fit", "decide")
