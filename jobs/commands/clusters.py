"""The command that says what the skill clusters are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobs import show_clusters
from jobs.flags import command
from jobs.options import CLUSTER, RESOURCES, SPEAKING

if TYPE_CHECKING:
    from jobs.session import Session


@command(*CLUSTER, *RESOURCES, *SPEAKING)
@click.option("--quality", is_flag=True, help="Also WSS, silhouette and stability: three more fits.")
@click.option(
    "--against", multiple=True, metavar="COLUMN", help="Purity and ARI against a column, as source; repeats."
)
@click.option(
    "--limit",
    default=40,
    show_default=True,
    type=click.IntRange(min=0),
    help="How many clusters to list, the largest first.",
)
@click.pass_obj
def clusters(session: Session, against: tuple[str, ...], limit: int, *, quality: bool) -> None:
    """Say what the skill clusters are about.

    For each its most telling words, dominant capability and style, size, density, spread,
    nearest clusters and the samples nearest to its centre.

    \b
    Example:
        curate clusters
        curate clusters --quality --against source --limit 10
        curate clusters --clusters auto --json
    """
    found = session.workspace().clusters(quality=quality, against=against)
    found["clusters"] = sorted(found["clusters"], key=lambda cluster: -cluster["size"])[:limit]
    session.show(found, show_clusters.clusters)
