"""What the default filters and the search for duplicates went by, as it was measured on this pool."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from curation.steps.select.filters import clauses
from schemas.stages import Pool

MOST = 200  # groups that have a row


def measured(pool: Pool) -> dict[str, Any] | None:
    """`clauses`, and the groups of `alignment` and `near_duplicates`; None before a selection or pruning.

    A clause has its `text`, whether it is a `default`, and `n`, the samples that fail it first. Groups are
    rows of `filters` and `copy_eps`, those that decide most first; `n_groups` says of how many.
    """
    found = {"clauses": _clauses(pool), "alignment": _alignment(pool), "near_duplicates": _copies(pool)}
    return found if any(found.values()) else None


def _clauses(pool: Pool) -> list[dict[str, Any]]:
    selection = pool.find("selection")
    if selection is None:
        return []
    params = selection.stage["params"]
    counted = pc.value_counts(pool.read("selection", ["clause"])["clause"].drop_null()).to_pylist()
    counts = {each["values"]: each["counts"] for each in counted}
    named = [(clause.text, False) for clause in clauses(params["where"])]
    named += [(text, True) for text in params["filters"]]
    return [{"text": text, "default": default, "n": counts.get(text, 0)} for text, default in named]


def _alignment(pool: Pool) -> dict[str, Any] | None:
    manifest = pool.find("filters")
    if manifest is None:
        return None
    groups = [row for row in pool.read("filters").to_pylist() if row["clusters"] is not None]
    deciding = [row for row in groups if row["threshold"] is not None]
    groups.sort(key=lambda row: (row["threshold"] is None, -row["left_out"], -(row["low"] or 0.0)))
    return {
        "n_groups": len(groups),
        "n_deciding": len(deciding),
        "left_out": sum(row["left_out"] for row in deciding),
        "groups": groups[:MOST],
        **manifest.stage["params"],
    }


def _copies(pool: Pool) -> dict[str, Any] | None:
    pruned = pool.find("pruned")
    if pruned is None or pruned.stage["params"].get("eps", 0) is not None or pool.find("copy_eps") is None:
        return None
    groups = [row for row in pool.read("copy_eps").to_pylist() if row["n_samples"]]
    told = [row for row in groups if row["eps"] is not None]
    groups.sort(key=lambda row: (row["eps"] is None, -(row["eps"] or 0), -row["n_samples"]))
    return {"n_groups": len(groups), "n_deciding": len(told), "groups": groups[:MOST]}
