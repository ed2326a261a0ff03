"""A folder of plain images: each is a record without words, such as the pictures of a benchmark."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from curation.readers.listing import legible
from curation.readers.records import PLACEHOLDER
from schemas.errors import NOT_AN_IMAGE, ReadError
from schemas.protocols import ImageAt, Record, Span

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class ImageFolder:
    """Images in a folder and the folders below it. Each folder counts as a file, and spans count its images.

    A record is one question that is the image, and an empty answer. Its key is the image's name, so that
    images that are added change no other record.
    """

    name: ClassVar[str] = "images"
    version: ClassVar[int] = 1

    def files(self, path: Path) -> list[Path]:
        """The folders that hold images, in order. Hidden ones do not count."""
        if not path.is_dir():
            return []
        found = []
        for folder, inside, names in os.walk(path):
            inside[:] = [name for name in inside if not name.startswith(".")]
            if any(_is_image(name) for name in names):
                found.append(Path(folder))
        return sorted(found)

    def spans(self, file: Path, rows: int) -> Iterator[Span]:
        if rows < 1:
            raise ValueError(f"rows is {rows}, and a span has at least one record")
        total = len(_images(file))
        for first in range(0, total, rows):
            n = min(rows, total - first)
            yield Span(first, n, first, n)

    def read(self, file: Path, span: Span) -> Iterator[Record]:
        names = _images(file)[span.offset : span.offset + span.length]
        if len(names) != span.n_records:
            raise ReadError(
                f"{file}: {len(names)} images where {span.n_records} were indexed; the folder has changed, "
                "run the command again to index it anew"
            )
        for name in names:
            image = (ImageAt(path=str(file.absolute() / name)),)
            key = legible(name)
            raw = json.dumps({"id": key, "image": key}, ensure_ascii=False, separators=(",", ":")).encode()
            if key != name:
                message = f"the name {key} is not UTF-8, and no path that a table can hold; rename the file"
                yield Record(key=key, raw=raw, record_id=key, error=(NOT_AN_IMAGE, message))
                continue
            yield Record(
                key=name,
                raw=raw,
                record_id=name,
                turns=(("user", PLACEHOLDER), ("assistant", "")),
                images=image,
            )


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _images(folder: Path) -> list[str]:
    """Names of the images in `folder` itself, sorted."""
    return sorted(entry.name for entry in os.scandir(folder) if _is_image(entry.name) and entry.is_file())
