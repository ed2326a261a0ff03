"""From `checked` to `vectors`: each distinct image and text embedded once, then the means of a sample."""

from __future__ import annotations

from curation.models.resolved import Model
from curation.steps.context import Context
from curation.steps.embed.images import EmbedImages
from curation.steps.embed.texts import Chunks, DistinctChunks, EmbedTexts
from curation.steps.embed.vectors import Embedded, MeanVectors
from curation.steps.ingest.distinct import Distinct
from curation.steps.ingest.images import DistinctImages
from schemas.config import Config
from schemas.stages import Stage


def embed_stages(context: Context) -> list[Stage]:
    """The stages that embed the pool with the encoder of the settings."""
    return embedding_with(context.config, context.model())


def embedding_with(config: Config, encoder: Model, prefix: str = "") -> list[Stage]:
    """The stages from `checked` to `vectors` by any encoder, their tables named behind `prefix`."""
    images = DistinctImages(config.embed.batch, config.images.max_pixels)
    chunks, index, places = (f"{prefix}{name}" for name in ("chunks", "distinct_chunks", "chunk_places"))
    return [
        EmbedImages(images, encoder, f"{prefix}image_vectors"),
        Chunks(encoder, chunks),
        Distinct(index, chunks, "chunks.list.element.hash", index, places),
        EmbedTexts(encoder, config.embed.batch, DistinctChunks(prefix), f"{prefix}chunk_vectors"),
        MeanVectors(Embedded(encoder.dim, prefix), f"{prefix}vectors"),
    ]
