"""From data files to `checked`: records, distinct images, their figures, and which samples are readable."""

from __future__ import annotations

from curation.steps.context import Context
from curation.steps.ingest.distinct import Distinct
from curation.steps.ingest.images import DistinctImages, Figures
from curation.steps.ingest.records import Ingest
from curation.steps.ingest.samples import Check
from schemas.stages import Stage


def ingest_stages(context: Context) -> list[Stage]:
    """The stages from data files to `checked`."""
    config = context.config
    hashes = "images.list.element.sha256"
    return [
        Ingest(
            config.images.follow_links,
            config.images.allow_remote,
            config.read.image_token,
            config.read.roles,
            config.read.spelling,
        ),
        Distinct("distinct_images", "samples", hashes, "distinct_images", "image_places"),
        Figures(DistinctImages(config.embed.batch, config.images.max_pixels)),
        Check(),
    ]
