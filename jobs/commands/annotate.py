"""The command that has a model label a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobs.flags import command
from jobs.options import CLUSTER, RUNNING
from jobs.show_endpoint import labelled, requests

if TYPE_CHECKING:
    from jobs.session import Session


@command(*CLUSTER, *RUNNING)
@click.option(
    "--sample",
    "n",
    required=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="How many samples to label.",
)
@click.option("--out", metavar="FILE", help="Write the labels here too: a .parquet or .jsonl file.")
@click.pass_obj
def annotate(session: Session, n: int, out: str | None) -> None:
    """Label a diverse sample through an endpoint.

    A model behind an OpenAI-compatible endpoint rates the capabilities and styles of samples that are taken
    evenly from the skill clusters. Every answer is kept: what was answered is never asked again.
    `curate train-scorer` learns from the labels.

    \b
    Example:
        curate annotate --sample 500 --endpoint-url http://localhost:8000/v1 --endpoint-model NAME
        curate annotate --sample 2000 --out labels.parquet --dry-run
    """
    if session.dry_run:
        session.show(session.workspace().plan_annotate(n), requests)
    else:
        session.show(session.workspace().annotate(n, out), labelled)
