"""Skill clusters as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs.text import line, table

SPARE = (7, 6, 3, 2, 8)  # columns, those that say least by themselves first
BAR = 30  # characters of the longest bar of the curve


def clusters(found: dict[str, Any]) -> Iterator[str]:
    """The clusters as a table, the curve that their number comes from, and how good they are."""
    head = ("cluster", "size", "density", "spread", "about", "capability", "style", "near", "for example")
    scored = any(cluster["capability"] for cluster in found["clusters"])
    shown = [place for place, name in enumerate(head) if scored or name not in ("capability", "style")]
    rows = [_row(cluster) for cluster in found["clusters"]]
    cells = [[row[place] for place in shown] for row in rows]
    spare = [shown.index(place) for place in SPARE if place in shown]
    yield from table([head[place] for place in shown], cells, right=(0, 1, 2, 3), spare=spare)
    yield ""
    yield line(
        "clusters", f"{found['n_clusters']:,} of {found['n_samples']:,} samples, by {found['vectors']}"
    )
    if found["n_clusters"] > len(rows):
        yield line("", f"{len(rows):,} are listed; more with --limit {found['n_clusters']}")
    yield line("", "density: mean cosine to the centre; spread: the angle that holds 90 %")
    yield from _curve(found["curve"])
    if found["quality"]:
        yield from _quality(found["quality"])
    for against in found["against"]:
        yield line(
            "against",
            f"{against['column']}: purity {against['purity']:.3f}, adjusted Rand index {against['ari']:.3f} "
            f"({against['n_classes']:,} values in {against['n_samples']:,} samples)",
        )


def _row(cluster: dict[str, Any]) -> tuple[str, ...]:
    examples = [example["id"] or example["uid"][:8] for example in cluster["examples"][:1]]
    return (
        f"{cluster['cluster']}",
        f"{cluster['size']:,}",
        f"{cluster['density']:.3f}",
        f"{cluster['spread']:.0f}°",
        cluster["label"],
        cluster["capability"] or "",
        cluster["style"] or "",
        ", ".join(str(near["cluster"]) for near in cluster["nearest"]),
        ", ".join(examples),
    )


def _curve(curve: list[dict[str, Any]]) -> Iterator[str]:
    if not curve:
        return
    highest = max(point["wss"] for point in curve)
    yield ""
    rows = [
        (
            f"{point['k']:,}",
            f"{point['wss']:.4f}",
            "#" * round(BAR * point["wss"] / highest) + (" <- the knee" if point["chosen"] else ""),
        )
        for point in curve
    ]
    yield from table(("k", "wss", ""), rows, right=(0, 1))


def _quality(figures: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield line("tightness", f"{figures['wss']:.4f} mean squared distance to the centre (WSS a sample)")
    if figures["silhouette"] is not None:
        yield line("silhouette", f"{figures['silhouette']:.3f} over {figures['n_sampled']:,} samples")
    again = f"adjusted Rand index over {figures['n_reseeded']} other seeds"
    yield line("stability", f"{figures['stability']:.3f} {again}")
    yield line("largest", f"{figures['largest']:,} samples")
