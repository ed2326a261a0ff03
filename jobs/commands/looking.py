"""Commands that look at what is there, and `gc`, which tidies it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobs.flags import options
from jobs.options import SELECT, SPEAKING
from schemas.errors import WorkspaceError

if TYPE_CHECKING:
    from jobs.session import Session


@click.command()
@click.option("--errors", is_flag=True, help="List the records in quarantine instead.")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(min=0), help="How many records to list."
)
@options(SELECT, SPEAKING)
@click.pass_obj
def status(session: Session, limit: int, *, errors: bool) -> None:
    """Show what is done, stale or missing.

    \b
    Example:
        curate status
        curate status --errors --limit 5
    """
    from jobs.look import bad_records, chain_status
    from jobs.show import quarantined, state

    if errors:
        session.show(bad_records(session.workspace(), limit), quarantined)
    else:
        session.show(chain_status(session.workspace()), state)


@click.command()
@options(SPEAKING)
@click.pass_obj
def verify(session: Session) -> None:
    """Check every table.

    No sample missing, doubled or orphaned, and all bytes as they were written.

    \b
    Example:
        curate verify
    """
    from jobs.look import problems
    from jobs.show import verified

    found = problems(session.workspace())
    session.show(found, verified)
    if found["problems"]:
        raise WorkspaceError("delete the files that are named here; the next run computes them anew")


@click.command()
@options(SPEAKING)
@click.pass_obj
def gc(session: Session) -> None:
    """Remove files that no table refers to.

    \b
    Example:
        curate gc
    """
    from jobs.look import collect
    from jobs.show import collected

    session.show(collect(session.workspace()), collected)


@click.command()
@click.argument("ident", metavar="ID")
@options(SPEAKING)
@click.pass_obj
def explain(session: Session, ident: str) -> None:
    """Say what became of one sample, and why.

    \b
    Example:
        curate explain chart-7 --json
    """
    from curation.status import explain as find
    from jobs.show import explained

    session.show(find(session.workspace(), ident), explained)


@click.command()
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(min=0), help="How many groups to list."
)
@options(SPEAKING)
@click.pass_obj
def groups(session: Session, limit: int) -> None:
    """List the groups of duplicates, largest first.

    \b
    Example:
        curate groups --limit 5
    """
    from curation.duplicate_groups import groups as find
    from jobs.show import grouped

    session.show(find(session.workspace(), limit), grouped)


@click.command()
@click.argument("pattern", default="*")
@options(SPEAKING)
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
    from jobs.look import models as listed
    from jobs.show import models as shown

    session.show(listed(pattern), shown)
