"""How long the chain would take over data that was only looked at."""

from __future__ import annotations

from typing import Any

from curation.pipeline.rates import BUILTIN_RATES, LARGE_RATES, OTHER_RATE, RATES
from schemas.config import Config

# The tables of each step without flags, as `curate select --dry-run` lists them.
TABLES = {
    "embed": ("image_vectors", "chunks", "distinct_chunks", "chunk_vectors", "vectors"),
    "score": (
        *("cosines", "mismatch", "alignment", "hygiene", "text_flags", "openings", "quality", "capability"),
        *("answer_ridges", "answers"),
    ),
    "cluster": ("centroids", "nearest", "clusters", "firsts", "probes"),
    "prune": (
        *("visits", "neighbours", "look_alikes", "suspects", "looks", "copy_sample", "copy_cosines"),
        *("copy_eps", "near_suspects", "near_looks", "pruned"),
    ),
    "select": ("filters", "selection"),
}
INGEST = ("distinct_images", "checked")  # besides reading, which is measured
BY = (
    "ingest by what reading took here; the rest by rates of `curate select --dry-run`, measured once on 2 "
    "cores with 8,205 real records, and not on this machine"
)


def estimate(
    config: Config, *, n_samples: int, n_images: int, n_chunks: int, reading: float
) -> dict[str, Any]:
    """Seconds by step with the model of the settings. `reading` are the seconds that it took here.

    Images are decoded while they are embedded.
    """
    model = config.embed.model
    rates = {**RATES, **BUILTIN_RATES.get(model, LARGE_RATES)}
    rows = {"image_vectors": n_images, "chunk_vectors": n_chunks}
    steps = {"ingest": reading + sum(n_samples / rates.get(table, OTHER_RATE) for table in INGEST)}
    for step, tables in TABLES.items():
        steps[step] = sum(rows.get(table, n_samples) / rates.get(table, OTHER_RATE) for table in tables)
    return {
        "model": model,
        "steps": {step: round(seconds, 1) for step, seconds in steps.items()},
        "seconds": round(sum(steps.values()), 1),
        "by": BY,
    }
