"""Commands that find samples: in the terminal, and on a page."""

from __future__ import annotations

from typing import Literal

import click

from jobs.flags import command
from jobs.options import SPEAKING
from jobs.session import Session
from jobs.show_search import found, served
from schemas.errors import ConfigError
from schemas.flags import TAKES

WHERE = click.option(
    "--where", multiple=True, metavar="SQL", help="Only samples that meet a condition over columns; repeats."
)


@command(*TAKES["search"], *SPEAKING)
@click.argument("text", required=False)
@click.option("--image", metavar="FILE", help="Search for a picture.")
@click.option(
    "--like", metavar="ID", help="More like this sample: its id, its uid, or the beginning of that."
)
@click.option(
    "--by",
    type=click.Choice(["image", "text", "both"]),
    help="Compare what samples show, say, or the better of both.",
)
@click.option("--n", default=10, show_default=True, type=click.IntRange(min=1), help="How many samples.")
@WHERE
@click.pass_obj
def search(
    session: Session,
    text: str | None,
    image: str | None,
    like: str | None,
    by: Literal["image", "text", "both"] | None,
    n: int,
    where: tuple[str, ...],
) -> None:
    """Find samples by a text, by a picture, or more like one.

    A text is held against pictures and texts, a picture against pictures, and a sample's picture against
    pictures, or its text where it has none; --by says otherwise. The first search makes an index.

    \b
    Example:
        curate search 'a bar chart with four bars'
        curate search --like chart-7 --n 5
        curate search receipt --by text --where 'n_tokens < 100' --json
    """
    if text is not None and not text.strip():
        raise ConfigError("the text to search for is empty; write a few words, such as 'a red car'")
    session.show(session.workspace().search(text, image=image, like=like, by=by, n=n, where=where), found)


@command(*TAKES["explore"], *SPEAKING)
@click.option(
    "--port",
    default=0,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="On this machine; 0: a free one.",
)
@click.option("--open/--no-open", "show", default=True, help="Show the page in a browser.")
@click.pass_obj
def explore(session: Session, port: int, *, show: bool) -> None:
    """Look at the pool on a page of this machine.

    Filter, sort and search a pool of any size; look at clusters, at neighbours, and at what was dropped
    beside what stands for it; mark what a selection must keep or drop. Only who has the address can open it.
    Ctrl-C ends it.

    \b
    Example:
        curate explore
        curate explore --port 8000 --no-open
    """
    session.workspace().explore(port, show=show, ready=lambda url: session.show({"url": url}, served))
