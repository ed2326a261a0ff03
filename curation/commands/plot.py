"""A comparison as a picture (SVG): a panel a figure, a bar a selection, random's mean and deviation."""

from __future__ import annotations

from html import escape
from typing import Any

PANELS = {
    "mean_distance": "mean distance of the pool (lower covers more)",
    "worst_cluster_distance": "distance of the worst cluster",
    "mean_similarity": "similarity of picks to each other",
    "repeated_share": "share of picks that repeat one",
    "bits_source": "bits over sources",
    "bits_cluster": "bits over clusters",
    "bits_capability": "bits over capabilities",
    "bits_style": "bits over styles",
    "mean_alignment": "mean alignment",
    "mean_synthetic_quality": "mean synthetic quality",
    "defect_share": "share of planted defects",
}
WIDTH, BAR, GAP, LABEL, TOP = 420, 16, 6, 190, 34
COLUMNS = 2


def plot(tree: dict[str, Any]) -> str:
    """The SVG of what `curation.commands.compare.compare` returns."""
    selections, random = tree["selections"], tree["random"]
    names = [name for name in PANELS if any(name in chosen for chosen in selections)]
    height = TOP + len(selections) * (BAR + GAP) + 16
    parts = [
        _panel(name, selections, random, x=(at % COLUMNS) * (WIDTH + 20), y=(at // COLUMNS) * height)
        for at, name in enumerate(names)
    ]
    whole = -(-len(names) // COLUMNS) * height
    size = f'width="{COLUMNS * (WIDTH + 20)}" height="{whole}"'
    style = 'font-family="sans-serif" font-size="12"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{"".join(parts)}</svg>\n'


def _panel(name: str, selections: list[dict[str, Any]], random: dict[str, Any], *, x: int, y: int) -> str:
    mean = random.get("mean", {}).get(name)
    far = random.get("deviation", {}).get(name, 0.0)
    values = [chosen.get(name) for chosen in selections]
    known = [value for value in (*values, None if mean is None else mean + far) if value is not None]
    scale = (WIDTH - LABEL - 60) / (max([abs(value) for value in known], default=1.0) or 1.0)
    lines = [
        f'<g transform="translate({x},{y})"><text x="0" y="18" font-weight="bold">{PANELS[name]}</text>\n'
    ]
    bottom = TOP + len(selections) * (BAR + GAP) - GAP
    if mean is not None:
        left, wide = LABEL + max(mean - far, 0) * scale, max(2 * far * scale, 1.5)
        box = f'x="{left:.1f}" y="{TOP - 4}" width="{wide:.1f}" height="{bottom - TOP + 8}"'
        lines.append(
            f'<rect {box} fill="#e0a030" opacity="0.5"><title>random: {mean:.4g} ± {far:.2g}</title></rect>\n'
        )
    for row, (chosen, value) in enumerate(zip(selections, values, strict=True)):
        top = TOP + row * (BAR + GAP)
        lines.append(f'<text x="0" y="{top + 12}">{escape(chosen["name"][:30])}</text>\n')
        if value is not None:
            box = f'x="{LABEL}" y="{top}" width="{max(abs(value) * scale, 1):.1f}" height="{BAR}"'
            lines.append(f'<rect {box} fill="#4a7ab0" opacity="0.8"/>')
            lines.append(
                f'<text x="{LABEL + abs(value) * scale + 6:.1f}" y="{top + 12}">{value:.4g}</text>\n'
            )
    return "".join([*lines, "</g>\n"])
