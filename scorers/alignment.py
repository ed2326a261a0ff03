"""Alignment: how well text and images agree in the encoder's space. Arrays in, numbers out; no model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.columns import figure
from schemas.grid import on_grid

# Pairs gathered at once: two float64 copies of 256 x 1,024 stay in the cache.
GATHERED_PAIRS = 256
# Neighbours that a cosine is held against (K of CSLS).
NEAREST = 10
NOWHERE = np.float32(-9.0)  # below every cosine


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


@dataclass(frozen=True)
class Bank:
    """Samples of the pool that others are held against: row i of both arrays is one of them.

    Args:
        images: (m, d) float32 unit rows.
        texts: (m, d) float32 unit rows.
    """

    images: NDArray[np.float32]
    texts: NDArray[np.float32]

    def wrong(self, images: NDArray[np.float32], texts: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(n, m) which of the bank's samples have neither the image nor the text of a row, byte for byte."""
        same_image, same_text = _same(images, self.images), _same(texts, self.texts)
        return ~(same_image | same_text)

    def nearness(self, images: NDArray[np.float32], texts: NDArray[np.float32]) -> NDArray[np.float64]:
        """How near each image is to the nearest texts of others, and its text to the nearest images: (n,).

        The sum of both means of cosines. It follows from a row and the bank alone: neither from the batch
        nor from threads. NaN where the bank has nothing else.
        """
        of_images, of_texts = self.both(images, texts)
        return of_images + of_texts

    def both(
        self, images: NDArray[np.float32], texts: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The two means of `nearness`: that of the images, and that of the texts."""
        wrong = self.wrong(images, texts)
        of_images = _mean_of_nearest(_cosines(images, self.texts), wrong)
        return of_images, _mean_of_nearest(_cosines(texts, self.images), wrong)


def contrasts(
    images: NDArray[np.float32],
    texts: NDArray[np.float32],
    of_images: NDArray[np.float64],
    of_texts: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(n, m) twice the cosine of image i and text j, less what `Bank.both` says of each of the two."""
    found: NDArray[np.float64] = 2 * _cosines(images, texts) - of_images[:, None] - of_texts[None, :]
    return found


def mismatch_statistics(bank: Bank) -> tuple[float, float]:
    """Mean and standard deviation of the contrast of images with texts of OTHER samples of the bank.

    A pair is left out where its image or its text equals that of a true pair (many questions about one
    image, one question about many images), byte for byte. The sums are exact (fsum), so the result depends on
    the pairs alone.

    Returns:
        (mean, deviation): the deviation is that of the population. (0.0, 0.0) where no pair is left.

    Raises:
        ValueError: the arrays have different shapes.
    """
    images, texts = bank.images, bank.texts
    if images.shape != texts.shape:
        raise ValueError(f"images are {images.shape} and texts {texts.shape}; they must be the same samples")
    wrong = bank.wrong(images, texts)
    if not wrong.any():
        return 0.0, 0.0
    values = contrasts(images, texts, *bank.both(images, texts))[wrong].tolist()
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


def standardise(values: NDArray[np.floating], mean: float, deviation: float) -> NDArray[np.float64]:
    """(value - mean) / deviation, (n,) float64; NaN stays NaN, and a deviation of 0 makes every row NaN."""
    wide = values.astype(np.float64)
    if deviation == 0:
        return np.full(len(wide), np.nan)
    return (wide - mean) / deviation


@dataclass(frozen=True)
class Alignment:
    """`alignment`: a sample's contrast in standard deviations above the pool's mismatched pairs.

    The contrast is twice the cosine of image and text, less how near the image is to the ten nearest texts of
    others and the text to the ten nearest images (CSLS: Conneau et al., ICLR 2018): a text that lies near
    every image says little about this one. Higher is better; 0 is a text under a random image. Cosines of two
    encoders do not compare, these do.

    Args:
        mean: contrast of mismatched pairs, from `mismatch_statistics`.
        deviation: theirs; 0 where the pool has no mismatched pairs, and then every score is null.
    """

    mean: float
    deviation: float

    name: ClassVar[str] = "alignment"
    version: ClassVar[int] = 2
    writes: ClassVar[pa.Schema] = pa.schema(
        [
            figure("alignment", "standard deviations", "(-inf, inf)", "higher"),
            figure("alignment_cosine", "cosine", "[-1, 1]", "higher"),
        ]
    )

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One row a row of `batch`, which has columns `cosine` and `nearness`; null where either is."""
        cosines = batch.column("cosine").to_numpy(zero_copy_only=False).astype(np.float32)
        nearness = batch.column("nearness").to_numpy(zero_copy_only=False).astype(np.float64)
        scores = standardise(2 * cosines - nearness, self.mean, self.deviation).astype(np.float32)
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


def _cosines(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, m) cosines of rows on the grid: the same bits for any batch."""
    products: NDArray[np.float32] = on_grid(rows) @ on_grid(others).T
    return products


def _mean_of_nearest(cosines: NDArray[np.float32], wrong: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of each row the mean of the NEAREST highest cosines where `wrong`, or of as many as there are: (n,)."""
    held = np.where(wrong, cosines, NOWHERE)
    if held.shape[1] > NEAREST:
        held = np.partition(held, held.shape[1] - NEAREST, axis=1)[:, -NEAREST:]
    there = held > NOWHERE
    count = there.sum(axis=1)
    total = np.where(there, held, np.float32(0)).sum(axis=1, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _same(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(n, m) where a row equals another one byte for byte."""
    numbers: dict[bytes, int] = {}
    theirs = np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in others], np.int64)
    ours = np.array([numbers.get(row.tobytes(), -1) for row in rows], np.int64)
    same: NDArray[np.bool_] = ours[:, None] == theirs[None, :]
    return same
