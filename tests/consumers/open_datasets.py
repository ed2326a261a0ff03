"""Opens folders with `datasets` in several ways: what every row holds, by WAY=FOLDER. WAY=FOLDER... OUT."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets

from tests.consumers.seen import content, picture, tell


def from_disk(folder: Path) -> Any:
    """As `save_to_disk` leaves them; of several splits the one called train."""
    found = datasets.load_from_disk(str(folder))
    return found["train"] if isinstance(found, dict) else found


def whole(folder: Path) -> Any:
    """The folder as one would push it to the Hub."""
    return datasets.load_dataset(str(folder), split="train")


def streamed(folder: Path) -> Any:
    """The same, without reading more than is asked for."""
    return datasets.load_dataset(str(folder), split="train", streaming=True)


def parquet(folder: Path) -> Any:
    """The files without the card."""
    return datasets.load_dataset("parquet", data_files=str(folder / "data" / "*.parquet"), split="train")


def lines(folder: Path) -> Any:
    """Records of JSON without the card."""
    return datasets.load_dataset("json", data_files=str(folder / "data" / "train.json*"), split="train")


def splits(folder: Path) -> Any:
    """All splits of the folder."""
    return datasets.load_dataset(str(folder))


def splits_from_disk(folder: Path) -> Any:
    """All splits as `save_to_disk` leaves them."""
    return datasets.load_from_disk(str(folder))


WAYS: dict[str, Callable[[Path], Any]] = {
    "from_disk": from_disk,
    "whole": whole,
    "streamed": streamed,
    "parquet": parquet,
    "lines": lines,
    "splits": splits,
    "splits_from_disk": splits_from_disk,
}


def row(seen: dict[str, Any], raw: list[Any]) -> dict[str, Any]:
    """A row without what differs from run to run; `raw` are its images undecoded."""
    found = seen.get("images") or []
    images = [image["bytes"] for image in raw if isinstance(image, dict)]
    return {
        **{
            name: seen[name]
            for name in ("id", "conversations", "messages", "filepath", "title")
            if name in seen
        },
        "pictures": [picture(image) for image in found if not isinstance(image, str)],
        "paths": [image for image in found if isinstance(image, str)],
        "contents": [content(data) for data in images if data is not None],
    }


def rows(dataset: Any) -> list[dict[str, Any]]:
    """All rows, images decoded by `datasets` itself, and as they lie in its files."""
    feature = dataset.features.get("images") if dataset.features else None
    if "Image" not in str(feature):
        return [row(seen, []) for seen in dataset]
    plain = dataset.cast_column("images", datasets.Sequence(datasets.Image(decode=False)))
    return [row(seen, raw["images"]) for seen, raw in zip(dataset, plain, strict=True)]


asked = sys.argv[1:-1]
opened = {}
for one in asked:
    way, _, folder = one.partition("=")
    found = WAYS[way](Path(folder))
    split = isinstance(found, dict)
    opened[one] = {name: rows(part) for name, part in found.items()} if split else rows(found)
tell({"version": datasets.__version__, "opened": opened})
