"""What the looking commands ask the workspace: one plain tree each, as `--json` prints it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from schemas.errors import ModelUnavailable

if TYPE_CHECKING:
    from curation.store import Manifest
    from curation.workspace import Workspace


def chain_status(workspace: Workspace) -> dict[str, Any]:
    """How far each stage is, and its size on disk. Computes nothing."""
    from curation.chain import STEPS

    workspace = _as_selected(workspace)
    select, note = workspace.config.select, None
    states = workspace.plan("ingest")
    # Behind an ingest that is not done nothing can be known, so no model is asked for.
    if all(state.state == "fresh" for state in states):
        try:
            states = workspace.plan("prune" if select.budget is None else STEPS[-1])
        except ModelUnavailable as error:
            note = str(error)
    sizes = {state.stage: _size(workspace, workspace.store.manifest(state.stage)) for state in states}
    return {
        "stages": [{**asdict(state), "bytes": sizes[state.stage]} for state in states],
        "bytes": sum(sizes.values()),
        "model": workspace.config.embed.model,
        "budget": select.budget,
        "strategy": None if select.budget is None else select.strategy,
        "note": note,
    }


def _as_selected(workspace: Workspace) -> Workspace:
    """The workspace with the settings of the selection there is, where no flag gives others."""
    from curation.stages.select import settings

    held = workspace.store.manifest("selection")
    if held is None:
        return workspace
    return replace(workspace, overrides={**settings(held.stage["params"]), **workspace.overrides})


def bad_records(workspace: Workspace, limit: int) -> dict[str, Any]:
    """The first `limit` records in quarantine, and how many there are by code."""
    from curation.status import errors

    found = errors(workspace, limit)
    table = "checked" if workspace.store.manifest("checked") else "samples"
    codes = Counter(workspace.store.read(table, ["error"])["error"].drop_null().to_pylist())
    return {
        "n_quarantined": codes.total(),
        "quarantined": dict(sorted(codes.items())),
        "records": found,
    }


def _size(workspace: Workspace, manifest: Manifest | None) -> int:
    if manifest is None:
        return 0
    sizes = workspace.store.sizes(manifest.table)
    return sum(sizes.get(checksum, 0) for checksum in {shard.checksum for shard in manifest.shards})


def problems(workspace: Workspace) -> dict[str, Any]:
    """What `verify` found, a sentence each."""
    from curation.verify import verify

    return {"tables": workspace.store.tables(), "problems": verify(workspace.store)}


def collect(workspace: Workspace) -> dict[str, Any]:
    """Remove what nothing refers to. Holds the lock: what a run is just writing looks like garbage."""
    from curation.lock import writer
    from curation.verify import collect_garbage

    with writer(workspace.store.root, "curate gc"):
        n_files, n_bytes = collect_garbage(workspace.store)
    return {"n_files": n_files, "bytes": n_bytes}


def models(pattern: str) -> dict[str, Any]:
    """The models that `--model` and `--vlm` can name."""
    from dataclasses import asdict

    from curation.models.catalogue import catalogue

    found = [asdict(listed) for listed in catalogue(pattern)]
    return {"n_models": len(found), "models": found}
