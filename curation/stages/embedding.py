"""Which stages embed a pool with an encoder: each distinct image and text once, then a sample's means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curation.stages.distinct import Distinct

if TYPE_CHECKING:
    from curation.keys import Stage
    from curation.models.resolved import Model
    from schemas.config import Config


def embedding_stages(config: Config, encoder: Model, prefix: str = "") -> list[Stage]:
    """The stages from `checked` to `vectors`, the names of all their tables behind `prefix`."""
    from curation.stages.images import DistinctImages, EmbedImages
    from curation.stages.texts import Chunks, DistinctChunks, EmbedTexts
    from curation.stages.vectors import Embedded, MeanVectors

    images = DistinctImages(config.embed.batch, config.images.max_pixels)
    chunks, index, places = (f"{prefix}{name}" for name in ("chunks", "distinct_chunks", "chunk_places"))
    return [
        EmbedImages(images, encoder, f"{prefix}image_vectors"),
        Chunks(encoder, chunks),
        Distinct(index, chunks, "chunks.list.element.hash", index, places),
        EmbedTexts(encoder, config.embed.batch, DistinctChunks(prefix), f"{prefix}chunk_vectors"),
        MeanVectors(Embedded(encoder.dim, prefix), f"{prefix}vectors"),
    ]
