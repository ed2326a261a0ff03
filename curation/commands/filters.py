"""`curate status --filters`: what was measured of the filters whose threshold is the pool's own."""

from __future__ import annotations

from typing import Any

from curation.pipeline.pipeline import Pipeline
from curation.storage.store import Store
from schemas.errors import CurateError


def filters(workspace: Pipeline) -> dict[str, Any]:
    """The rows of the table `filters`, as the last selection went by them, and what they decided by.

    Returns:
        `min_auc` and `max_loss`, the settings; `groups`: a dict of the columns of each row.

    Raises:
        WorkspaceError: nothing is ingested yet.
        CurateError: nothing was measured.
    """
    store = workspace.store
    store.demand_ingested()
    manifest = store.find("filters")
    if manifest is None:
        raise CurateError("no filter has been measured here; `curate select --budget 30%` measures them")
    return {**manifest.stage["params"], "groups": store.read("filters").to_pylist()}


def group_of(store: Store, dataset: str, shard: int, row: int) -> dict[str, Any] | None:
    """What was measured in the group of one sample; None where the selection did not go by it."""
    selection, nearest = store.find("selection"), store.find("nearest")
    if selection is None or not selection.stage["params"].get("filters") or store.find("filters") is None:
        return None
    if nearest is None or shard >= len(nearest.shards) or row >= nearest.shards[shard].rows:
        return None
    centroid = store.read("nearest", ["centroid"], shard)["centroid"][row].as_py()
    rows = store.read("filters").to_pylist()
    return next(
        (found for found in rows if found["dataset"] == dataset and centroid in (found["clusters"] or ())),
        None,
    )
