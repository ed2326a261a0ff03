"""Capabilities and styles: the pool, what is kept, and what as many samples drawn by chance would have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.catalog import current_tables
from curation.report.columns import Figure, values
from curation.report.outcomes import Flags, Outcomes
from schemas.stages import Pool
from scorers.taxonomy import CAPABILITIES, CAPABILITY_COLUMNS, STYLE_COLUMNS, STYLES

TABLE = "capability"
DEVIATIONS = 2.0  # of the means of random subsets: 95 % of them are within


def coverage(pool: Pool, outcomes: Outcomes) -> dict[str, Any] | None:
    """`capabilities` and `styles`, a row a name; None where nothing is scored.

    Of each `name`, `about`, the mean over the `pool` (readable, scored) and over what is `kept` (None before
    a selection), and `low` and `high`: between them 95 % of the means of random subsets of that size.
    """
    if TABLE not in current_tables(pool):
        return None
    asked = [Figure(column, TABLE) for column in (*CAPABILITY_COLUMNS, *STYLE_COLUMNS)]
    means = {figure.name: _means(held.astype(np.float64), outcomes) for figure, held in values(pool, asked)}
    rows = {
        kind: [
            {"name": name, "about": about, **means[column]}
            for column, (name, about) in zip(columns, glosses.items(), strict=True)
        ]
        for kind, columns, glosses in (
            ("capabilities", CAPABILITY_COLUMNS, CAPABILITIES),
            ("styles", STYLE_COLUMNS, STYLES),
        )
    }
    n_scored = max((row["n"] for kind in rows.values() for row in kind), default=0)
    return {**rows, "n_scored": n_scored} if n_scored else None


def _means(held: NDArray[np.float64], outcomes: Outcomes) -> dict[str, Any]:
    there: Flags = np.isfinite(held) & outcomes.readable
    n, n_kept = int(there.sum()), int((there & outcomes.kept).sum())
    if not n:
        return {"n": 0, "pool": None, "kept": None, "low": None, "high": None}
    mean, deviation = held[there].mean(), held[there].std()
    if not outcomes.selected or not n_kept:
        return {"n": n, "pool": float(mean), "kept": None, "low": None, "high": None}
    # Of a subset drawn without putting back.
    far = DEVIATIONS * deviation * np.sqrt((n - n_kept) / max(n - 1, 1) / n_kept)
    return {
        "n": n,
        "pool": float(mean),
        "kept": float(held[there & outcomes.kept].mean()),
        "low": float(max(mean - far, 0)),
        "high": float(mean + far),
    }
