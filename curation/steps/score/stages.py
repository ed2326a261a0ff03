"""From vectors to scores: those of every run, then those that are asked for."""

from __future__ import annotations

from curation.models.ocr import resolve_ocr
from curation.models.resolve import resolve_vlm
from curation.steps.context import Context
from curation.steps.ingest.dialogues import AskedSamples
from curation.steps.ingest.images import DistinctImages
from curation.steps.score.alignment import Mismatch, align_stage
from curation.steps.score.answers import FitAnswers, answers_stage
from curation.steps.score.capability import capability_stages
from curation.steps.score.columns import builtin_stages, plugin_stages
from curation.steps.score.cosines import cosine_stage
from curation.steps.score.endpoint import judgement_stages
from curation.steps.score.grounding import Ground
from curation.steps.score.heads import head_stages
from curation.steps.score.hygiene import hygiene_stage
from curation.steps.score.ocr import ReadImages
from curation.steps.score.own import own_stages
from curation.steps.score.phrases import GroundPhrases
from curation.steps.score.synthetic import MineTexts, flag_stage, quality_stage
from curation.steps.score.text_agreement import text_agreement_stages
from schemas.stages import Stage


def score_stages(context: Context) -> list[Stage]:
    """The stages of every score that the settings ask for."""
    config, dim = context.config, context.model().dim
    asked = AskedSamples(config.images.max_pixels)
    stages: list[Stage] = [cosine_stage(dim), Mismatch(dim), align_stage(), hygiene_stage()]
    stages += [FitAnswers(dim), answers_stage()]
    stages += [flag_stage(), MineTexts(), quality_stage(), *builtin_stages()]
    if config.score.ocr:
        images = DistinctImages(config.embed.batch, config.images.max_pixels)
        stages += [ReadImages(images, resolve_ocr(config.score.ocr_side)), *text_agreement_stages()]
    if config.embed.phrases:
        stages.append(GroundPhrases(asked, context.model(), config.embed.batch))
    if config.vlm.model:
        vlm = resolve_vlm(config.vlm, config.run.device)
        stages.append(Ground(asked, vlm, config.vlm.gamma, config.vlm.dominance))
    stages += [*head_stages(context), *plugin_stages(config.score.plugins), *own_stages(context)]
    return [*stages, *capability_stages(context), *judgement_stages(context)]
