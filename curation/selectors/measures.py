"""What a selection is like, without training on it: coverage, redundancy, balance, scores. Arrays only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.selectors.order import groups_of, numbers

if TYPE_CHECKING:
    import polars as pl

Ints = NDArray[np.int64]

# Rows that distances are measured for; more are a uniform sample of these many.
MEASURED = 16384
CHUNK = 1024
COPY = 0.95  # cosine from which on a pick repeats another one


def nearest(
    rows: NDArray[np.float32], among: NDArray[np.float32], own: Ints | None = None
) -> NDArray[np.float64]:
    """The highest cosine of each row to one of `among`: (n, d), (k, d) -> (n,).

    Args:
        rows: on the grid, as `among`.
        among: the picks, at least one.
        own: (n,) the place of each row itself in `among`, which does not count.
    """
    found = np.empty(len(rows))
    for start in range(0, len(rows), CHUNK):
        products = rows[start : start + CHUNK] @ among.T
        if own is not None:
            products[np.arange(len(products)), own[start : start + CHUNK]] = -1.0
        found[start : start + CHUNK] = products.max(axis=1)
    return found


def coverage(vectors: NDArray[np.float32], groups: Ints, picks: Ints, measured: Ints) -> dict[str, float]:
    """How far the pool lies from the picks: 1 - cosine to the nearest, mean and worst of rows and clusters.

    Args:
        vectors: (n, d) joint vectors of the pool, on the grid.
        groups: (n,) cluster of each row.
        picks: rows.
        measured: rows that count.
    """
    if not len(picks):
        return {}
    distance = 1.0 - nearest(vectors[measured], vectors[picks])
    ids = groups[measured]
    sizes = np.bincount(ids)
    means = (np.bincount(ids, distance) / np.maximum(sizes, 1))[sizes > 0]
    return {
        "mean_distance": float(distance.mean()),
        "worst_distance": float(distance.max()),
        "worst_cluster_distance": float(means.max()),
        "n_clusters_without": len(np.setdiff1d(np.unique(groups), groups[picks])),
    }


def redundancy(vectors: NDArray[np.float32], picks: Ints, drawn: Ints) -> dict[str, float]:
    """How alike the picks are: mean cosine to the nearest other pick, and the share that repeats one.

    `drawn` are places in `picks` that count.
    """
    if len(picks) < 2:
        return {}
    among = vectors[picks]
    closest = nearest(among[drawn], among, drawn)
    return {"mean_similarity": float(closest.mean()), "repeated_share": float((closest >= COPY).mean())}


def entropy(groups: Ints, picks: Ints) -> float:
    """Bits of the distribution of the picks over groups."""
    counts = np.bincount(groups[picks]).astype(np.float64)
    share = counts[counts > 0] / max(len(picks), 1)
    # In this order 0 stays 0 and does not become -0.
    return float(max(0.0, -(share * np.log2(share)).sum()))


def balance(table: pl.DataFrame, picks: Ints) -> dict[str, float]:
    """Entropies over sources and clusters, and over capabilities and styles where they are scored."""
    import polars as pl

    found = {f"bits_{name}": entropy(groups_of([table[name]])[0], picks) for name in ("source", "cluster")}
    for kind, name in (("cap", "capability"), ("style", "style")):
        columns = [column for column in table.columns if column.startswith(f"{kind}_")]
        if columns:
            scores = np.nan_to_num(np.stack([numbers(table[column]) for column in columns]), nan=-np.inf)
            highest = pl.Series(np.where(np.isneginf(scores).all(axis=0), -1, scores.argmax(axis=0)))
            found[f"bits_{name}"] = entropy(groups_of([highest])[0], picks)
    return found


def mean_scores(table: pl.DataFrame, columns: Sequence[str], picks: Ints) -> dict[str, float]:
    """The mean of each column over the picks that have a value."""
    found = {}
    for name in columns:
        values = numbers(table[name])[picks]
        if not np.isnan(values).all():
            found[f"mean_{name}"] = float(np.nanmean(values))
    return found


def defects(kinds: Mapping[str, Sequence[tuple[int, int]]], picks: Ints, n: int) -> dict[str, int]:
    """How many picks carry each kind of planted defect.

    `kinds`: by kind, (row, row of the original or -1): a copy counts only beside its original. `n` rows.
    """
    kept = np.zeros(n, bool)
    kept[picks] = True
    return {
        kind: sum(bool(kept[row]) and (original < 0 or bool(kept[original])) for row, original in rows)
        for kind, rows in kinds.items()
    }
