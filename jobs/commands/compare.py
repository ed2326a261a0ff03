"""The command that puts selections side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from jobs.completing import completed
from jobs.flags import command
from jobs.options import SPEAKING
from jobs.session import Session
from jobs.text import line, table
from schemas.flags import TAKES


@command(*TAKES["compare"], *SPEAKING)
@click.argument("names", nargs=-1, metavar="[A B...]", shell_complete=completed)
@click.option(
    "--random",
    "n_random",
    default=5,
    show_default=True,
    type=click.IntRange(min=0),
    help="Random subsets to compare with.",
)
@click.option("--truth", multiple=True, metavar="[NAME=]FILE", help="truth.json of planted defects; repeats.")
@click.option("--out", metavar="DIR", help="Where to write compare.json and a plot, compare.svg.")
@click.pass_obj
def compare(
    session: Session, names: tuple[str, ...], n_random: int, truth: tuple[str, ...], out: str | None
) -> None:
    """Compare selections without training.

    Each of A, B, … is a strategy, a file of ids, or `selection`, which is the one there is. Shows coverage,
    redundancy, balance and scores beside random subsets of all readable records.

    \b
    Example:
        curate compare
        curate compare adapt top:alignment kcenter --budget 20% --random 3
    """
    session.show(session.workspace().compare(*names, n_random=n_random, truth=truth, out=out), shown)


ROWS = {
    "n_selected": "samples",
    "seconds": "seconds to choose",
    "mean_distance": "mean distance of the pool",
    "worst_distance": "worst distance",
    "worst_cluster_distance": "worst cluster's distance",
    "n_clusters_without": "clusters without a pick",
    "n_sources_without": "sources without a pick",
    "mean_similarity": "similarity to nearest pick",
    "repeated_share": "picks that repeat another",
    "bits_source": "bits over sources",
    "bits_cluster": "bits over clusters",
    "bits_capability": "bits over capabilities",
    "bits_style": "bits over styles",
    "defect_share": "share of planted defects",
}


def shown(tree: dict[str, Any]) -> Iterator[str]:
    """One column a selection, one row a figure; then the defects by kind."""
    selections, random = tree["selections"], tree["random"]
    scores = [name for name in selections[0] if name.startswith("mean_") and name not in ROWS]
    labels = {**ROWS, **{name: f"mean {name.removeprefix('mean_')}" for name in scores}}
    head = ["", *(chosen["name"] for chosen in selections), *(["random"] if random else [])]
    rows = []
    for name, label in labels.items():
        cells = [_number(chosen.get(name)) for chosen in selections]
        if random:
            mean = random["mean"].get(name)
            cells.append("" if mean is None else f"{_number(mean)} ± {_number(random['deviation'][name])}")
        if any(cells):
            rows.append([label, *cells])
    if tree["planted"]:
        rows.append(["", *("" for _ in head[1:])])
        for kind, planted in tree["planted"].items():
            cells = [f"{chosen['defects'][kind]:,}" for chosen in selections]
            cells += [_number(random["defects"][kind])] if random else []
            rows.append([f"{kind} (of {planted:,})", *cells])
    yield from table(head, rows, right=range(1, len(head)))
    yield ""
    yield line(
        "pool", f"{tree['n_readable']:,} readable records, {tree['n_candidates']:,} without duplicates"
    )
    if "out" in tree:
        yield line("wrote", f"{tree['out']}/compare.json and compare.svg")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    )
