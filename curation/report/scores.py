"""Distributions of scores, the pool beside what is kept, and the lines at which filters cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.report.columns import FIRST, Figure, figures, values
from curation.report.outcomes import Outcomes
from curation.steps.select.filters import clauses
from schemas.stages import Pool

BINS = 40
INSIDE = (0.005, 0.995)  # quantiles between which most scores lie; what is beyond counts in the outer bins
WHOLE = 25  # of whole numbers that lie closer together, each has its own bin
LINES = 12  # thresholds of groups that are drawn
SIGNS = {"<=": "≤", ">=": "≥"}
CUT = re.compile(
    r"\s*(\w+)\s*(<=|>=|<|>|=)\s*(-?\d+(?:\.\d+)?)\s*(?:or\s+\w+\s+is\s+null\s*)?", re.IGNORECASE
)


def scores(pool: Pool, outcomes: Outcomes) -> list[dict[str, Any]]:
    """A distribution of each figure that varies, what people look at first, then what is cut.

    Of each `name`, `label`, `table`, `unit`, `better`; `edges` (m + 1,), and the samples between them in the
    readable `pool` and among those `kept`; `n_null` of the readable; `mean` and `mean_kept`; `cuts`: lines as
    (`at`, `text`).
    """
    lines = cuts(pool)
    found = []
    for figure, held in values(pool, figures(pool)):
        drawn = _drawn(figure, held[outcomes.readable], held[outcomes.kept & outcomes.readable])
        if drawn is not None:
            found.append({**drawn, "cuts": lines.get(figure.name, [])})
    place = {name: at for at, name in enumerate(FIRST)}
    return sorted(found, key=lambda drawn: (place.get(drawn["name"], len(FIRST)), not drawn["cuts"]))


def _drawn(figure: Figure, pool: NDArray[np.float32], kept: NDArray[np.float32]) -> dict[str, Any] | None:
    known, own = pool[np.isfinite(pool)], kept[np.isfinite(kept)]
    if not len(known) or known.min() == known.max():
        return None
    edges = _edges(known)
    return {
        "name": figure.name,
        "label": figure.label,
        "table": figure.table,
        "unit": figure.unit,
        "better": figure.better,
        "edges": [float(f"{edge:.6g}") for edge in edges],
        "pool": _counted(known, edges),
        "kept": _counted(own, edges),
        "n_null": int(len(pool) - len(known)),
        "mean": float(known.mean(dtype=np.float64)),
        "mean_kept": float(own.mean(dtype=np.float64)) if len(own) else None,
    }


def _edges(known: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of bins that hold almost all; of few whole numbers, each in the middle of its own."""
    low, high = (float(edge) for edge in np.quantile(known, INSIDE))
    if low == high:
        low, high = float(known.min()), float(known.max())
    if high - low <= WHOLE and not np.any(known != np.rint(known)):
        return np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
    return np.linspace(low, high, BINS + 1)


def _counted(known: NDArray[np.float32], edges: NDArray[np.float64]) -> list[int]:
    at = np.clip(np.searchsorted(edges, known, side="right") - 1, 0, len(edges) - 2)
    found: list[int] = np.bincount(at, minlength=len(edges) - 1).tolist()
    return found


def cuts(pool: Pool) -> dict[str, list[dict[str, Any]]]:
    """Of each column the lines at which the selection cut it: `at`, and a `text` such as ≥ 1."""
    selection = pool.find("selection")
    if selection is None:
        return {}
    params = selection.stage["params"]
    found: dict[str, list[dict[str, Any]]] = {}
    for text in [*(clause.text for clause in clauses(params["where"])), *params["filters"]]:
        match = CUT.fullmatch(text)
        if match:
            name, sign, number = match.groups()
            line = {"at": float(number), "text": f"{SIGNS.get(sign, sign)} {number}"}
            found.setdefault(name, []).append(line)
    if params["filters"] and pool.find("filters") is not None:
        found["alignment"] = [*found.get("alignment", []), *_floors(pool)]
    return {name: lines for name, lines in found.items() if lines}


def _floors(pool: Pool) -> list[dict[str, Any]]:
    """The thresholds of the groups in which alignment decides, the lowest first; of many some."""
    rows = pool.read("filters", ["clusters", "threshold"]).to_pylist()
    held = sorted({row["threshold"] for row in rows if row["clusters"] and row["threshold"] is not None})
    picked: Sequence[float] = held
    if len(held) > LINES:
        picked = [held[at] for at in np.linspace(0, len(held) - 1, LINES).astype(int).tolist()]
    return [{"at": at, "text": f"≥ {at:.2f} in a group"} for at in picked]
