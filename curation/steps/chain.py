"""The chain from pool to subset: the stages of each step, in order, and what they may be asked for."""

from __future__ import annotations

from collections.abc import Callable

from curation.catalog import demand_tables, is_score
from curation.steps.cluster.stages import cluster_stages
from curation.steps.context import Context
from curation.steps.decontaminate.stages import leak_stages
from curation.steps.embed.stages import embed_stages
from curation.steps.ingest.stages import ingest_stages
from curation.steps.prune.stages import named_columns, prune_stages
from curation.steps.score.stages import score_stages
from curation.steps.select.columns import demand_made
from curation.steps.select.stages import select_stage, select_stages
from curation.storage.store import Store
from schemas.stages import Stage, is_map, outputs

# Every step after those that it reads. Leaks are looked for wherever copies are.
STAGES: dict[str, Callable[[Context], list[Stage]]] = {
    "ingest": ingest_stages,
    "embed": embed_stages,
    "score": score_stages,
    "cluster": cluster_stages,
    "prune": lambda context: prune_stages(context) + leak_stages(context),
    "select": select_stages,
}


def chain(context: Context, until: str) -> list[Stage]:
    """The stages up to and with step `until`, each after what it reads.

    Raises:
        CurateError: a setting is wrong, or names a column that is neither there nor made on the way.
    """
    steps = list(STAGES)[: list(STAGES).index(until) + 1]
    stages = [stage for step in steps for stage in STAGES[step](context)]
    if "prune" in steps:
        _demand_columns(context, until, stages)
    return stages


def _demand_columns(context: Context, until: str, stages: list[Stage]) -> None:
    store = Store(context.root)
    made = [table for stage in stages for table in outputs(stage)]
    scored = [stage for stage in stages if is_map(stage) and is_score(stage.name)]
    written = {name for stage in scored for name in stage.writes.names}
    named = named_columns(context.config)
    if until == "select":
        select = select_stage(context.config)
        named += select.columns
        demand_made(store, select.needs, made)
    demand_tables(store, [name for name in named if name not in written], made)
