"""The command that lists scores, writes them, and takes in those of one's own."""

from __future__ import annotations

import click

from jobs.commands.searching import WHERE
from jobs.flags import command
from jobs.options import SPEAKING
from jobs.session import Session
from jobs.show_scores import added, dropped, listed, written

SHOWN = 20


@command(*SPEAKING)
@click.option("--columns", multiple=True, metavar="NAMES", help="Which, as id,alignment,kept; repeats.")
@WHERE
@click.option("--limit", type=click.IntRange(min=1), help=f"How many samples; {SHOWN} where they are listed.")
@click.option("--out", metavar="FILE", help="Write them instead: a name ending in .parquet or .csv.")
@click.option(
    "--add",
    metavar="FILE",
    help="Take in columns of your own: .parquet, .csv or .jsonl with `uid` or `id`, and figures.",
)
@click.option("--replace", is_flag=True, help="With --add: in place of columns that were added before.")
@click.option("--drop", multiple=True, metavar="NAME", help="Take a column of your own away; repeats.")
@click.pass_obj
def scores(
    session: Session,
    columns: tuple[str, ...],
    where: tuple[str, ...],
    limit: int | None,
    out: str | None,
    add: str | None,
    drop: tuple[str, ...],
    *,
    replace: bool,
) -> None:
    """List what was measured, write it, or add your own.

    Columns that are added, such as `difficulty`, stand beside those of curate: `curate select` knows them in
    --where, --strategy top:difficulty, --at-least and wherever else it takes columns, and exports carry them.

    \b
    Example:
        curate scores --columns id,alignment,n_tokens --where 'alignment > 0' --limit 5
        curate scores --out scores.parquet
        curate scores --add mine.csv
    """
    names = [name.strip() for text in columns for name in text.split(",") if name.strip()]
    if bool(add) + bool(drop) + bool(out) > 1 or ((add or drop) and (names or where or limit)):
        raise click.UsageError("list or write scores, --add some, or --drop some: one at a time")
    if replace and not add:
        raise click.UsageError("--replace says what --add does with columns that are there")
    workspace = session.workspace()
    if add:
        session.show(workspace.add_scores(add, replace=replace), added)
    elif drop:
        session.show(workspace.drop_scores(*drop), dropped)
    elif out:
        session.show(workspace.write_scores(out, columns=names, where=where, limit=limit), written)
    else:
        session.show(workspace.list_scores(columns=names, where=where, limit=limit or SHOWN), listed)
