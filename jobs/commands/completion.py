"""The command that makes a shell complete the others."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, flags and their values.

    For this shell alone: eval "$(curate completion bash)". For good, put that line into ~/.bashrc, the same
    with zsh into ~/.zshrc, or write what is printed to ~/.config/fish/completions/curate.fish.

    \b
    Example:
        curate completion bash
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "curate", "_CURATE_COMPLETE").source())
