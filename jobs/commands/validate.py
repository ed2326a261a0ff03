"""The command that looks at data before there is a workspace."""

from __future__ import annotations

import click

from jobs.completing import completed
from jobs.flags import command
from jobs.options import SPEAKING
from jobs.session import Session
from jobs.show_validated import validated
from schemas.errors import Unfit
from schemas.flags import TAKES

FIRST = 3


@command(*TAKES["validate"], *SPEAKING)
@click.argument("data")
@click.option(
    "--format",
    "format_",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="Format of DATA.",
    shell_complete=completed,
)
@click.option("--images", multiple=True, metavar="DIR", help="Where its image paths start; repeats.")
@click.option(
    "--image-key", "--image-column", metavar="NAME", help="What it calls its images: column, key, tar member."
)
@click.option("--text-key", "--text-column", metavar="NAME", help="What it calls its captions.")
@click.option(
    "--trainer",
    "trainers",
    multiple=True,
    metavar="NAME",
    help="llava, internvl, llamafactory, trl or swift; repeats. Default: those that read records like these.",
)
@click.option("--no-images", is_flag=True, help="Look images up, but do not open them.")
@click.option(
    "--limit",
    default=FIRST,
    show_default=True,
    type=click.IntRange(min=0),
    help="How many findings of each kind to list.",
)
@click.option("--all", "every", is_flag=True, help="List all findings, as --json does.")
@click.pass_obj
def validate(
    session: Session,
    /,
    data: str,
    format_: str,
    images: tuple[str, ...],
    image_key: str | None,
    text_key: str | None,
    trainers: tuple[str, ...],
    limit: int,
    *,
    no_images: bool,
    every: bool,
) -> None:
    """Say what DATA holds, what is wrong with it, and what trainers would trip over.

    Needs no workspace and writes nothing. DATA is a file, a folder or a pattern, as for init. Exits with 1 if
    a trainer would crash, a file cannot be read, or no record can.

    \b
    Example:
        curate validate mixture.json --images .
        curate validate mixture.json --images . --trainer llava --all
        curate validate 'shards/{00000..00009}.tar' --no-images --json
    """
    from curation.commands.validate import validate
    from schemas.settings import Dataset

    session.log()
    source = Dataset(path=data, format=format_, images=images, image_key=image_key, text_key=text_key)
    found = validate(
        data,
        source=source,
        trainers=trainers,
        decode=not no_images,
        limit=None if every or session.as_json else limit,
        overrides=session.overrides,
        progress=session.progress(),
    )
    session.show(found, validated)
    if found["crashes"]:
        raise Unfit("; ".join(found["crashes"]))
