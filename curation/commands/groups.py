"""The groups of duplicates that pruning found, largest first: what stays of each, and what goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from curation.pipeline.pipeline import Pipeline
from curation.storage.rows import ids_of
from schemas.errors import WorkspaceError


def groups(workspace: Pipeline, limit: int) -> dict[str, Any]:
    """{"n_groups", "n_pruned", "groups"}: of each of the `limit` largest what is kept and all that goes.

    Members are {"uid", "id", "reason", "similarity", "oddness"}. Ties go to the group whose kept sample comes
    first.

    Raises:
        WorkspaceError: nothing is pruned yet.
    """
    store = workspace.store
    if store.find("pruned") is None:
        raise WorkspaceError("nothing is pruned yet; run `curate prune`")
    columns = ["uid", "reason", "similarity", "oddness", "kept_uid", "group"]
    rows = store.read("pruned", columns)
    named = rows.filter(rows["group"].is_valid())
    place, which, sizes = np.unique(named["group"].to_numpy(), return_inverse=True, return_counts=True)
    largest = np.lexsort((place, -sizes))[:limit]
    shown = named.take(pa.array(np.flatnonzero(np.isin(which, largest))))
    ids = ids_of(store, [*shown["uid"].to_pylist(), *shown["kept_uid"].to_pylist()])
    members: dict[int, list[dict[str, Any]]] = {}
    kept: dict[int, bytes] = {}
    for row in shown.to_pylist():
        kept[row["group"]] = row["kept_uid"]
        facts = {name: row[name] for name in ("reason", "similarity", "oddness")}
        members.setdefault(row["group"], []).append({**_named(row["uid"], ids), **facts})
    found = [
        {"kept": _named(kept[group], ids), "n": len(members[group]) + 1, "pruned": members[group]}
        for group in place[largest].tolist()
    ]
    return {"n_groups": len(place), "n_pruned": len(rows), "groups": found}


def _named(uid: bytes, ids: dict[bytes, dict[str, Any]]) -> dict[str, Any]:
    return {"uid": uid.hex(), "id": ids[uid]["id"]}
