"""How the page writes numbers and names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from curation.report.columns import labelled

WORDS = {
    "kept": "kept",
    "over_budget": "over budget",
    "not_decided": "not decided yet",
    "exact_duplicate": "exact copy",
    "pixel_duplicate": "same pixels",
    "near_duplicate": "near copy",
    "perceptual_duplicate": "altered copy",
    "flipped_duplicate": "mirrored copy",
    "redundant": "redundant",
    "over_target": "over the target",
    "filtered": "filtered out",
    "benchmark_leak": "leaks a benchmark",
    "dropped": "on a list of drops",
    "target": "is the target",
    "quarantined": "in quarantine",
}


def outcome(name: str) -> str:
    """What became of a sample, in words."""
    return WORDS.get(name, name.replace("_", " "))


def count(value: int | None) -> str:
    """1,234."""
    return "-" if value is None else f"{value:,}"


def share(value: float | None, of: float | None = None) -> str:
    """27.6%; with `of` the share of that."""
    if value is None or of == 0:
        return "-"
    part = value if of is None else value / of
    return f"{part:.1%}" if part >= 0.001 or part == 0 else "<0.1%"


def figure(value: float | None) -> str:
    """Three digits that count: 0.123, 12.3, 1,230."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """42 s, 3 min 12 s, 2 h 5 min."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def plural(n: int, one: str, many: str | None = None) -> str:
    """1 copy, 1,200 copies."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


FILTERS: dict[str, Callable[..., Any]] = {
    "outcome": outcome,
    "count": count,
    "share": share,
    "figure": figure,
    "duration": duration,
    "plural": plural,
    "label": labelled,
}
