"""Figures of a CLIP model on pairs held out from the training of the built-in one."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageEnhance

from scorers.separation import interval
from training.pairs import Pair, other_pairs, real_pairs, recompressed, synthetic_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from schemas.protocols import Encoder

HELD_OUT_SEED = 1_000_003  # of drawn pairs; training draws with seed 0
MOST = 500  # pairs of a source
BATCH = 100  # rows of a forward pass
SAME = 0.97  # cosine above which two pictures count as copies
NEIGHBOURS = 5

COPIES: dict[str, Callable[[Picture], Picture]] = {
    "resized_0.6": lambda image: image.resize(
        (max(1, round(image.width * 0.6)), max(1, round(image.height * 0.6))), Image.Resampling.LANCZOS
    ),
    "jpeg_40": lambda image: recompressed(image, 40),
    "brightened_1.08": lambda image: ImageEnhance.Brightness(image).enhance(1.08),
    "cropped_3_percent": lambda image: image.crop(
        (
            max(1, round(image.width * 0.03)),
            max(1, round(image.height * 0.03)),
            image.width - max(1, round(image.width * 0.03)),
            image.height - max(1, round(image.height * 0.03)),
        )
    ),
}


def held_out_pairs(data: Path, tier: str) -> list[Pair]:
    """Return at most MOST pairs a source that training has not seen, one a picture.

    Of tier A the tenth of each source that is held out; of tier B whole sources.
    """
    return limited(real_pairs(data, aside=True) if tier == "A" else other_pairs(data))


def drawn_pairs(n: int) -> list[Pair]:
    """Return n pairs of our generator, of a seed that training does not use."""
    return list(synthetic_pairs(range(n), HELD_OUT_SEED))


def limited(pairs: Iterable[Pair]) -> list[Pair]:
    """Return at most MOST pairs a source, chosen at random, none with the pixels of another."""
    found: dict[str, dict[bytes, Pair]] = {}
    for pair in pairs:
        digest = hashlib.sha256(pair.image.tobytes()).digest()
        found.setdefault(pair.source, {}).setdefault(digest, pair)
    kept = []
    for source, distinct in found.items():
        ordered = list(distinct.values())
        kept += random.Random(source).sample(ordered, min(MOST, len(ordered)))
    return kept


def image_vectors(encoder: Encoder, images: Sequence[Picture]) -> NDArray[np.float32]:
    """Return (n, d) unit vectors."""
    parts = []
    for start in range(0, len(images), BATCH):
        pixels = [encoder.preprocess(image) for image in images[start : start + BATCH]]
        parts.append(encoder.encode_images(np.stack(pixels)))
    return np.concatenate(parts)


def text_vectors(encoder: Encoder, texts: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    """Return (n, d) unit vectors of the turns of n samples: means over pieces, as the chain has them."""
    pieces = [[piece for text in turns for piece in encoder.split(text)] for turns in texts]
    flat = [piece for found in pieces for piece in found]
    parts = [
        encoder.encode_texts(encoder.tokenize(flat[at : at + BATCH])) for at in range(0, len(flat), BATCH)
    ]
    ends = np.cumsum([len(found) for found in pieces])[:-1]
    means = np.stack([part.mean(axis=0) for part in np.split(np.concatenate(parts), ends)])
    unit: NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit


def recall(similarity: NDArray[np.float32], most: int) -> float:
    """Return the fraction of rows whose own column is among the `most` largest, ties against it."""
    own = np.diag(similarity)[:, None]
    return float(((similarity >= own).sum(axis=1) <= most).mean())


def auc(true: NDArray[np.float32], false: NDArray[np.float32]) -> float:
    """Return the chance that a true pair is more alike than a false one, ties counting half."""
    ordered = np.sort(true)
    below = np.searchsorted(ordered, false, side="left") + np.searchsorted(ordered, false, side="right")
    return float(1 - below.mean() / (2 * len(ordered)))


def knn_accuracy(vectors: NDArray[np.float32], labels: Sequence[str]) -> float:
    """Return how often the NEIGHBOURS nearest other rows name a row's label, the nearest breaking ties."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS]
    named = [Counter(labels[i] for i in row).most_common(1)[0][0] for row in nearest]
    return float(np.mean([name == label for name, label in zip(named, labels, strict=True)]))


def across(labels: Sequence[str]) -> NDArray[np.bool_]:
    """Return (n, n): which picture and text are of different sources."""
    names = np.asarray(labels)
    different: NDArray[np.bool_] = names[:, None] != names[None]
    return different


def retrieval(similarity: NDArray[np.float32]) -> dict[str, float]:
    """Return recalls of both directions, and the AUC of true pairs against all others with its interval."""
    others = ~np.eye(len(similarity), dtype=bool)
    within = auc(np.diag(similarity), similarity[others])
    low, high = interval(within, len(similarity))
    return {
        "pairs": float(len(similarity)),
        "image_to_text_1": recall(similarity, 1),
        "image_to_text_10": recall(similarity, 10),
        "text_to_image_1": recall(similarity.T, 1),
        "text_to_image_10": recall(similarity.T, 10),
        "auc_within": within,
        "auc_within_low": low,
        "auc_within_high": high,
    }


def copies(encoder: Encoder, images: Sequence[Picture], vectors: NDArray[np.float32]) -> dict[str, float]:
    """Return how near changed copies stay, and how near other pictures come: cosines and fractions."""
    between = vectors @ vectors.T - 2 * np.eye(len(vectors))
    figures = {f"nearest_other_above_{SAME}": float((between.max(axis=1) > SAME).mean())}
    for name, copy in COPIES.items():
        cosines = (vectors * image_vectors(encoder, [copy(image) for image in images])).sum(axis=1)
        figures[f"{name}_percentile_1"] = float(np.percentile(cosines, 1))
        figures[f"{name}_above_{SAME}"] = float((cosines > SAME).mean())
    return figures
