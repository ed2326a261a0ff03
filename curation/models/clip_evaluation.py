"""Figures of a CLIP model on held-out pairs: `python -m curation.models.clip_evaluation`."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageEnhance

from curation.models.clip_data import Pair, real_pairs, recompressed, synthetic_pairs
from curation.models.encoder import load_encoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from schemas.protocols import Encoder

HELD_OUT_SEED = 1_000_003  # of drawn pairs; training draws with seed 0
BATCH = 100  # rows of a forward pass
SAME = 0.97  # cosine above which two pictures count as copies

COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "resize_0.6": lambda image: image.resize(
        (max(1, round(image.width * 0.6)), max(1, round(image.height * 0.6))), Image.Resampling.LANCZOS
    ),
    "jpeg_40": lambda image: recompressed(image, 40),
    "brightness_1.08": lambda image: ImageEnhance.Brightness(image).enhance(1.08),
    "crop_3_percent": lambda image: image.crop(
        (
            max(1, round(image.width * 0.03)),
            max(1, round(image.height * 0.03)),
            image.width - max(1, round(image.width * 0.03)),
            image.height - max(1, round(image.height * 0.03)),
        )
    ),
}


def held_out_pairs(data: Path | None, n: int) -> list[Pair]:
    """Return n pairs that training has not seen: half of them real where `data` is given."""
    real = list(real_pairs(data, 0, held_out=True)) if data else []
    real = random.Random(0).sample(real, min(n // 2, len(real)))
    return [*real, *synthetic_pairs(n - len(real), HELD_OUT_SEED)]


def measure(encoder: Encoder, pairs: list[Pair]) -> dict[str, float]:
    """Return the figures of one model on the given pairs, cosines and fractions in [0, 1]."""
    started = time.perf_counter()
    images = _encoded(encoder, [pair.image for pair in pairs])
    speed = len(pairs) / (time.perf_counter() - started)
    rng = random.Random(0)
    texts = [rng.choice(pair.texts) for pair in pairs]
    sentences = encoder.encode_texts(encoder.tokenize(texts))
    similarity = images @ sentences.T
    figures = {
        "pairs": float(len(pairs)),
        "images_per_second_with_preprocessing": speed,
        "recall_at_10_image_to_text": _recall(similarity),
        "recall_at_10_text_to_image": _recall(similarity.T),
        "auc_true_versus_shuffled": _auc(similarity),
    }
    between = images @ images.T
    others = between[~np.eye(len(images), dtype=bool)]
    figures["different_median"] = float(np.median(others))
    figures["different_percentile_99"] = float(np.percentile(others, 99))
    nearest = (between - 2 * np.eye(len(images))).max(axis=1)
    figures[f"nearest_other_above_{SAME}"] = float((nearest > SAME).mean())
    for name, copy in COPIES.items():
        cosines = (images * _encoded(encoder, [copy(pair.image) for pair in pairs])).sum(axis=1)
        figures[f"{name}_median"] = float(np.median(cosines))
        figures[f"{name}_percentile_1"] = float(np.percentile(cosines, 1))
        figures[f"{name}_above_{SAME}"] = float((cosines > SAME).mean())
    return {name: round(value, 4) for name, value in figures.items()}


def _encoded(encoder: Encoder, images: list[Image.Image]) -> NDArray[np.float32]:
    parts = []
    for start in range(0, len(images), BATCH):
        pixels = [encoder.preprocess(image) for image in images[start : start + BATCH]]
        parts.append(encoder.encode_images(np.stack(pixels)))
    return np.concatenate(parts)


def _recall(similarity: NDArray[np.float32]) -> float:
    """Return the fraction of rows whose own column is among the ten largest."""
    own = np.diag(similarity)[:, None]
    return float(((similarity > own).sum(axis=1) < 10).mean())


def _auc(similarity: NDArray[np.float32]) -> float:
    """Return the chance that a true pair is more alike than a shuffled one, ties counting half."""
    true = np.sort(np.diag(similarity))
    shuffled = similarity[~np.eye(len(similarity), dtype=bool)]
    below = np.searchsorted(true, shuffled, side="left") + np.searchsorted(true, shuffled, side="right")
    return float(1 - below.mean() / (2 * len(true)))


def main() -> None:
    """Read the command line, measure, and write one JSON object to stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument(
        "--data", type=Path, help="folder that holds mixture/mixture.json and mixture/sources.json"
    )
    parser.add_argument("--pairs", type=int, default=500)
    given = parser.parse_args()
    encoder = load_encoder(given.model, device="cpu", dtype=given.dtype)
    pairs = held_out_pairs(given.data, given.pairs)
    figures = {"all": measure(encoder, pairs)}
    drawn = [
        pair
        for pair in pairs
        if pair.source in {"charts", "tables", "rendered", "shapes", "counting", "scenes"}
    ]
    real = [pair for pair in pairs if pair not in drawn]
    figures |= {
        name: measure(encoder, part) for name, part in (("drawn", drawn), ("real", real)) if len(part) > 10
    }
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
