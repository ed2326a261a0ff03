"""The command that finds what leaks a benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobs.flags import command
from jobs.options import DECONTAMINATE, EMBED, RESOURCES, SPEAKING
from jobs.show_leaks import leaks

if TYPE_CHECKING:
    from jobs.session import Session


@command(*DECONTAMINATE, *EMBED, *RESOURCES, *SPEAKING)
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
