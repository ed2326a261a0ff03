"""A folder of plain images: each is a record without words, or with the caption in the .txt of its name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from curation.readers.listing import IMAGE_SUFFIXES, legible
from curation.readers.records import PLACEHOLDER, Turns, captioned, images_first
from curation.readers.unsupported import MEDIA_SUFFIXES, media
from schemas.errors import BAD_TURN, NOT_AN_IMAGE, ReadError
from schemas.protocols import ImageAt, Record, Span

SUFFIXES = (*IMAGE_SUFFIXES, *MEDIA_SUFFIXES)
_CAPTION = ".txt"
_CAPTION_BYTES = 1 << 20


@dataclass(frozen=True)
class ImageFolder:
    """Images in a folder and the folders below it. Each folder counts as a file, and spans count its images.

    Of `a.jpg` beside `a.txt` the text is the caption: the answer to CAPTION_QUESTION. Without one, a record
    is one question that is the image, and an empty answer. Its key is the image's name, so that images that
    are added change no other record.
    """

    name: ClassVar[str] = "images"
    version: ClassVar[int] = 2

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

    def stamp(self, file: Path) -> int:
        captions = (entry for entry in os.scandir(file) if entry.name.endswith(_CAPTION))
        return max((entry.stat().st_mtime_ns for entry in captions), default=0)

    def read(self, file: Path, span: Span) -> Iterator[Record]:
        names = _images(file)[span.offset : span.offset + span.length]
        if len(names) != span.n_records:
            raise ReadError(
                f"{file}: {len(names)} images where {span.n_records} were indexed; the folder has changed, "
                "run the command again to index it anew"
            )
        for name in names:
            yield _record(file, name)


def _record(folder: Path, name: str) -> Record:
    key = legible(name)
    raw = _raw(key, None)
    if key != name:
        message = f"the name {key} is not UTF-8, and no path that a table can hold; rename the file"
        return Record(key=key, raw=raw, record_id=key, error=(NOT_AN_IMAGE, message))
    if name.lower().endswith(MEDIA_SUFFIXES):
        return Record(key=key, raw=raw, record_id=key, error=media("the file is no image"))
    try:
        caption = _caption(folder / name)
    except (OSError, ValueError) as error:  # UnicodeDecodeError is a ValueError
        sentence = f"the caption beside {name} cannot be read: {error}"
        return Record(key=key, raw=raw, record_id=key, error=(BAD_TURN, sentence))
    turns: Turns = (("user", PLACEHOLDER), ("assistant", ""))
    if caption:
        turns = images_first(captioned(caption), 1)
    image = (ImageAt(path=str(folder.absolute() / name)),)
    return Record(key=key, raw=_raw(key, caption), record_id=key, turns=turns, images=image)


def _caption(image: Path) -> str | None:
    """What stands in the .txt of the same name; None where there is none."""
    path = image.with_suffix(_CAPTION)
    if path.is_symlink() and path.resolve().parent != image.parent.resolve():
        raise ValueError("it is a link that leaves the folder; copy the caption there")
    try:
        with path.open("rb") as file:
            data = file.read(_CAPTION_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(data) > _CAPTION_BYTES:
        raise ValueError(f"it has more than {_CAPTION_BYTES} bytes")
    return data.decode("utf-8-sig").strip()


def _raw(key: str, caption: str | None) -> bytes:
    record = {"id": key, "image": key, **({} if caption is None else {"caption": caption})}
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _images(folder: Path) -> list[str]:
    """Names of the images in `folder` itself, sorted."""
    return sorted(entry.name for entry in os.scandir(folder) if _is_image(entry.name) and entry.is_file())
