"""What the stages of a run still have to do and how long that takes: by past runs here, if any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from curation.executor.planner import State
from curation.models.spec import BUILTIN, TINY
from curation.storage.files import Location
from curation.storage.journal import entries
from curation.storage.store import Store

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
    "answers": 2000,
    "neighbours": 5000,
    "copy_cosines": 25,  # pictures, each with its copies
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
FEW_COPIED = 128  # pictures that `copy_cosines` takes, where nobody knows yet
# Their rows are not those they read, so the log's rows say nothing about their speed.
NO_HISTORY = ("mismatch", "answer_ridges", "openings", "words", "centroids", "probes", "neighbours", "pruned")


@dataclass(frozen=True)
class Expected:
    """What a stage has still to do, and the seconds and bytes that this may take."""

    stage: str
    state: str
    shards: int | None
    shards_to_do: int | None
    rows: int
    seconds: float
    bytes: int


def expected(
    states: Sequence[State], store: Store, model: str, n_samples: int, *, same_model: bool
) -> list[Expected]:
    """For each stage; what is not known yet is taken as one image a sample.

    Args:
        states: how far the stages are.
        store: where they are, with a log of what past runs took.
        model: `--model`.
        n_samples: in the pool.
        same_model: what the log says of embedding is about this model.
    """
    measured = history(store.root)
    if not same_model:
        measured = {table: rate for table, rate in measured.items() if table not in LARGE_RATES}
    rates = {**RATES, **BUILTIN_RATES.get(model, LARGE_RATES), **measured}
    dim = BUILTIN_DIM if model in BUILTIN_RATES else 512
    todo = {state.stage: _rows(state, store, n_samples) for state in states}
    if todo.get("image_vectors"):
        rates["images"] = float("inf")  # embedded as they are loaded, at the rate of image_vectors
    return [_expected(state, todo[state.stage], rates, dim) for state in states]


def _rows(state: State, store: Store, n_samples: int) -> int:
    """The rows that are still to be computed."""
    if state.state == "fresh":
        return 0
    name, table = state.stage.removeprefix(BESIDE), None
    if name == "copy_cosines":
        sample = store.find("copy_sample")
        return sample.rows if sample else min(n_samples, FEW_COPIED)
    if name in OF_IMAGES:
        table = "distinct_images"
    elif name in OF_CHUNKS:
        table = state.stage.replace(name, "distinct_chunks")
    manifest = store.find(table) if table else None
    total = manifest.rows if manifest else n_samples
    return round(total * (1 - state.done / state.shards)) if state.shards else total


def _expected(state: State, rows: int, rates: Mapping[str, float], dim: int) -> Expected:
    name = state.stage.removeprefix(BESIDE)
    if name != state.stage:
        usual = {**RATES, **TOWER_RATES}.get(name, OTHER_RATE)
        rates, dim = {**rates, state.stage: rates.get(state.stage, usual)}, BUILTIN_DIM
    size = VECTOR_SIZES[name] * dim if name in VECTOR_SIZES else SIZES.get(name, OTHER_SIZE)
    return Expected(
        state.stage,
        state.state,
        state.shards,
        None if state.shards is None else state.shards - state.done,
        rows,
        rows / rates.get(state.stage, OTHER_RATE),
        rows * size,
    )


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
