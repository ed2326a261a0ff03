"""What made it: settings, versions, fingerprints, and how to make it again."""

from __future__ import annotations

from typing import Any

import tomlkit

from curation.pipeline.made_by import made_by, shown
from curation.pipeline.pipeline import Pipeline
from curation.pipeline.remembered import remembered, shareable
from curation.report.outcomes import Outcomes
from curation.steps.select.select import settings
from schemas.config import Config


def provenance(workspace: Pipeline, outcomes: Outcomes) -> dict[str, Any]:
    """`config` (TOML, what differs from the defaults), `model`, `versions`, `tables`, `command`.

    A table has `name`, `rows`, the `version` of its stage and its `fingerprint`.
    """
    store = workspace.store
    config = shown(shareable(remembered(store) or workspace.config))
    if outcomes.selected:
        config = config.override(settings(store.manifest("selection").stage["params"]))
    made = made_by(store)
    manifests = [store.manifest(table) for table in store.tables()]
    return {
        "config": tomlkit.dumps(_plain(config, outcomes)),
        "model": config.embed.model if "image_vectors" in made["stages"] else None,
        "versions": dict(sorted(made["versions"].items())),
        "tables": [
            {
                "name": each.table,
                "rows": each.rows,
                "version": each.stage.get("version"),
                "fingerprint": each.fingerprint,
            }
            for each in manifests
        ],
        "command": "curate select"
        if outcomes.selected
        else "curate prune"
        if outcomes.pruned
        else "curate ingest",
    }


def _plain(config: Config, outcomes: Outcomes) -> dict[str, Any]:
    tree = config.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    # Model and strategy are named even where they are the defaults, which may be others one day.
    tree["embed"] = {"model": config.embed.model, **tree.get("embed", {})}
    if outcomes.selected:
        tree["select"] = {"strategy": config.select.strategy, **tree.get("select", {})}
    return tree
