"""Commands that compute: the steps of the chain, and what starts it."""

from __future__ import annotations

from functools import partial

import click

from jobs import show
from jobs.completing import completed
from jobs.flags import command
from jobs.options import RUNNING, SPEAKING, UNTIL
from jobs.session import Session
from schemas.flags import TAKES


@command(*SPEAKING)
@click.option("--out", default="demo", show_default=True, metavar="DIR", help="The folder to work in.")
@click.option(
    "--n", default=1200, show_default=True, type=click.IntRange(min=24), help="Records to generate."
)
@click.option("--seed", default=0, show_default=True, help="Seed of the pool.")
@click.option("--budget", default="30%", show_default=True, help="How much to keep.")
@click.pass_obj
def demo(session: Session, out: str, n: int, seed: int, budget: str) -> None:
    """Run the whole chain on a generated pool with planted defects.

    Prints how many of the defects were caught, kind by kind, and where the result lies.

    \b
    Example:
        curate demo
        curate demo --out small --n 48 --json
    """
    from curation.workspace import Workspace

    session.log()
    found = Workspace.demo(out, n=n, seed=seed, budget=budget, progress=session.progress())
    session.show(found, show.demo)


@command(*SPEAKING)
@click.argument("data", nargs=-1, required=True, metavar="[NAME=]DATA...")
@click.option("--images", multiple=True, metavar="DIR", help="Where the records' image paths start; repeats.")
@click.option(
    "--format",
    "format_",
    default="auto",
    show_default=True,
    help="Format of the data.",
    shell_complete=completed,
)
@click.option(
    "--image-key",
    "--image-column",
    metavar="NAME",
    help="What data calls its images: column, key, tar member.",
)
@click.option("--text-key", "--text-column", metavar="NAME", help="What data calls its captions.")
@click.option(
    "--model", metavar="MODEL", help="The encoder, to stand in curate.toml.", shell_complete=completed
)
@click.pass_obj
def init(
    session: Session,
    data: tuple[str, ...],
    images: tuple[str, ...],
    format_: str,
    image_key: str | None,
    text_key: str | None,
    model: str | None,
) -> None:
    """Write curate.toml, add datasets to it, or say anew where the images of one lie.

    DATA is a file, a folder, or a pattern in quotes: conversations in JSON or JSONL, CSV, Parquet, a saved HF
    dataset, WebDataset tars, images with or without captions (docs/formats.md). What is at a URL (s3://…,
    https://…, hf://datasets/ORG/NAME) is copied into the workspace. It is looked at, and refused if it cannot
    be read. NAME stands in every sample's id, so it is fixed here; the default is the file's name. The images
    of the first records are looked for; the same DATA with other --images corrects where they are.

    \b
    Example:
        curate init mixture.json --images . --model builtin
        curate init charts=more.json
    """
    from curation.commands.init import initialise

    session.log()
    progress = session.progress()
    found = initialise(session.folder, data, images, format_, model, image_key, text_key, progress)
    session.show(found, partial(show.initialised, curate=session.curate))


@command(*TAKES["ingest"], *RUNNING)
@click.pass_obj
def ingest(session: Session) -> None:
    """Read and check every record and image.

    A bad record goes into quarantine with a code and a sentence; `curate status --errors` lists them.

    \b
    Example:
        curate ingest
        curate ingest --max-errors 20% --json
    """
    session.run("ingest")


@command(*TAKES["embed"], *RUNNING)
@click.pass_obj
def embed(session: Session) -> None:
    """Embed each distinct image and text once.

    \b
    Example:
        curate embed --model builtin
        curate embed --dry-run
    """
    session.run("embed")


@command(*TAKES["score"], *RUNNING)
@click.pass_obj
def score(session: Session) -> None:
    """Score alignment, hygiene and synthetic quality.

    Alignment: how well image and text agree. Hygiene: size, brightness, blur, lengths and languages of the
    text. Synthetic quality: refusals, echoes, loops, garbage and other flags, each with its evidence.

    \b
    Example:
        curate score --memory 2GB
    """
    session.run("score")


@command(*TAKES["cluster"], *RUNNING)
@click.pass_obj
def cluster(session: Session) -> None:
    """Group the samples into skill clusters.

    \b
    Example:
        curate cluster --clusters auto
        curate cluster --clusters 8 --seed 1
    """
    session.run("cluster")


@command(*TAKES["prune"], *RUNNING)
@click.pass_obj
def prune(session: Session) -> None:
    """Find exact and near-duplicates.

    Each one keeps what it duplicates, how closely, and why it goes.

    \b
    Example:
        curate prune --eps 0.03
        curate prune --no-semantic
    """
    session.run("prune")


@command(*TAKES["select"], *RUNNING)
@click.pass_obj
def select(session: Session) -> None:
    """Choose a subset of exactly the budget.

    Candidates are the readable samples that no other makes superfluous (see `curate prune`).

    \b
    Example:
        curate select --budget 30%
        curate select --budget 50ktok --strategy top:alignment --json
        curate select --budget 20 --dry-run
    """
    session.run("select")


@command(*TAKES["run"], *RUNNING)
@UNTIL
@click.pass_obj
def run(session: Session, until: str) -> None:
    """Do what curate.toml says, up to a step.

    \b
    Example:
        curate run --until prune
        curate run --budget 30%
    """
    session.run(until)
