"""`curate status --filters`: what was measured of the thresholds that are the pool's own."""

from __future__ import annotations

from typing import Any

from curation.pipeline.pipeline import Pipeline
from curation.storage.store import Store
from schemas.errors import CurateError


def filters(workspace: Pipeline) -> dict[str, Any]:
    """What the default filters and the search for near-duplicates last went by, as it was measured here.

    Returns:
        `alignment`: `min_auc` and `max_loss`, the settings, and `groups`, the rows of the table `filters`.
        `near_duplicates`: `most_others`, `least_found` and `groups`, the rows of `copy_eps`. None for what
        was not measured.

    Raises:
        WorkspaceError: nothing is ingested yet.
        CurateError: nothing was measured.
    """
    store = workspace.store
    store.demand_ingested()
    found = {
        "alignment": _measured(store, "filters"),
        "near_duplicates": _measured(store, "copy_eps") if _by_measured_eps(store) else None,
    }
    if not any(found.values()):
        raise CurateError("no threshold has been measured here; `curate select --budget 30%` measures them")
    return found


def _measured(store: Store, table: str) -> dict[str, Any] | None:
    manifest = store.find(table)
    if manifest is None:
        return None
    return {**manifest.stage["params"], "groups": store.read(table).to_pylist()}


def eps_of(store: Store, shard: int, row: int) -> dict[str, Any] | None:
    """What was measured of near-duplicates in the group of a sample; None where pruning went by no such."""
    if not _by_measured_eps(store) or store.find("copy_eps") is None:
        return None
    centroid = _centroid(store, shard, row)
    rows = store.read("copy_eps").to_pylist()
    return next((found for found in rows if centroid in found["clusters"]), None)


def group_of(store: Store, dataset: str, shard: int, row: int) -> dict[str, Any] | None:
    """What was measured in the group of one sample; None where the selection did not go by it."""
    selection = store.find("selection")
    if selection is None or not selection.stage["params"].get("filters") or store.find("filters") is None:
        return None
    centroid = _centroid(store, shard, row)
    rows = store.read("filters").to_pylist()
    return next(
        (found for found in rows if found["dataset"] == dataset and centroid in (found["clusters"] or ())),
        None,
    )


def _by_measured_eps(store: Store) -> bool:
    """Whether the last pruning went by `copy_eps`; eps is null in its settings then."""
    pruned = store.find("pruned")
    return pruned is not None and pruned.stage["params"].get("eps", 0) is None


def _centroid(store: Store, shard: int, row: int) -> int | None:
    nearest = store.find("nearest")
    if nearest is None or shard >= len(nearest.shards) or row >= nearest.shards[shard].rows:
        return None
    found: int | None = store.read("nearest", ["centroid"], shard)["centroid"][row].as_py()
    return found
