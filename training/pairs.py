"""Training pairs of the built-in CLIP: our generator's samples, openly licensed records, and icons."""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageEnhance

from curation.generate import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

SIDE = 112  # px, the side of the built-in model's input
PICTURED = tuple(kind for kind in KINDS if kind != "arithmetic")
GENRES = {
    "openstax": ("a figure from a textbook", "a textbook illustration"),
    "generated": ("a picture made by an image generator", "a generated image"),
    "sroie": ("a scanned receipt", "a photo of a till receipt"),
    "emoji_noto": ("an emoji", "a small emoji icon"),
    "vqa_rad": ("a medical image", "a radiology scan"),
    "ui_docs": ("a screenshot of software", "a screenshot from documentation"),
    "nlvr": ("three grey boxes with coloured shapes", "boxes with shapes in them"),
    "easy_vqa": ("one plain shape on a coloured ground", "a simple drawn shape"),
}
"""What sort of picture each source of tier A holds: captions beside those of the records."""
WORDS = 45  # of a piece of a long text, so that a piece fits the text tower's context


@dataclass(frozen=True)
class Pair:
    """One picture and every text that belongs to it."""

    image: Picture
    texts: tuple[str, ...]  # captions, answers, or question and answer
    source: str
    turns: tuple[str, ...] = ()  # question, line break and answer of each turn, as the chain embeds them


@dataclass(frozen=True)
class Cache:
    """Pairs at the model's resolution, in files."""

    clean: NDArray[np.uint8]  # (n, 3, SIDE, SIDE)
    changed: NDArray[np.uint8]  # (n, 3, SIDE, SIDE), the same pictures resized, recompressed or brightened
    texts: tuple[tuple[str, ...], ...]  # n


def synthetic_pairs(numbers: Iterable[int], seed: int) -> Iterator[Pair]:
    """Yield the drawn pairs of the given numbers, kinds in turn; scenes and text come twice as often."""
    order = (*PICTURED, "scenes", "rendered")
    for i in numbers:
        rng = random.Random(f"{seed}/{i}")
        sample = KINDS[order[i % len(order)]](rng)
        if sample.image is None:
            raise AssertionError(f"{sample.kind} draws no picture")
        turns = tuple(f"{question}\n{answer}" for question, answer in sample.turns)
        captions = [sample.caption] * (2 * len(turns))  # two texts in three are captions
        yield Pair(sample.image, (*captions, *turns), sample.kind, turns)


def records_by_image(data: Path, tier: str) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the records of `data`/mixture with one image, by source and by the image's path.

    Args:
        data: the folder that holds mixture/mixture.json and mixture/sources.json.
        tier: "A" for the sources whose licence lets trained weights ship, "B" for the others.
    """
    root = data / "mixture"
    sources = json.loads((root / "sources.json").read_text(encoding="utf-8"))["sets"]
    found: dict[str, dict[str, list[dict[str, Any]]]] = {
        name: {} for name, facts in sources.items() if facts["tier"] == tier
    }
    for record in json.loads((root / "mixture.json").read_text(encoding="utf-8")):
        if record["source"] in found and isinstance(record.get("image"), str):
            found[record["source"]].setdefault(record["image"], []).append(record)
    return found


def held_out(root: Path, images: Iterable[str], source: str) -> set[str]:
    """Return a random tenth of a source's images, the same in every training; equal files stay together."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(images):
        alike[hashlib.sha256((root / name).read_bytes()).hexdigest()].append(name)
    groups = sorted(alike.values())
    aside = random.Random(source).sample(groups, max(1, len(groups) // 10))
    return {name for group in aside for name in group}


def real_records(data: Path, *, aside: bool) -> Iterator[tuple[str, Path, list[dict[str, Any]]]]:
    """Yield source, image file and records of the tier A images held out (`aside`), or of the others."""
    root = data / "mixture"
    for source, images in records_by_image(data, "A").items():
        kept = held_out(root, images, source)
        for name in sorted(images):
            if (name in kept) is aside:
                yield source, root / name, images[name]


def real_pairs(data: Path, *, aside: bool) -> Iterator[Pair]:
    """Yield the tier A pairs held out (`aside`), or those to train on."""
    for source, path, records in real_records(data, aside=aside):
        yield pair_of(source, path, records)


def other_pairs(data: Path) -> Iterator[Pair]:
    """Yield the pairs of tier B, which are never trained on."""
    for source, images in records_by_image(data, "B").items():
        for name in sorted(images):
            yield pair_of(source, data / "mixture" / name, images[name])


def pair_of(source: str, path: Path, records: list[dict[str, Any]]) -> Pair:
    """Return an image file with the texts of its records; the turns are those of its first record."""
    texts = [text for record in records for text in _texts_of(record)]
    # One caption in five says what sort of picture it is.
    texts += [*GENRES.get(source, ())] * max(1, len(texts) // 8)
    turns = tuple(f"{question}\n{answer}" for question, answer in turns_of(records[0]))
    with Image.open(path) as image:
        return Pair(on_white(image), tuple(texts), source, turns)


def turns_of(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a record's questions, without the image's mark, and their answers."""
    turns = record["conversations"]
    return [
        (asked["value"].replace("<image>", "").strip(), answered["value"].strip())
        for asked, answered in zip(turns[::2], turns[1::2], strict=False)
    ]


def _texts_of(record: dict[str, Any]) -> list[str]:
    texts = []
    for question, answer in turns_of(record):
        texts.append(f"{question}\n{answer}")
        words = answer.split()
        texts += [" ".join(words[at : at + WORDS]) for at in range(0, len(words), WORDS) if len(words) > 2]
    return texts


def on_white(image: Picture) -> Picture:
    """Return the picture as RGB, transparent pixels over white."""
    return _over(image, "white")


def _over(image: Picture, colour: Any) -> Picture:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        clear = image.convert("RGBA")
        ground = Image.new("RGBA", clear.size, colour)
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
    """Return the picture squashed to (3, SIDE, SIDE) as the built-in model's preprocessing does."""
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(small, dtype=np.uint8).transpose(2, 0, 1)


def write_cache(path: Path, pairs: Iterator[Pair]) -> None:
    """Draw or decode every pair, clean and changed, into the folder `path`, if it is not there yet."""
    if (path / "texts.json").exists():
        return
    rng = random.Random(path.name)
    clean, altered, texts = [], [], []
    for pair in pairs:
        clean.append(pixels(pair.image))
        altered.append(pixels(changed(pair.image, rng)))
        texts.append(pair.texts)
    path.mkdir(parents=True, exist_ok=True)
    np.save(path / "clean.npy", np.stack(clean))
    np.save(path / "changed.npy", np.stack(altered))
    (path / "texts.json").write_text(json.dumps(texts), encoding="utf-8")


def read_cache(path: Path) -> Cache:
    """Return what `write_cache` wrote, pixels mapped into memory."""
    texts = json.loads((path / "texts.json").read_text(encoding="utf-8"))
    clean, altered = (np.load(path / f"{name}.npy", mmap_mode="r") for name in ("clean", "changed"))
    return Cache(clean, altered, tuple(tuple(each) for each in texts))
