"""The chain from pool to subset: which stages there are, in which order, and which verb ends where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curation.keys import is_map, outputs
from curation.plugins import plugin_stages
from curation.stages.distinct import Distinct

if TYPE_CHECKING:
    from collections.abc import Callable

    from curation.files import Location
    from curation.keys import Stage
    from curation.models.resolved import Model
    from schemas.config import Config

# The last stages of each step. A step runs whatever of the steps before it is not done.
STEPS = ("ingest", "embed", "score", "cluster", "prune", "select")

# Tables that follow from the whole pool: with a new dataset their stages run again. Every other table gets
# the new dataset's shards and keeps the rest.
WHOLE_POOL = (
    "distinct_images",
    "image_places",
    "distinct_chunks",
    "chunk_places",
    "builtin_distinct_chunks",
    "builtin_chunk_places",
    "mismatch",
    "mismatch_bank",
    "alignment",
    "openings",
    "words",
    "quality",
    "centroids",
    "k_curve",
    "nearest",
    "clusters",
    "skills",
    "cluster_quality",
    "firsts",
    "probes",
    "pieces",
    "visits",
    "neighbours",
    "look_alikes",
    "pruned",
    "prune_curve",
    "leaks",
    "selection",
    "strata",
)


def chain(
    config: Config, until: str, model: Callable[[], Model], root: Location | None = None
) -> list[Stage]:
    """The stages up to and with step `until`, each after what it reads. `model` is asked where needed.

    `root` is the workspace's folder, which the scorers on request need.
    """
    from curation.leaking import leak_stages
    from curation.stages.capability import capability_stages
    from curation.stages.clusters import cluster_stages
    from curation.stages.endpoint import judgement_stages
    from curation.stages.head import head_stages

    plugged = plugin_stages(config.score.plugins)
    stages: list[Stage] = []
    for step in STEPS[: STEPS.index(until) + 1]:
        if step == "cluster":
            stages += cluster_stages(config, model, root)
        elif step == "prune":
            from curation.stages.prune import prune_stages

            stages += prune_stages(config, model, root)
            stages += leak_stages(config, root)
        else:
            stages += _BUILD[step](config, model)
        if step == "score" and root is not None:
            stages += [*head_stages(config.score.heads, model, root.parent), *plugged]
            stages += capability_stages(config, model, root) + judgement_stages(config, root)
    if root is not None and "prune" in STEPS[: STEPS.index(until) + 1]:
        _demand_columns(config, until, stages, root)
    return stages


def _demand_columns(config: Config, until: str, stages: list[Stage], root: Location) -> None:
    """Refuse settings that name a column which is neither there nor made on the way."""
    from curation.scores import PLUGIN, TABLES, demand_tables
    from curation.selection.columns import demand_made
    from curation.stages.prune import named_columns
    from curation.stages.select import Select
    from curation.store import Store

    made = [table for stage in stages for table in outputs(stage)]
    written = {
        name
        for stage in stages
        if is_map(stage) and (stage.name in TABLES or stage.name.startswith(PLUGIN))
        for name in stage.writes.names
    }
    named = named_columns(config)
    if until == "select":
        select = Select.of(config)
        named += list(select.columns)
        demand_made(Store(root), select.needs, made)
    demand_tables(Store(root), [name for name in named if name not in written], made)


def _ingest(config: Config, model: Callable[[], Model]) -> list[Stage]:
    from curation.stages.images import DistinctImages, Figures
    from curation.stages.ingest import Ingest
    from curation.stages.samples import Check

    images = config.images
    return [
        Ingest(images.follow_links, images.allow_remote),
        Distinct(
            "distinct_images", "samples", "images.list.element.sha256", "distinct_images", "image_places"
        ),
        Figures(DistinctImages(config.embed.batch, images.max_pixels)),
        Check(),
    ]


def _embed(config: Config, model: Callable[[], Model]) -> list[Stage]:
    from curation.stages.embedding import embedding_stages

    return embedding_stages(config, model())


def _score(config: Config, model: Callable[[], Model]) -> list[Stage]:
    from curation.stages.alignment import Align, Mismatch
    from curation.stages.quality import FlagTexts, JudgeQuality, MineTexts
    from curation.stages.samples import MeasureHygiene
    from curation.stages.vectors import Cosines, Embedded

    dim = model().dim
    stages: list[Stage] = [Cosines(Embedded(dim)), Mismatch(dim), Align(), MeasureHygiene()]
    stages += [FlagTexts(), MineTexts(), JudgeQuality()]
    if config.embed.phrases:
        from curation.stages.grounding import AskedSamples
        from curation.stages.phrases import GroundPhrases

        stages.append(GroundPhrases(AskedSamples(config.images.max_pixels), model(), config.embed.batch))
    if config.vlm.model:
        from curation.resolve import resolve_vlm
        from curation.stages.grounding import AskedSamples, Ground

        vlm = resolve_vlm(config.vlm, config.run.device)
        stages.append(
            Ground(AskedSamples(config.images.max_pixels), vlm, config.vlm.gamma, config.vlm.dominance)
        )
    return stages


def gradient_stage(config: Config) -> Stage:
    """The stage that makes the table `gradients`, which --vectors gradient clusters by."""
    from curation.resolve import resolve_checkpoints
    from curation.stages.gradients import Checkpoint, SampleGradients
    from curation.stages.grounding import AskedSamples

    checkpoints = resolve_checkpoints(config.vlm, config.gradient.checkpoints, config.run.device)
    return SampleGradients(
        AskedSamples(config.images.max_pixels),
        tuple(Checkpoint(vlm, weight) for vlm, weight in checkpoints),
        config.gradient.layers,
        config.gradient.dims,
        config.run.seed,
    )


def _select(config: Config, model: Callable[[], Model]) -> list[Stage]:
    from curation.stages.select import Select
    from schemas.errors import BudgetError

    if config.select.budget is None:
        raise BudgetError(
            'say how much to keep: --budget 30%, or budget = "30%" under [select] in curate.toml'
        )
    return [Select.of(config)]


_BUILD: dict[str, Callable[[Config, Callable[[], Model]], list[Stage]]] = {
    "ingest": _ingest,
    "embed": _embed,
    "score": _score,
    "select": _select,
}
