"""`curate`: each command parses its flags, calls one method of `Workspace` and shows one result.

Imports click and nothing heavy: `curate --help` must answer in under 0.3 s.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from jobs.options import CLUSTER, EMBED, INGEST, PRUNE, RESOURCES, RUNNING, SELECT, SPEAKING, UNTIL, options
from jobs.session import Session
from jobs.submission import OPTIONS, Submission
from schemas.errors import CurateError, WorkspaceError

INTERRUPTED = "stopped. Finished shards are kept; the same command continues where it stopped."


class Boundary(click.Group):
    """Lists the commands in order, and turns what they raise into a sentence on stderr and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the chain, not of the alphabet."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Exit 1 for what the user can fix, 130 for Ctrl-C; a bug keeps its traceback."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click ends quietly: whoever read our output has seen enough
        except (CurateError, OSError) as error:
            _show_traceback(ctx)
            click.echo(f"curate: {_sentence(error)}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            _show_traceback(ctx)
            click.echo(f"curate: {INTERRUPTED}", err=True)
            sys.exit(130)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _show_traceback(ctx: click.Context) -> None:
    if ctx.ensure_object(Session).debug:
        import traceback

        click.echo(traceback.format_exc(), err=True, nl=False)


def main(step: str | None = None) -> None:
    """Entry point of the script `curate`, and with a `step` of `python -m jobs.STEP [-C DIR] FLAGS`."""
    words = sys.argv[1:]
    if step:
        at = 0
        if words and words[0].startswith(("-C", "--workspace")):
            at = 2 if words[0] in ("-C", "--workspace") else 1
        words = [*words[:at], step, *words[at:]]
    cli(words, prog_name="curate")


@click.group(cls=Boundary, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-C",
    "--workspace",
    "folder",
    default=".",
    metavar="DIR",
    help="The folder with curate.toml, if not this one.",
)
@click.version_option(package_name="curate", message="%(package)s %(version)s")
@click.pass_context
def cli(context: click.Context, folder: str) -> None:
    """Turn a large, messy pool of image-text samples into a small subset worth training on.

    The chain is ingest, embed, score, cluster, prune, select, export. A command runs whatever it still needs.

    \b
    Example:
        curate demo
        curate init mixture.json --images . --model builtin
        curate select --budget 30%
        curate export --format hf --out subset
    """
    context.ensure_object(Session).folder = folder


# --- the chain -------------------------------------------------------------------------------------------


@cli.command()
@click.option("--out", default="demo", show_default=True, metavar="DIR", help="The folder to work in.")
@click.option(
    "--n", default=1200, show_default=True, type=click.IntRange(min=24), help="Records to generate."
)
@click.option("--seed", default=0, show_default=True, help="Seed of the pool.")
@click.option("--budget", default="30%", show_default=True, help="How much to keep.")
@options(SPEAKING)
@click.pass_obj
def demo(session: Session, out: str, n: int, seed: int, budget: str) -> None:
    """Run the whole chain on a generated pool with planted defects.

    Prints how many of the defects were caught, kind by kind, and where the result lies.

    \b
    Example:
        curate demo
        curate demo --out small --n 48 --json
    """
    from curation.demo import run_demo
    from jobs.show import demo as text

    session.log()
    session.show(run_demo(out, n=n, seed=seed, budget=budget, progress=session.progress()), text)


@cli.command()
@click.argument("data", nargs=-1, required=True, metavar="[NAME=]DATA...")
@click.option("--images", multiple=True, metavar="DIR", help="Where the records' image paths start; repeats.")
@click.option("--format", "format_", default="auto", show_default=True, help="Format of the data.")
@click.option("--model", metavar="MODEL", help="The encoder, to stand in curate.toml.")
@options(SPEAKING)
@click.pass_obj
def init(
    session: Session, data: tuple[str, ...], images: tuple[str, ...], format_: str, model: str | None
) -> None:
    """Write curate.toml, or add datasets to it.

    DATA is a file or a folder: LLaVA JSON, OpenAI messages or ShareGPT JSONL, Parquet, a saved HF dataset,
    WebDataset tars. NAME stands in every sample's id, so it is fixed here; the default is the file's name.

    \b
    Example:
        curate init mixture.json --images . --model builtin
        curate init charts=more.json
    """
    from jobs.datasets import initialise
    from jobs.show import initialised

    session.log()
    session.show(initialise(session.folder, data, images, format_, model), initialised)


@cli.command()
@options(INGEST, RUNNING)
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


@cli.command()
@options(EMBED, RUNNING)
@click.pass_obj
def embed(session: Session) -> None:
    """Embed each distinct image and text once.

    \b
    Example:
        curate embed --model builtin
        curate embed --dry-run
    """
    session.run("embed")


@cli.command()
@options(EMBED, RUNNING)
@click.pass_obj
def score(session: Session) -> None:
    """Score alignment and hygiene.

    Alignment: how well image and text agree. Hygiene: size, brightness, blur, lengths of the text.

    \b
    Example:
        curate score --memory 2GB
    """
    session.run("score")


@cli.command()
@options(CLUSTER, RUNNING)
@click.pass_obj
def cluster(session: Session) -> None:
    """Group the samples into skill clusters.

    \b
    Example:
        curate cluster --clusters auto
        curate cluster --clusters 8 --seed 1
    """
    session.run("cluster")


@cli.command()
@options(PRUNE, RUNNING)
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


@cli.command()
@options(SELECT, RUNNING)
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


@cli.command()
@click.option("--out", required=True, metavar="DIR", help="Where to write; a new folder.")
@click.option("--format", "format_", default="hf", show_default=True, help="hf, parquet or llava.")
@click.option("--overwrite", is_flag=True, help="Replace what an earlier export left in the folder.")
@options(SELECT, RESOURCES, SPEAKING)
@click.pass_obj
def export(session: Session, out: str, format_: str, *, overwrite: bool) -> None:
    """Write the selected samples for a trainer.

    Writes the last selection, and makes it first where it is missing or out of date.

    \b
    Example:
        curate export --format hf --out subset
        curate export --format llava --out subset-llava
    """
    from jobs.show import exported

    session.show(session.workspace().export(out, format=format_, overwrite=overwrite), exported)


@cli.command()
@UNTIL
@options(SELECT, RUNNING)
@click.pass_obj
def run(session: Session, until: str) -> None:
    """Do what curate.toml says, up to a step.

    \b
    Example:
        curate run --until prune
        curate run --budget 30%
    """
    session.run(until)


# --- looking ---------------------------------------------------------------------------------------------


@cli.command()
@click.option("--errors", is_flag=True, help="List the records in quarantine instead.")
@click.option("--limit", default=20, show_default=True, help="How many records to list.")
@options(SELECT, SPEAKING)
@click.pass_obj
def status(session: Session, limit: int, *, errors: bool) -> None:
    """Show what is done, stale or missing.

    \b
    Example:
        curate status
        curate status --errors --limit 5
    """
    from jobs.look import bad_records, chain_status
    from jobs.show import quarantined, state

    if errors:
        session.show(bad_records(session.workspace(), limit), quarantined)
    else:
        session.show(chain_status(session.workspace()), state)


@cli.command()
@options(SPEAKING)
@click.pass_obj
def verify(session: Session) -> None:
    """Check every table.

    No sample missing, doubled or orphaned, and all bytes as they were written.

    \b
    Example:
        curate verify
    """
    from jobs.look import problems
    from jobs.show import verified

    found = problems(session.workspace())
    session.show(found, verified)
    if found["problems"]:
        raise WorkspaceError("delete the files that are named here; the next run computes them anew")


@cli.command()
@options(SPEAKING)
@click.pass_obj
def gc(session: Session) -> None:
    """Remove files that no table refers to.

    \b
    Example:
        curate gc
    """
    from jobs.look import collect
    from jobs.show import collected

    session.show(collect(session.workspace()), collected)


@cli.command()
@click.argument("ident", metavar="ID")
@options(SPEAKING)
@click.pass_obj
def explain(session: Session, ident: str) -> None:
    """Say what became of one sample, and why.

    \b
    Example:
        curate explain chart-7 --json
    """
    from curation.status import explain as find
    from jobs.show import explained

    session.show(find(session.workspace(), ident), explained)


# --- elsewhere -------------------------------------------------------------------------------------------


@cli.command(context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND...")
@options(OPTIONS)
@click.pass_obj
def submit(session: Session, /, **flags: Any) -> None:
    """Run a command on a Spark cluster.

    Packs the code, and with --env archive the environment; calls spark-submit, shows what the driver says and
    returns its exit code. Every node must reach the workspace, its data and its images.

    \b
    Example:
        curate submit --master local[2] --dry-run -- select --budget 30%
        curate submit --master yarn --deploy-mode cluster --dry-run -- embed
    """
    from jobs.submit import plan, start, text

    asked = Submission(session, cli, **flags)
    if session.dry_run:
        session.show(plan(asked).tree, text)
    else:
        sys.exit(start(asked))
