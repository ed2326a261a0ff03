"""`curate proof`: whether selections train better than chance."""

from __future__ import annotations

import click

from jobs.flags import command
from jobs.options import SPEAKING
from jobs.session import Session
from jobs.show_proof import mixed, proved
from schemas.flags import TAKES


@command(*TAKES["proof"], *SPEAKING)
@click.argument("strategies", nargs=-1, metavar="[STRATEGY[+MIX]]...")
@click.option("--seeds", default=8, show_default=True, type=click.IntRange(min=2), help="Of each selection.")
@click.option(
    "--student",
    "students",
    multiple=True,
    default=("ridge",),
    show_default=True,
    metavar="ridge|mlp|vlm[:MODEL]",
    help="What learns: small ones that see a view, or the model of --vlm, or another one; repeats.",
)
@click.option(
    "--view",
    "views",
    multiple=True,
    default=("encoder",),
    show_default=True,
    type=click.Choice(["encoder", "plain"]),
    help="What students see: vectors of the encoder, or figures and words that no encoder made; repeats.",
)
@click.option(
    "--equal",
    default="samples",
    show_default=True,
    type=click.Choice(["samples", "pairs", "tokens"]),
    help="What the random samples, which each selection is held against, have as much of as it.",
)
@click.option(
    "--steps",
    default=200,
    show_default=True,
    type=click.IntRange(min=1),
    help="Of a student (mlp, vlm), whatever it learns from.",
)
@click.option(
    "--epochs", type=click.FloatRange(min=0, min_open=True), help="Instead: passes over what it learns from."
)
@click.pass_obj
def proof(
    session: Session,
    strategies: tuple[str, ...],
    seeds: int,
    students: tuple[str, ...],
    views: tuple[str, ...],
    equal: str,
    steps: int,
    epochs: float | None,
) -> None:
    """Train small students on selections, and ask them what was held out.

    A fifth of the pool is held out. Each selection is made of the rest, by as many seeds; a student that
    learned from it answers the questions of the held-out part. Marks are shares of what a student gets that
    learned from everything; gains are over random samples of as many records. The workspace's own selection
    stays as it is. Without STRATEGY the one of curate.toml is tried; less and icons aim at what is held out
    besides, unless they name a dataset. A vlm is fine-tuned (on a GPU if there is one), and asked which
    answer is likeliest.

    \b
    Example:
        curate proof --budget 30%
        curate proof adapt mmssr random+sqrt --budget 30% --view encoder --view plain
        curate proof adapt random+sqrt --budget 30% --equal pairs
        curate proof random+sqrt --budget 30% --student vlm:builtin --steps 200 --seeds 2
    """
    found = session.workspace().proof(
        *strategies, n_seeds=seeds, students=students, views=views, equal=equal, steps=steps, epochs=epochs
    )
    session.show(found, proved)


@command(*TAKES["mix"], *SPEAKING)
@click.option(
    "--n", default=16, show_default=True, type=click.IntRange(min=3), help="Mixtures to begin with."
)
@click.option("--seeds", default=8, show_default=True, type=click.IntRange(min=2), help="Of the comparison.")
@click.option("--for", "targets", multiple=True, metavar="SOURCE", help="Whose questions count; repeats.")
@click.option("--out", metavar="FILE", help="Where to write the shares, for --mix @FILE.")
@click.pass_obj
def mix(session: Session, n: int, seeds: int, targets: tuple[str, ...], out: str | None) -> None:
    """Search the shares of the sources that train best.

    Small students learn from many mixtures; the better half stays, and learns from more. What is left is
    held against proportional shares on questions that took no part in the search, with its uncertainty.

    \b
    Example:
        curate mix --budget 30% --out mix.json
        curate select --budget 30% --mix @mix.json
    """
    found = session.workspace().search_mix(n=n, n_seeds=seeds, targets=targets, out=out)
    session.show(found, mixed)
