"""The command that writes a page for people to look at."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterator
from pathlib import Path

import click

from jobs.flags import command
from jobs.options import SPEAKING
from jobs.session import Session
from jobs.text import Tree, line, size


@command(*SPEAKING)
@click.option(
    "--out", default="report.html", show_default=True, metavar="FILE", help="Where to write the page."
)
@click.option("--open", "opened", is_flag=True, help="Open it in a browser.")
@click.pass_obj
def report(session: Session, out: str, *, opened: bool) -> None:
    """Write a page that shows the pool, what is kept and why.

    One file that asks no network: a map, capabilities, scores with cut lines, clusters, dropped pairs side by
    side, defects, quarantine, sources and how to make it again. Works from `curate ingest` on.

    \b
    Example:
        curate report
        curate report --out pool.html --json
    """
    session.show(session.workspace().report(out), written)
    if opened:
        webbrowser.open(Path(out).resolve().as_uri())


def written(found: Tree) -> Iterator[str]:
    """Where it is, how large, and what this pool has nothing for."""
    yield line("written", f"{found['out']}, {size(found['bytes'])}")
    if found["left_out"]:
        yield line("without", f"{', '.join(found['left_out'])}: the page says why")
    yield line("took", f"{found['seconds']:.1f} s")
