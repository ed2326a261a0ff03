"""A flat map of the embedding space: the two directions in which the vectors vary most (PCA)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from clustering.vectors import joint
from curation.report.columns import figures, in_order, values
from curation.report.outcomes import Outcomes
from curation.report.records import Ints
from curation.report.sources import source_numbers
from curation.storage.rows import gather, located, vectors
from curation.storage.sampling import smallest
from schemas.stages import Pool

Floats = NDArray[np.float64]

POINTS = 50_000
FITTED = 10_000  # points that the directions follow from
BLOCK = 4096  # vectors that are held at once
AXES = 2
NONE = 0xFFFF
OUTSIDE = (0.002, 0.998)  # quantiles beyond which points lie on the edge


def points(pool: Pool, limit: int = POINTS) -> Ints | None:
    """The positions of at most `limit` readable samples, sorted; None where nothing is embedded."""
    if pool.find("vectors") is None or pool.manifest("vectors").sizes != pool.manifest("checked").sizes:
        return None
    shards, rows = smallest(
        pool.iterate("checked", ["uid", "error"]), limit, lambda shard: pc.is_null(shard["error"])
    )
    starts = np.cumsum([0, *pool.manifest("checked").sizes])
    return np.sort(starts[shards] + rows)


def space(pool: Pool, outcomes: Outcomes, at: Ints) -> dict[str, Any]:
    """Columns of the points at positions `at`, packed by `packed`, and what each is.

    `x`, `y`, `cluster`, `source`, `outcome`; `scores`: a figure each with `name`, `label`, `table` and
    `values`; `explained`: the share of the variance that either axis holds.
    """
    flat, explained = projected(pool, at)
    names, source = source_numbers(pool)
    clusters = _clusters(pool, len(outcomes.code))
    return {
        "n": len(at),
        "n_pool": int(outcomes.readable.sum()),
        "x": packed(flat[:, 0]),
        "y": packed(flat[:, 1]),
        "explained": explained,
        "cluster": None if clusters is None else numbers(clusters[at]),
        "sources": names[:NONE],
        "source": numbers(np.minimum(source[at], NONE - 1)),
        "outcome": numbers(outcomes.code[at].astype(np.int64)),
        "scores": _scores(pool, at),
    }


def _scores(pool: Pool, at: Ints) -> list[dict[str, Any]]:
    found = {}
    for figure, whole in values(pool, figures(pool)):
        held = whole[at]
        known = held[np.isfinite(held)]
        if len(known) and known.min() < known.max():
            about = {"name": figure.name, "label": figure.label, "table": figure.table, "unit": figure.unit}
            found[figure] = {**about, **packed(held)}
    return [found[figure] for figure in in_order(found)]


def _clusters(pool: Pool, n: int) -> Ints | None:
    if pool.find("clusters") is None or pool.manifest("clusters").rows != n:
        return None
    column = pool.read("clusters", ["cluster"])["cluster"]
    found: Ints = column.cast(pa.int64()).fill_null(NONE).to_numpy()
    return found


def projected(pool: Pool, at: Ints) -> tuple[Floats, list[float]]:
    """(n, 2) the points at positions `at` on the first two principal axes, and the variance of either.

    The axes follow from at most FITTED of them; each points to where its largest weight is positive.
    """
    some = at[np.linspace(0, len(at) - 1, min(len(at), FITTED)).astype(np.int64)] if len(at) else at
    fitted = np.concatenate(list(_rows(pool, some))) if len(some) else np.zeros((0, AXES), np.float32)
    if len(fitted) <= AXES:
        return np.zeros((len(at), AXES)), [0.0] * AXES
    from scipy.linalg import eigh

    mean = fitted.mean(axis=0, dtype=np.float64)
    centred = fitted - mean.astype(np.float32)
    # One thread: how many there are would show in the last bits.
    with threadpool_limits(1):
        covariance = (centred.T @ centred).astype(np.float64) / len(centred)
        top = len(covariance) - 1
        spread, directions = eigh(covariance, subset_by_index=[top - AXES + 1, top])
        axes = directions[:, ::-1]
        axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(AXES)])
        flat = np.concatenate([(block - mean) @ axes for block in _rows(pool, at)])
    low, high = np.quantile(flat, OUTSIDE, axis=0)
    explained = (spread[::-1] / max(np.trace(covariance), 1e-12)).tolist()
    return np.clip(flat, low - (high - low) / 10, high + (high - low) / 10), explained


def _rows(pool: Pool, at: Ints) -> Iterator[NDArray[np.float32]]:
    """The vectors at positions `at`, image and text as one, BLOCK at a time."""
    sizes = pool.manifest("vectors").sizes
    nearest = pool.find("nearest")
    weight = (nearest.stage["params"].get("image_weight") if nearest else None) or 0.5
    for start in range(0, len(at), BLOCK):
        shards, rows = located(sizes, at[start : start + BLOCK])
        table = gather(pool.paths("vectors"), shards, rows, ["image", "text"])
        image, text = (vectors(table[name]) for name in ("image", "text"))
        yield joint(image, text, image_weight=weight)


def packed(column: NDArray[np.floating]) -> dict[str, Any]:
    """Numbers as 16 bits each, in base64: value = low + bits * (high - low) / 65534, and 65535 for none."""
    known = np.isfinite(column)
    low, high = (float(column[known].min()), float(column[known].max())) if known.any() else (0.0, 0.0)
    share = (np.where(known, column, low).astype(np.float64) - low) / ((high - low) or 1.0)
    return {"low": low, "high": high, "bits": _base64(np.where(known, np.rint(share * (NONE - 1)), NONE))}


def numbers(column: Ints) -> str:
    """Whole numbers below 65,536 as 16 bits each, in base64."""
    return _base64(column)


def _base64(column: NDArray[Any]) -> str:
    return base64.b64encode(column.astype("<u2").tobytes()).decode("ascii")
