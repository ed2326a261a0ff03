"""Commands that look at what is there, that compute what they show, and `gc`, which tidies it."""

from __future__ import annotations

from functools import partial

import click

from jobs import show, show_clusters
from jobs.flags import command
from jobs.options import SPEAKING
from jobs.session import Session
from jobs.show_explained import explained
from jobs.show_filters import measured
from jobs.show_leaks import leaks
from schemas.errors import WorkspaceError
from schemas.flags import TAKES


@command(*TAKES["status"], *SPEAKING)
@click.option("--errors", is_flag=True, help="List the records in quarantine instead.")
@click.option("--filters", is_flag=True, help="List the groups that alignment was measured in instead.")
@click.option("--all", "every", is_flag=True, help="List every stage, those that are done too.")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(min=0), help="How many records to list."
)
@click.pass_obj
def status(session: Session, limit: int, *, errors: bool, filters: bool, every: bool) -> None:
    """Show what is selected, and what is done, stale or missing.

    \b
    Example:
        curate status
        curate status --errors --limit 5
        curate status --filters
    """
    if errors:
        session.show(session.workspace().errors(limit), show.quarantined)
    elif filters:
        session.show(session.workspace().filters(), measured)
    else:
        session.show(session.workspace().status(), partial(show.state, every=every))


@command(*SPEAKING)
@click.pass_obj
def verify(session: Session) -> None:
    """Check every table.

    No sample missing, doubled or orphaned, and all bytes as they were written.

    \b
    Example:
        curate verify
    """
    found = session.workspace().verify()
    session.show(found, show.verified)
    if found["problems"]:
        raise WorkspaceError("delete the files that are named here; the next run computes them anew")


@command(*SPEAKING)
@click.pass_obj
def gc(session: Session) -> None:
    """Remove files that no table refers to.

    \b
    Example:
        curate gc
    """
    session.show(session.workspace().gc(), show.collected)


@command(*SPEAKING)
@click.argument("ident", metavar="ID")
@click.pass_obj
def explain(session: Session, ident: str) -> None:
    """Say what became of one sample, and why.

    \b
    Example:
        curate explain chart-7 --json
    """
    session.show(session.workspace().explain(ident), explained)


@command(*SPEAKING)
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(min=0), help="How many groups to list."
)
@click.pass_obj
def groups(session: Session, limit: int) -> None:
    """List the groups of duplicates, largest first.

    \b
    Example:
        curate groups --limit 5
    """
    session.show(session.workspace().groups(limit), show.grouped)


@command(*SPEAKING)
@click.argument("pattern", default="*")
@click.pass_obj
def models(session: Session, pattern: str) -> None:
    """List the models that --model and --vlm take.

    Built in, cached on this machine, and open_clip's on the hub. Any hf-hub:ORG/NAME of open_clip, any
    image-text-to-text checkpoint of transformers and local paths are taken as well.

    \b
    Example:
        curate models
        curate models 'ViT-B-32*'
    """
    from curation.workspace import Workspace

    session.show(Workspace.models(pattern), show.models)


@command(*TAKES["clusters"], *SPEAKING)
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


@command(*TAKES["decontaminate"], *SPEAKING)
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(min=0), help="How many pairs to list."
)
@click.pass_obj
def decontaminate(session: Session, limit: int) -> None:
    """Find samples that leak a benchmark.

    By equal image bytes, perceptual hashes, image embeddings and word n-grams. `curate select` leaves them
    out, or with --tag does not; what the flags say is written to curate.toml for that.

    \b
    Example:
        curate decontaminate --against more.json
        curate decontaminate --against exam=more.json --leak-level image --leak-level text --tag
    """
    session.show(session.workspace().decontaminate(limit=limit), leaks)
