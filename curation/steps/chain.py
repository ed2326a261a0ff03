"""The chain from pool to subset: the stages of each step, in order, and what they may be asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
from schemas.config import Config
from schemas.stages import STEPS, Stage, is_map, outputs, reads

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
    """The stages that a run up to step `until` goes through, each after what it reads.

    Raises:
        CurateError: a setting is wrong, or names a column that is neither there nor made on the way.
    """
    steps = STEPS[: STEPS.index(until) + 1]
    if looks_at_records(context.config, until):
        stages = _followed(context, steps)
    else:
        stages = [stage for step in steps for stage in STAGES[step](context)]
    if "prune" in steps:
        _demand_columns(context, until, stages)
    return stages


def steps_of(stages: Sequence[Stage]) -> dict[str, str]:
    """The step of each of the stages, which are in order, by its name.

    That whose folder it stands in, but never one before that of the stage before it: some make use of an
    earlier step's kind of stage. One of another package scores.
    """
    found, last = {}, STEPS[0]
    for stage in stages:
        package, _, path = type(stage).__module__.partition(".steps.")
        folder = path.partition(".")[0] if package == "curation" and path else "score"
        step = folder if folder in STEPS else "prune"
        last = max(last, step, key=STEPS.index)
        found[stage.name] = last
    return found


def looks_at_records(config: Config, until: str) -> bool:
    """Whether a run up to `until` is a prune without neighbours.

    Every other run goes through all steps before it, as scores are asked for sooner or later. This one is a
    quick look at records: before it only what it follows from is computed, and mostly that is no embedding.
    """
    return until == "prune" and not config.prune.semantic


def may_score(config: Config, until: str) -> bool:
    """Whether a run up to `until` may compute scores."""
    needless = looks_at_records(config, until) and not named_columns(config)
    return STEPS.index(until) >= STEPS.index("score") and not needless


def _followed(context: Context, steps: Sequence[str]) -> list[Stage]:
    """The stages of the first and the last of `steps`, and of those between what the last follows from."""
    first, *between, last = steps
    ingested, later = STAGES[first](context), STAGES[last](context)
    for step in reversed(between):
        # Asked before its stages are made, as that may load an encoder.
        if _read_by(later) <= {table for stage in [*ingested, *later] for table in outputs(stage)}:
            break
        later = [*_followed_by(STAGES[step](context), later), *later]
    return [*ingested, *later]


def _followed_by(stages: Sequence[Stage], later: Sequence[Stage]) -> list[Stage]:
    """Those of `stages` that make what `later` reads, or what one of these reads."""
    wanted, found = _read_by(later), []
    for stage in reversed(stages):
        if wanted & set(outputs(stage)):
            wanted |= _read_by([stage])
            found.append(stage)
    return found[::-1]


def _read_by(stages: Sequence[Stage]) -> set[str]:
    return {table for stage in stages for table in reads(stage)}


def _demand_columns(context: Context, until: str, stages: list[Stage]) -> None:
    store = Store(context.root)
    made = [table for stage in stages for table in outputs(stage)]
    scored = [stage for stage in stages if is_map(stage) and is_score(stage.name)]
    written = {name for stage in scored for name in stage.writes.names}
    named = named_columns(context.config)
    if until == "select":
        select = select_stage(context.config, store)
        named += select.columns
        demand_made(store, select.needs, made)
    demand_tables(store, [name for name in named if name not in written], made)
