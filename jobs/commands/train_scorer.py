"""The command that fits a light scorer to labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobs.flags import command
from jobs.options import EMBED, RESOURCES, SPEAKING
from jobs.show_scorer import trained

if TYPE_CHECKING:
    from jobs.session import Session


@command(*EMBED, *RESOURCES, *SPEAKING, name="train-scorer")
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
