"""Training pairs of the builtin CLIP: our generator's samples and, where given, openly licensed records."""

from __future__ import annotations

import io
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageEnhance

from curation.generate import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

SIDE = 96  # px, the side of the builtin model's input
PICTURED = tuple(kind for kind in KINDS if kind != "arithmetic")


@dataclass(frozen=True)
class Pair:
    """One picture and every text that belongs to it."""

    image: Picture
    texts: tuple[str, ...]  # captions, answers, or question and answer
    source: str


@dataclass(frozen=True)
class Cache:
    """Pairs held in memory at the model's resolution."""

    clean: NDArray[np.uint8]  # (n, 3, SIDE, SIDE)
    changed: NDArray[np.uint8]  # (n, 3, SIDE, SIDE), the same pictures resized, recompressed or brightened
    texts: tuple[tuple[str, ...], ...]  # n
    sources: tuple[str, ...]  # n


def synthetic_pairs(n: int, seed: int) -> Iterator[Pair]:
    """Yield n drawn pairs, kinds in turn; scenes and text, the most varied, come twice as often."""
    order = (*PICTURED, "scenes", "rendered")
    for i in range(n):
        rng = random.Random(f"{seed}/{i}")
        sample = KINDS[order[i % len(order)]](rng)
        if sample.image is None:
            raise AssertionError(f"{sample.kind} draws no picture")
        texts = [sample.caption] * (2 * len(sample.turns))  # two texts in three are captions
        texts += [f"{question} {answer}" for question, answer in sample.turns]
        yield Pair(sample.image, tuple(texts), sample.kind)


def real_pairs(data: Path, seed: int, *, held_out: bool) -> Iterator[Pair]:
    """Yield the tier A records of `data`/mixture by picture, a random tenth of the pictures held out."""
    root = data / "mixture"
    sources = json.loads((root / "sources.json").read_text(encoding="utf-8"))["sets"]
    allowed = {name for name, facts in sources.items() if facts["tier"] == "A"}
    grouped: dict[str, list[dict[str, Any]]] = {}
    for record in json.loads((root / "mixture.json").read_text(encoding="utf-8")):
        if record["source"] in allowed and isinstance(record.get("image"), str):
            grouped.setdefault(record["image"], []).append(record)
    names = sorted(grouped)
    aside = set(random.Random(seed).sample(names, len(names) // 10))
    for name in names:
        if (name in aside) is held_out:
            texts = tuple(text for record in grouped[name] for text in _texts_of(record))
            with Image.open(root / name) as image:
                yield Pair(on_white(image), texts, grouped[name][0]["source"])


def _texts_of(record: dict[str, Any]) -> list[str]:
    texts = []
    turns = record["conversations"]
    for asked, answered in zip(turns[::2], turns[1::2], strict=False):
        question, answer = asked["value"].replace("<image>", "").strip(), answered["value"].strip()
        texts.append(f"{question} {answer}".strip())
        if len(answer.split()) > 2:
            texts += [answer, answer]
    return texts


def on_white(image: Picture) -> Picture:
    """Return the picture as RGB, transparent pixels over white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        clear = image.convert("RGBA")
        ground = Image.new("RGBA", clear.size, "white")
        ground.alpha_composite(clear)
        return ground.convert("RGB")
    return image.convert("RGB")


def recompressed(image: Picture, quality: int) -> Picture:
    """Return the picture as it looks after JPEG at `quality` (1 to 95)."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def changed(image: Picture, rng: random.Random) -> Picture:
    """Return a slightly changed copy: one to three of resize, JPEG, brightness, contrast and crop."""
    for change in rng.sample(("resize", "jpeg", "brightness", "contrast", "crop"), rng.randint(1, 3)):
        w, h = image.size
        if change == "resize":
            scale = rng.uniform(0.5, 0.95)
            image = image.resize(
                (max(24, round(w * scale)), max(24, round(h * scale))), Image.Resampling.BICUBIC
            )
        elif change == "jpeg":
            image = recompressed(image, rng.randint(30, 85))
        elif change == "brightness":
            image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.86, 1.14))
        elif change == "contrast":
            image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.88, 1.12))
        else:
            left, top, right, bottom = (rng.uniform(0, 0.035) for _ in range(4))
            image = image.crop(
                (round(w * left), round(h * top), round(w * (1 - right)), round(h * (1 - bottom)))
            )
    return image


def pixels(image: Picture) -> NDArray[np.uint8]:
    """Return the picture squashed to (3, SIDE, SIDE) as the builtin model's preprocessing does."""
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(small, dtype=np.uint8).transpose(2, 0, 1)


def cache_pairs(pairs: Iterator[Pair], seed: int) -> Cache:
    """Draw or decode every pair once, clean and changed."""
    rng = random.Random(seed)
    clean, altered, texts, sources = [], [], [], []
    for pair in pairs:
        clean.append(pixels(pair.image))
        altered.append(pixels(changed(pair.image, rng)))
        texts.append(pair.texts)
        sources.append(pair.source)
    return Cache(np.stack(clean), np.stack(altered), tuple(texts), tuple(sources))
