"""The stage that chooses, as the settings ask for it."""

from __future__ import annotations

from dataclasses import replace

from curation.catalog import ALWAYS, own_columns, tables_for
from curation.plugins import plugin_columns
from curation.selectors.decision import wanted
from curation.selectors.less import spec_with
from curation.steps.context import Context
from curation.steps.select.columns import derived
from curation.steps.select.listed import listed
from curation.steps.select.measured import MeasureFilters
from curation.steps.select.select import Select
from curation.storage.store import Store
from schemas.config import Config
from schemas.errors import BudgetError
from schemas.stages import Pool, Stage


def select_stages(context: Context) -> list[Stage]:
    """The stage of `selection`, and before it what measures its filters."""
    return [*filter_stages(context.config), select_stage(context.config, Store(context.root))]


def filter_stages(config: Config) -> list[Stage]:
    """What measures the default filters on the pool, where they are wanted."""
    settings = config.select
    return [MeasureFilters(settings.min_auc, settings.max_loss)] if settings.default_filters else []


def select_stage(config: Config, pool: Pool) -> Select:
    """The stage that the settings ask for; of the pool it is asked which columns were added.

    Raises:
        CurateError: there is no budget, a setting is wrong, or a list cannot be read.
    """
    settings = config.select
    if settings.budget is None:
        raise BudgetError(
            'say how much to keep: --budget 30%, or budget = "30%" under [select] in curate.toml'
        )
    strategy = spec_with(settings.strategy, settings.target)
    stage = Select(
        settings.budget,
        strategy,
        config.run.seed,
        (),
        settings.mix,
        settings.where,
        settings.default_filters,
        settings.min_auc,
        settings.max_loss,
        settings.at_least,
        settings.at_most,
        listed(settings.must_keep),
        listed(settings.must_drop),
        leaves_out_leaks(config),
    )
    return replace(stage, tables=_tables(stage, config, own_columns(pool)))


def leaves_out_leaks(config: Config) -> bool:
    """Whether the settings name benchmarks whose leaks are not to be selected."""
    return bool(config.decontaminate.against) and not config.decontaminate.tag


def _tables(stage: Select, config: Config, own: dict[str, str]) -> tuple[str, ...]:
    """The scores that it may look at: those of every run, and of the others what it names or wishes."""
    made = {
        "grounding": config.vlm.model is not None,
        "phrase_grounding": config.embed.phrases,
        "text_agreement": config.score.ocr,
        "picture_agreement": config.score.ocr,
        "capability": config.capability.backend != "none",
        "judgement": config.endpoint.judge,
    }
    plugged = {**own, **plugin_columns(config.score.plugins)}
    wishes = wanted(stage.chooser)
    optional = tables_for([name for name in wishes if name not in derived(wishes)])
    named = tables_for([name for name in stage.columns if name not in plugged])
    named += tuple(plugged[name] for name in stage.columns if name in plugged)
    return tuple(dict.fromkeys((*ALWAYS, *named, *(table for table in optional if made.get(table)))))
