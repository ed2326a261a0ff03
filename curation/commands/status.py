"""`curate status`: how far each stage is, and which records are in quarantine."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import pyarrow.compute as pc

from curation.pipeline.counts import repaired
from curation.pipeline.pipeline import Pipeline
from curation.steps.chain import chain, steps_of
from curation.steps.select.select import settings
from curation.storage.store import Store
from schemas.errors import ModelUnavailable
from schemas.stages import STEPS


def status(workspace: Pipeline) -> dict[str, Any]:
    """How far each stage is, and its size on disk. Computes nothing."""
    held = workspace.store.find("selection")
    chosen = {} if held is None else settings(held.stage["params"])
    # As it was selected, where no flag says otherwise.
    workspace = workspace.with_settings({**chosen, **workspace.overrides})
    select, note = workspace.config.select, None
    until = "ingest"
    states = workspace.states(until)
    # Behind an ingest that is not done nothing can be known, so no model is asked for.
    if all(state.state == "fresh" for state in states):
        further = "prune" if select.budget is None else STEPS[-1]
        try:
            states, until = workspace.states(further), further
        except ModelUnavailable as error:
            note = str(error)
    steps = steps_of(chain(workspace.context, until))
    sizes = {state.stage: _size(workspace.store, state.stage) for state in states}
    return {
        **_counted(workspace.store),
        "selected_by": {name: chosen.get(f"select.{name}") for name in ("strategy", "mix", "budget")},
        "stages": [
            {"step": steps[state.stage], **asdict(state), "bytes": sizes[state.stage]} for state in states
        ],
        "bytes": sum(sizes.values()),
        "model": workspace.config.embed.model,
        "budget": select.budget,
        "strategy": None if select.budget is None else select.strategy,
        "note": note,
        **(repaired(workspace.store) if workspace.store.find("samples") else {}),
    }


def _counted(store: Store) -> dict[str, Any]:
    """How many records there are, are bad and are selected; None where that is not known yet."""
    read = store.find("checked") or store.find("samples")
    selection = store.find("selection")
    kept = None if selection is None else pc.sum(store.read("selection", ["keep"])["keep"]).as_py()
    return {
        "n_read": read and read.rows,
        "n_quarantined": read and read.errors,
        "n_selected": None if selection is None else kept or 0,
    }


def _size(store: Store, table: str) -> int:
    manifest = store.find(table)
    if manifest is None:
        return 0
    sizes = store.sizes(table)
    return sum(sizes.get(checksum, 0) for checksum in {shard.checksum for shard in manifest.shards})


def bad_records(workspace: Pipeline, limit: int = 100) -> dict[str, Any]:
    """The first `limit` records in quarantine, in pool order, and how many there are by code.

    Raises:
        WorkspaceError: nothing is ingested yet.
    """
    store = workspace.store
    store.demand_ingested()
    # Before the images are decoded, what reading found is all there is.
    table = "checked" if store.find("checked") else "samples"
    names = ["uid", "record_id", "dataset", "file", "line", "error", "error_message"]
    keys = store.iterate("samples", ["key"])
    rows: list[dict[str, Any]] = []
    codes: Counter[str] = Counter()
    for shard, key in zip(store.iterate(table, names), keys, strict=True):
        bad = shard.append_column("key", key["key"]).filter(pc.is_valid(shard["error"]))
        codes.update(bad["error"].to_pylist())
        rows += bad.slice(0, max(limit - len(rows), 0)).to_pylist()
    return {
        "n_quarantined": codes.total(),
        "quarantined": dict(sorted(codes.items())),
        "records": [_shown(row) for row in rows],
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": row["uid"].hex(),
        "id": row["record_id"],
        **{name: row[name] for name in ("dataset", "file", "line", "key")},
        "code": row["error"],
        "message": row["error_message"],
    }
