"""What `--dry-run` says: stages, shards to do, and an estimate of what they take, from past runs if any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from curation.commands.endpoint_estimate import of_score
from curation.executor.planner import State
from curation.models.spec import BUILTIN, TINY
from curation.pipeline.pipeline import Pipeline
from curation.readers.sources import find_spans
from curation.storage.files import Location
from curation.storage.journal import entries
from schemas.config import parse_bytes

# Rows a second on 2 cores, measured once on 8,205 real records with `builtin:tiny` and rounded down: what an
# estimate starts from where this workspace has no history. Other stages are as fast as `OTHER_RATE`.
RATES = {
    "samples": 4000,
    "images": 800,
    "image_vectors": 400,
    "image_text": 4,  # charts and receipts; tables 18, photographs 60
    "text_agreement": 500,
    "chunks": 2500,
    "chunk_vectors": 1000,
    "neighbours": 5000,
}
OTHER_RATE = 4000
# Tables that the built-in CLIP fills beside those of another `--model`; they are as without the prefix.
BESIDE = "builtin_"
# The towers of `builtin` instead, in float32 (benchmarks/models.py: 141 images, 137 texts of 50 tokens).
TOWER_RATES: dict[str, float] = {"image_vectors": 140, "chunk_vectors": 140}
# A ViT-B-32 instead, with bf16 weights (benchmarks/embed.py: 72 images a second, 23 without).
LARGE_RATES = {"image_vectors": 60, "chunk_vectors": 150}
BUILTIN_RATES: dict[str, dict[str, float]] = {BUILTIN: TOWER_RATES, TINY: {}}
BUILTIN_DIM = 256
# Bytes a row on disk, of the same run; a unit vector takes 4 bytes a dimension.
SIZES = {
    "samples": 250,
    "images": 115,
    "image_text": 600,
    "checked": 90,
    "hygiene": 100,
    "chunks": 70,
    "capability": 100,
    "text_flags": 75,
    "quality": 80,
}
OTHER_SIZE = 35
VECTOR_SIZES = {"image_vectors": 4, "chunk_vectors": 4, "vectors": 8}
# Tables whose rows are pictures or pieces of text; of all others there is one a sample.
OF_IMAGES = ("images", "image_vectors", "image_text", "image_leaks")
OF_CHUNKS = ("chunk_vectors",)
# Their rows are not those they read, so the log's rows say nothing about their speed.
NO_HISTORY = ("mismatch", "openings", "words", "centroids", "probes", "neighbours", "pruned")
LIBRARIES_GB = 1.2  # resident once torch and open_clip are imported, and a small model is loaded
DECISION_BYTES = 400  # a sample, in the narrow columns that a decision holds


def estimate(workspace: Pipeline, until: str) -> dict[str, Any]:
    """The plan up to step `until`. Computes nothing; what is not known yet it takes as one image a sample."""
    config, store = workspace.config, workspace.store
    states = workspace.states(until)
    spans = find_spans(config, store.root, workspace.base, workspace.progress)
    n_samples = sum(found.value.span.n_records for found in spans)
    measured = history(store.root)
    if not _same_model(workspace):
        measured = {table: rate for table, rate in measured.items() if table not in LARGE_RATES}
    rates = {**RATES, **BUILTIN_RATES.get(config.embed.model, LARGE_RATES), **measured}
    dim = BUILTIN_DIM if config.embed.model in BUILTIN_RATES else 512
    todo = {state.stage: _rows(state, workspace, n_samples) for state in states}
    if todo.get("image_vectors"):
        rates["images"] = float("inf")  # embedded as they are loaded, at the rate of image_vectors
    plan = [_stage(state, todo[state.stage], rates, dim) for state in states]
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


def _rows(state: State, workspace: Pipeline, n_samples: int) -> int:
    """The rows that are still to be computed."""
    if state.state == "fresh":
        return 0
    name, table = state.stage.removeprefix(BESIDE), None
    if name in OF_IMAGES:
        table = "distinct_images"
    elif name in OF_CHUNKS:
        table = state.stage.replace(name, "distinct_chunks")
    manifest = workspace.store.find(table) if table else None
    total = manifest.rows if manifest else n_samples
    return round(total * (1 - state.done / state.shards)) if state.shards else total


def _stage(state: State, rows: int, rates: Mapping[str, float], dim: int) -> dict[str, Any]:
    name = state.stage.removeprefix(BESIDE)
    if name != state.stage:
        usual = {**RATES, **TOWER_RATES}.get(name, OTHER_RATE)
        rates, dim = {**rates, state.stage: rates.get(state.stage, usual)}, BUILTIN_DIM
    size = VECTOR_SIZES[name] * dim if name in VECTOR_SIZES else SIZES.get(name, OTHER_SIZE)
    return {
        "stage": state.stage,
        "state": state.state,
        "shards": state.shards,
        "shards_to_do": None if state.shards is None else state.shards - state.done,
        "rows": rows,
        "seconds": round(rows / rates.get(state.stage, OTHER_RATE), 1),
        "bytes": rows * size,
    }


def history(root: Location) -> dict[str, float]:
    """Rows a second by table in the store at `root`, from the times between the commits of each process.

    Images are measured as they are loaded for the encoder: the first table to commit is charged with the
    time, so it is added to the second.
    """
    rows: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for table, n, took in _commits(root):
        rows[table] = rows.get(table, 0) + n
        seconds[table] = seconds.get(table, 0.0) + took
    if rows.get("images") and "image_vectors" in seconds:
        seconds["image_vectors"] += seconds["images"] * rows["image_vectors"] / rows["images"]
    told = [table for table, n in rows.items() if n and table not in NO_HISTORY]
    return {table: rows[table] / max(seconds[table], 1e-3) for table in told}


def _commits(root: Location) -> Iterable[tuple[str, int, float]]:
    last: dict[int, float] = {}
    for entry in entries(root):
        before = last.get(entry["pid"])
        last[entry["pid"]] = entry["time"]
        if before is not None and entry["event"] == "commit":
            yield entry["table"], entry["rows"], entry["time"] - before
