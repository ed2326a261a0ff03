"""The command that hands a command to a cluster."""

from __future__ import annotations

import sys
from typing import Any, cast

import click

from jobs.flags import command
from jobs.masters import KNOWN
from jobs.options import SPEAKING
from jobs.session import Session
from jobs.submission import Submission
from jobs.submit import plan, start, text


@command(*SPEAKING, context_settings={"allow_interspersed_args": False})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.option("--master", metavar="URL", help=f"{KNOWN}. Default: run.master of curate.toml.")
@click.option(
    "--deploy-mode",
    type=click.Choice(["client", "cluster"]),
    default="client",
    show_default=True,
    help="Where the driver runs: here, or on a node (YARN, Kubernetes).",
)
@click.option(
    "--env",
    type=click.Choice(["none", "archive", "image"]),
    help="What nodes compute in: what they have, this environment packed up, or a container image. "
    "Default: what --archive or --image say, else none.",
)
@click.option("--image", metavar="NAME", help="The container image (Kubernetes).")
@click.option(
    "--archive", metavar="PATH", help="An environment that is packed already (venv-pack or conda-pack)."
)
@click.option("--name", metavar="NAME", help="Of the application. Default: curate COMMAND.")
@click.option("--conf", multiple=True, metavar="KEY=VALUE", help="A setting of Spark; repeats.")
@click.option("--dry-run", is_flag=True, help="Show the command and the files; pack and start nothing.")
@click.pass_context
def submit(context: click.Context, /, words: tuple[str, ...], *, dry_run: bool, **flags: Any) -> None:
    """Run a command on a Spark cluster.

    Packs the code, and with --env archive the environment; calls spark-submit, shows what the driver says and
    returns its exit code. Every node must reach the workspace, its data and its images.

    \b
    Example:
        curate submit --master local[2] --dry-run -- select --budget 30%
        curate submit --master yarn --deploy-mode cluster --dry-run -- embed
    """
    session = context.ensure_object(Session)
    session.dry_run = dry_run
    curate = cast("click.Group", context.find_root().command)
    asked = Submission(session, curate, words, **flags)
    if dry_run:
        session.show(plan(asked).tree, text)
    else:
        sys.exit(start(asked))
