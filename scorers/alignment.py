"""Alignment: how well text and images agree in the encoder's space. Arrays in, numbers out; no model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Pairs gathered at once: two float64 copies of 256 x 1,024 stay in the cache.
GATHERED_PAIRS = 256
ROTATIONS = 8


def alignment(
    images: NDArray[np.float32],
    image_offsets: NDArray[np.int64],
    texts: NDArray[np.float32],
    text_offsets: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Mean over a sample's text chunks of the maximum over its images of the cosine, sample by sample.

    Image j of sample i is row `image_offsets[i] + j` of `images`, and so for `texts`. A row of zeros stands
    for something without a vector and is left out. The sums are float64 and a sample's bits depend on its
    own vectors alone: neither on the batch nor on threads.

    Args:
        images: (m, d) float32 unit rows.
        image_offsets: (n + 1,).
        texts: (c, d) float32 unit rows.
        text_offsets: (n + 1,).

    Returns:
        (n,) float32 in [-1, 1], higher is better; NaN where a sample has no image or no text (the column that
        it becomes is null there).

    Raises:
        ValueError: the offsets speak of different numbers of samples.
    """
    if len(image_offsets) != len(text_offsets):
        raise ValueError(
            f"{len(image_offsets) - 1} samples have images and {len(text_offsets) - 1} texts; give as many"
        )
    image_rows, n_images = _present(images, image_offsets)
    text_rows, n_texts = _present(texts, text_offsets)
    scored = (n_images > 0) & (n_texts > 0)
    out = np.full(len(scored), np.nan, np.float32)
    if not scored.any():
        return out
    # A pair for each chunk and each image of its sample, chunk by chunk.
    chunks = text_rows[np.repeat(scored, n_texts)]
    fan = np.repeat(n_images[scored], n_texts[scored])
    first_image = np.repeat((np.cumsum(n_images) - n_images)[scored], n_texts[scored])
    starts = np.cumsum(fan) - fan
    within = np.arange(fan.sum()) - np.repeat(starts, fan)
    pairs = _dots(images, texts, image_rows[np.repeat(first_image, fan) + within], np.repeat(chunks, fan))
    best = np.maximum.reduceat(pairs, starts)
    chunk_counts = n_texts[scored]
    out[scored] = np.add.reduceat(best, np.cumsum(chunk_counts) - chunk_counts) / chunk_counts
    return np.clip(out, -1.0, 1.0)


def mismatch_statistics(
    images: NDArray[np.float32], texts: NDArray[np.float32], rotations: int = ROTATIONS
) -> tuple[float, float]:
    """Mean and standard deviation of the cosine of images with texts of OTHER samples.

    Row i of both arrays is one sample. The texts are rotated against the images by `rotations` shifts spread
    evenly over the sample; a pair is left out where its image or its text equals that of the true pair (many
    questions about one image, one question about many images), byte for byte. The sums are exact (fsum), so
    the result depends on the pairs alone.

    Args:
        images: (n, d) float32 unit rows.
        texts: (n, d) float32 unit rows.
        rotations: how many shifts; fewer where n is small. Cost: rotations * n * d.

    Returns:
        (mean, deviation): cosines; the deviation is that of the population. (0.0, 0.0) where no pair is left.

    Raises:
        ValueError: the arrays have different shapes.
    """
    if images.shape != texts.shape:
        raise ValueError(f"images are {images.shape} and texts {texts.shape}; they must be the same samples")
    n = len(images)
    image_ids, text_ids = _row_ids(images), _row_ids(texts)
    here = np.arange(n)
    cosines: list[float] = []
    for shift in _shifts(n, rotations):
        there = (here + shift) % n
        wrong = (image_ids[here] != image_ids[there]) & (text_ids[here] != text_ids[there])
        cosines += _dots(images, texts, here[wrong], there[wrong]).tolist()
    if not cosines:
        return 0.0, 0.0
    mean = math.fsum(cosines) / len(cosines)
    return mean, math.sqrt(math.fsum((cosine - mean) ** 2 for cosine in cosines) / len(cosines))


def standardise(cosines: NDArray[np.floating], mean: float, deviation: float) -> NDArray[np.float64]:
    """(cosine - mean) / deviation, (n,) float64; NaN stays NaN, and a deviation of 0 makes every row NaN."""
    wide = cosines.astype(np.float64)
    if deviation == 0:
        return np.full(len(wide), np.nan)
    return (wide - mean) / deviation


@dataclass(frozen=True)
class Alignment:
    """`alignment`: a sample's cosine in standard deviations above the pool's mismatched pairs.

    Higher is better; 0 is a text under a random image. Cosines of two encoders do not compare, these do.

    Args:
        mean: cosine of mismatched pairs, from `mismatch_statistics`.
        deviation: theirs; 0 where the pool has no mismatched pairs, and then every score is null.
    """

    mean: float
    deviation: float

    name: ClassVar[str] = "alignment"
    version: ClassVar[int] = 1
    writes: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field(
                "alignment",
                pa.float32(),
                metadata={"unit": "standard deviations", "range": "(-inf, inf)", "better": "higher"},
            ),
            pa.field(
                "alignment_cosine",
                pa.float32(),
                metadata={"unit": "cosine", "range": "[-1, 1]", "better": "higher"},
            ),
        ]
    )

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One row a row of `batch`, which has the float column `cosine`; null where that is null."""
        cosines = batch.column("cosine").to_numpy(zero_copy_only=False).astype(np.float32)
        scores = standardise(cosines, self.mean, self.deviation).astype(np.float32)
        arrays = [pa.array(values, mask=np.isnan(values)) for values in (scores, cosines)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.writes)


def _present(
    rows: NDArray[np.float32], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the rows that are not zero, and how many of them each sample has."""
    present = rows.any(axis=1)
    before = np.concatenate([[0], np.cumsum(present)]).astype(np.int64)
    return np.flatnonzero(present), np.diff(before[offsets])


def _dots(
    images: NDArray[np.float32], texts: NDArray[np.float32], i: NDArray[np.int64], j: NDArray[np.int64]
) -> NDArray[np.float64]:
    """images[i] . texts[j], pair by pair, in float64. A matrix product's bits would depend on the batch."""
    out = np.empty(len(i), np.float64)
    for start in range(0, len(i), GATHERED_PAIRS):
        part = slice(start, start + GATHERED_PAIRS)
        left, right = images[i[part]].astype(np.float64), texts[j[part]].astype(np.float64)
        np.einsum("ij,ij->i", left, right, out=out[part])
    return out


def _row_ids(rows: NDArray[np.float32]) -> NDArray[np.int64]:
    """A number a row, equal where the rows are equal byte for byte."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in rows], np.int64)


def _shifts(n: int, rotations: int) -> list[int]:
    """Up to `rotations` different shifts in [1, n), spread evenly."""
    count = min(rotations, n - 1)
    return [1 + turn * (n - 1) // count for turn in range(count)]
