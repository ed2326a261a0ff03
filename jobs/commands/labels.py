"""Commands that make labels, and fit a scorer to them."""

from __future__ import annotations

import click

from jobs.flags import command
from jobs.options import RUNNING, SPEAKING
from jobs.session import Session
from jobs.show_labels import labelled, requests, trained
from schemas.flags import TAKES


@command(*TAKES["annotate"], *RUNNING)
@click.option(
    "--sample", "n", required=True, type=click.IntRange(min=1), metavar="N", help="How many samples to label."
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


@command(*TAKES["train-scorer"], *SPEAKING, name="train-scorer")
@click.option(
    "--labels", metavar="FILE", help="Parquet or JSONL with uid or id and cap_* or style_* columns."
)
@click.option("--out", metavar="DIR", help="Where the scorer goes, if not into the workspace.")
@click.option(
    "--folds", type=click.IntRange(min=2), default=5, show_default=True, help="Parts of cross-validation."
)
@click.pass_obj
def train_scorer(session: Session, labels: str | None, out: str | None, folds: int) -> None:
    """Fit a light scorer to labels of capabilities and styles.

    Learns from what `curate annotate` left, or from a file, on vectors of --model and the wording of the
    turns; says by cross-validation how well it agrees. `--capability probe` then scores every sample with it.

    \b
    Example:
        curate train-scorer --labels labels.parquet
        curate score --capability probe
    """
    session.show(session.workspace().train_scorer(labels, out, folds=folds), trained)
