"""Commands that look at what is there, and `gc`, which tidies it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobs import show
from jobs.flags import command
from jobs.options import SELECT, SPEAKING
from schemas.errors import WorkspaceError

if TYPE_CHECKING:
    from jobs.session import Session


@command(*SELECT, *SPEAKING)
@click.option("--errors", is_flag=True, help="List the records in quarantine instead.")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(min=0), help="How many records to list."
)
@click.pass_obj
def status(session: Session, limit: int, *, errors: bool) -> None:
    """Show what is done, stale or missing.

    \b
    Example:
        curate status
        curate status --errors --limit 5
    """
    if errors:
        session.show(session.workspace().errors(limit), show.quarantined)
    else:
        session.show(session.workspace().status(), show.state)


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
    session.show(session.workspace().explain(ident), show.explained)


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
