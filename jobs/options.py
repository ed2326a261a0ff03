"""The flags of commands besides those of settings, which `schemas.flags.TAKES` lists."""

from __future__ import annotations

import click

from schemas.stages import STEPS

SPEAKING = ("as_json", "quiet", "debug")
RUNNING = ("dry_run", *SPEAKING)
UNTIL = click.option(
    "--until", type=click.Choice(STEPS), default=STEPS[-1], show_default=True, help="The last step to run."
)
