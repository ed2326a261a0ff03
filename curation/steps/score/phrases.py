"""`phrase_grounding`: phrases of a sample's text against regions of its images, in the encoder's space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.models.resolved import Model
from curation.readers.images import decode, to_rgb
from curation.steps.ingest.dialogues import AskedSamples, Dialogue
from schemas.columns import UID
from schemas.protocols import Encoder
from scorers.grounding import TEXT_ONLY, UNREADABLE
from scorers.phrases import BANK, REGIONS, Grounded, PhraseGrounding, beaten, phrases

if TYPE_CHECKING:
    from PIL import Image

NO_PHRASE = "no_phrase"
Prepared = tuple[list[str], list["NDArray[np.uint8]"]] | str


@dataclass(frozen=True)
class GroundPhrases:
    """`phrase_grounding`: see `scorers.phrases`. Answers are read; captions are answers."""

    source: AskedSamples
    model: Model
    batch: int

    name: ClassVar[str] = "phrase_grounding"
    version: ClassVar[int] = PhraseGrounding.version
    writes: ClassVar[pa.Schema] = pa.schema([UID, *PhraseGrounding.writes])

    def params(self) -> dict[str, Any]:
        return {"model": self.model.key, "batch": self.batch, "max_pixels": self.source.max_pixels}

    def prepare(self, piece: Dialogue) -> Prepared:
        """Phrases and the pixels of all regions, or why there are none."""
        if piece.turns is None:
            return UNREADABLE
        if not piece.images:
            return TEXT_ONLY
        found = phrases(". ".join(text for role, text in piece.turns if role == "assistant"))
        if not found:
            return NO_PHRASE
        encoder = self.model.encoder()
        images = [to_rgb(decode(image, max_pixels=self.source.max_pixels)) for image in piece.images]
        return found, [encoder.preprocess(region) for image in images for region in regions(image)]

    def finish(self, rows: pa.RecordBatch, prepared: list[Prepared]) -> pa.RecordBatch:
        encoder = self.model.encoder()
        some = [each for each in prepared if not isinstance(each, str)]
        seen = _images(encoder, [pixels for _, regions in some for pixels in regions], self.batch)
        said = _texts(encoder, [phrase for found, _ in some for phrase in found], self.batch)
        bank = _bank(self.model, self.batch)
        scored: list[Grounded] = []
        image = text = 0
        for each in prepared:
            if isinstance(each, str):
                scored.append(Grounded(reason=each))
                continue
            found, pixels = each
            mine = seen[image : image + len(pixels)].astype(np.float64)
            best = _best(said[text : text + len(found)], mine)
            ranks = beaten(best, _best(bank, mine))
            scored.append(Grounded(tuple(found), tuple(ranks.tolist())))
            image, text = image + len(pixels), text + len(found)
        scores = PhraseGrounding().score(scored)
        return pa.record_batch([rows["uid"], *scores.columns], schema=self.writes)


def regions(image: Image.Image) -> list[Image.Image]:
    """The regions of an image, at least one pixel a side."""
    w, h = image.size
    return [
        image.crop(
            (
                min(w - 1, int(left * w)),
                min(h - 1, int(top * h)),
                max(int(left * w) + 1, round(right * w)),
                max(int(top * h) + 1, round(bottom * h)),
            )
        )
        for left, top, right, bottom in REGIONS
    ]


def _best(texts: NDArray[np.float32], seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest cosine of each text with a region; sums in float64, a pair by itself."""
    products = np.einsum("td,rd->tr", texts.astype(np.float64), seen)
    largest: NDArray[np.float64] = products.max(axis=1)
    return largest


def _images(encoder: Encoder, pixels: Sequence[NDArray[np.uint8]], batch: int) -> NDArray[np.float32]:
    """Vectors of pixels, `batch` a pass; the last pass is filled up, as its shape could change bits."""
    found = np.zeros((len(pixels), encoder.dim), np.float32)
    held = np.zeros((batch, 3, *encoder.image_size), np.uint8)
    for at in range(0, len(pixels), batch):
        part = pixels[at : at + batch]
        held[: len(part)] = part
        found[at : at + batch] = encoder.encode_images(held)[: len(part)]
    return found


def _texts(encoder: Encoder, texts: Sequence[str], batch: int) -> NDArray[np.float32]:
    found = np.zeros((len(texts), encoder.dim), np.float32)
    for at in range(0, len(texts), batch):
        part = list(texts[at : at + batch])
        filled = [*part, *["" for _ in range(batch - len(part))]]
        found[at : at + batch] = encoder.encode_texts(encoder.tokenize(filled))[: len(part)]
    return found


@lru_cache(maxsize=2)
def _bank(model: Model, batch: int) -> NDArray[np.float32]:
    return _texts(model.encoder(), BANK, batch)
