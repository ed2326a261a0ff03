"""Commands that write samples for a trainer."""

from __future__ import annotations

from typing import Any

import click

from jobs import show
from jobs.completing import completed
from jobs.flags import command
from jobs.options import SPEAKING
from jobs.session import Session
from schemas.flags import TAKES

IMAGES = click.option(
    "--images",
    type=click.Choice(["link", "copy", "bytes", "paths"]),
    help="Images: hard links or copies under images/, bytes in the data, or paths to where they are.",
)
# As `curation.writers` has them, which is not read for --help alone.
EXPORTS = (
    "hf, parquet, messages, messages.jsonl, llava, llava.jsonl, sharegpt, llama_factory, qwen_vl, "
    "webdataset, open_clip, datacomp, fiftyone or ids."
)


@command(*TAKES["export"], *SPEAKING)
@click.option("--out", required=True, metavar="DIR", help="Where to write: a new folder, or a URL.")
@click.option(
    "--format",
    "format_",
    default="hf",
    show_default=True,
    metavar="NAME",
    help=EXPORTS,
    shell_complete=completed,
)
@IMAGES
@click.option("--with-scores/--without-scores", "scores", default=None, help="Scores of the samples too.")
@click.option("--raw", is_flag=True, help="LLaVA: records byte for byte, even those that trainers crash on.")
@click.option("--shuffle", type=int, metavar="SEED", help="An order drawn by a seed.")
@click.option("--split", metavar="SHARES", help="As train=0.98,val=0.02: no image is in two of them.")
@click.option("--license", metavar="NAME", help="For the card, as the Hub names it: cc-by-4.0, other, ...")
@click.option("--push-to-hub", "push", metavar="ORG/NAME", help="Upload it to a dataset of the Hub as well.")
@click.option("--overwrite", is_flag=True, help="Replace what an earlier export left in the folder.")
@click.pass_obj
def export(session: Session, /, out: str, format_: str, **asked: Any) -> None:
    """Write the selected samples for a trainer.

    Writes the last selection, and makes it first where it is missing or out of date. An export that was
    interrupted goes on.

    \b
    Example:
        curate export --format hf --out subset
        curate export --format llava --out subset-llava
        curate export --format messages --split train=0.98,val=0.02 --shuffle 0 --out subset-trl
    """
    found = session.workspace().export(out, format=format_, **asked)
    session.show(found, show.exported)


@command(*TAKES["convert"], *SPEAKING)
@click.argument("data")
@click.argument("out")
@click.option("--format", "format_", required=True, metavar="NAME", help=EXPORTS, shell_complete=completed)
@click.option(
    "--from",
    "from_",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="Format of DATA.",
    shell_complete=completed,
)
@click.option("--image-folder", multiple=True, metavar="DIR", help="Where its image paths start; repeats.")
@click.option("--image-key", metavar="NAME", help="What it calls its images: column, key, tar member.")
@click.option("--text-key", metavar="NAME", help="What it calls its captions.")
@IMAGES
@click.option("--raw", is_flag=True, help="LLaVA: records byte for byte, even those that trainers crash on.")
@click.option("--overwrite", is_flag=True, help="Replace what an earlier export left in the folder.")
@click.pass_obj
def convert(
    session: Session,
    /,
    data: str,
    out: str,
    format_: str,
    from_: str,
    image_folder: tuple[str, ...],
    image_key: str | None,
    text_key: str | None,
    **asked: Any,
) -> None:
    """Write the records of DATA in another format, without a workspace.

    Records that trainers crash on are not written; OUT/rejected.jsonl has them, each with file, line, code
    and sentence.

    \b
    Example:
        curate convert mixture.json out --format messages
        curate convert 'shards/{00000..00009}.tar' out --format llava
    """
    from curation.commands.convert import convert
    from schemas.settings import Dataset

    session.log()
    source = Dataset(path=data, format=from_, images=image_folder, image_key=image_key, text_key=text_key)
    more = {"overrides": session.overrides, "progress": session.progress(), **asked}
    session.show(convert(data, out, format=format_, source=source, **more), show.converted)


@command(*SPEAKING)
@click.argument("name", required=False, shell_complete=completed)
@click.option("--out", metavar="FILE", help="Where to write it: a name ending in .parquet or .csv.")
@click.pass_obj
def table(session: Session, name: str | None, out: str | None) -> None:
    """List the tables, or write one as Parquet or CSV.

    \b
    Example:
        curate table
        curate table pruned --out pruned.csv
    """
    if (name is None) != (out is None):
        raise click.UsageError("a table is written by its name and --out FILE; without both they are listed")
    workspace = session.workspace()
    if name is None or out is None:
        session.show(workspace.tables(), show.tables)
    else:
        session.show(workspace.write_table(name, out), show.table_written)
