"""What `--dry-run` says: stages, shards to do, and an estimate of what they take, from past runs if any."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from curation.commands.endpoint_estimate import of_score
from curation.pipeline.pipeline import Pipeline
from curation.pipeline.rates import BESIDE, LARGE_RATES, expected
from curation.readers.sources import find_spans
from curation.steps.chain import chain, steps_of
from schemas.config import parse_bytes

LIBRARIES_GB = 1.2  # resident once torch and open_clip are imported, and a small model is loaded
DECISION_BYTES = 400  # a sample, in the narrow columns that a decision holds


def estimate(workspace: Pipeline, until: str) -> dict[str, Any]:
    """The plan up to step `until`. Computes nothing; what is not known yet it takes as one image a sample."""
    config, store = workspace.config, workspace.store
    states = workspace.states(until)
    spans = find_spans(config, store.root, workspace.base, workspace.progress)
    n_samples = sum(found.value.span.n_records for found in spans)
    model, same = config.embed.model, _same_model(workspace)
    todo = expected(states, store, model, n_samples, same_model=same)
    steps = steps_of(chain(workspace.context, until))
    plan = [
        {"step": steps[stage.stage], **asdict(stage), "seconds": round(stage.seconds, 1)} for stage in todo
    ]
    pending = any(stage["state"] != "fresh" for stage in plan)
    needs_model = any(stage["rows"] and stage["stage"].removeprefix(BESIDE) in LARGE_RATES for stage in plan)
    limit = parse_bytes(config.run.memory) / 1e9
    memory = (LIBRARIES_GB if needs_model else 0.2) + n_samples * DECISION_BYTES / 1e9 if pending else 0.0
    return {
        "until": until,
        "n_records": n_samples,
        "plan": plan,
        "seconds": round(sum(stage["seconds"] for stage in plan), 1),
        "memory_gb": round(memory, 2),
        "memory_limit_gb": limit,
        "disk_gb": round(sum(stage["bytes"] for stage in plan) / 1e9, 3),
        "endpoint": of_score(workspace, states, n_samples),
    }


def _same_model(workspace: Pipeline) -> bool:
    """Is what this workspace has measured of embedding about the model that is asked for?"""
    held = workspace.store.find("image_vectors")
    return held is None or held.stage["params"]["model"] == workspace.model.key
