"""Which settings each command has flags for. What a flag is called and says stands beside the setting."""

from __future__ import annotations

import click

from schemas.stages import STEPS

SPEAKING = ("as_json", "quiet", "debug")
RESOURCES = (
    "run.engine",
    "run.master",
    "run.spark_conf",
    "run.partitions",
    "run.memory",
    "run.workers",
    "run.max_errors",
)
RUNNING = (*RESOURCES, "dry_run", *SPEAKING)

INGEST = ("run.shard_rows", "embed.batch", "images", "read")
EMBED = ("embed.model", "run.device", *INGEST)
SCORE = ("capability", "endpoint", "embed.phrases", "vlm", "score", *EMBED)
CLUSTER = ("cluster", "run.seed", "gradient", *SCORE)
PRUNE = ("prune", *CLUSTER)
DECONTAMINATE = ("decontaminate",)
SELECT = ("select", *DECONTAMINATE, *PRUNE)
UNTIL = click.option(
    "--until", type=click.Choice(STEPS), default=STEPS[-1], show_default=True, help="The last step to run."
)
