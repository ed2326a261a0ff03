"""`curate`: the group of its commands, and what becomes of what they raise.

Imports click and nothing heavy: `curate --help` must answer in under 0.3 s.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from jobs.commands import COMMANDS
from jobs.session import Session
from jobs.terminal import put_error
from schemas.errors import CurateError
from schemas.flags import flag_of

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
            sentence = _sentence(error)
            for key in ctx.ensure_object(Session).overrides:
                sentence = sentence.replace(f"{key}:", f"{flag_of(key)[0]}:")
            put_error(f"curate: {sentence}")
            sys.exit(1)
        except KeyboardInterrupt:
            _show_traceback(ctx)
            click.echo(f"curate: {INTERRUPTED}", err=True)
            sys.exit(130)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, FileNotFoundError):
        return f"there is no file {error}"
    return str(error)


def _show_traceback(ctx: click.Context) -> None:
    if ctx.ensure_object(Session).debug:
        import traceback

        for line in traceback.format_exc().splitlines():
            put_error(line)


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


for command in COMMANDS:
    cli.add_command(command)
