"""The gate: bounds of ratios of the quick set that hold on a noisy machine of two cores.

Both sides of a ratio run in turn on the same machine, so what is slow there is slow for both. The bounds
are generous: they catch a kernel that has lost its point, not one a tenth slower.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Bound(NamedTuple):
    """At least or at most so much; None: not bounded."""

    least: float | None = None
    most: float | None = None


BOUNDS: dict[str, dict[str, Bound]] = {
    "neardup": {
        "cluster_4000x256.speed_ratio_vs_full": Bound(least=0.7),
        "cluster_4000x256.memory_ratio_vs_full": Bound(most=0.8),
        "pool_20000x256.k100.recall_of_planted": Bound(least=0.95),
    },
    "kmeans": {
        "40000x256.k200.time_ratio_vs_faiss": Bound(most=2.0),
        "40000x256.k200.wss_ratio_vs_faiss": Bound(most=1.01),
    },
    "embed": {"builtin.ratio_vs_plain_loop": Bound(least=1.5)},
}
"""By benchmark and figure."""


def missed(result: dict[str, Any]) -> list[str]:
    """What of a result is out of bounds or not there at all, a line each."""
    lines = []
    for figure, bound in BOUNDS.get(result["name"], {}).items():
        value = result["figures"].get(figure)
        if value is None:
            lines.append(f"{result['name']} {figure} was not measured")
        elif bound.least is not None and value < bound.least:
            lines.append(f"{result['name']} {figure} {value:.3f}, at least {bound.least}")
        elif bound.most is not None and value > bound.most:
            lines.append(f"{result['name']} {figure} {value:.3f}, at most {bound.most}")
    return lines
