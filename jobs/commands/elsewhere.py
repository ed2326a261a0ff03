"""The command that hands a command to a cluster."""

from __future__ import annotations

import sys
from typing import Any, cast

import click

from jobs.flags import options
from jobs.session import Session
from jobs.submission import OPTIONS, Submission
from jobs.submit import plan, start, text


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND...")
@options(OPTIONS)
@click.pass_context
def submit(context: click.Context, /, **flags: Any) -> None:
    """Run a command on a Spark cluster.

    Packs the code, and with --env archive the environment; calls spark-submit, shows what the driver says and
    returns its exit code. Every node must reach the workspace, its data and its images.

    \b
    Example:
        curate submit --master local[2] --dry-run -- select --budget 30%
        curate submit --master yarn --deploy-mode cluster --dry-run -- embed
    """
    session = context.ensure_object(Session)
    curate = cast("click.Group", context.find_root().command)
    asked = Submission(session, curate, **flags)
    if session.dry_run:
        session.show(plan(asked).tree, text)
    else:
        sys.exit(start(asked))
