"""Whether the images of a dataset's first records are where `--images` says, and if not, where they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from curation.readers.image_bytes import BadImage
from curation.readers.sources import Source, SpanOfFile
from curation.steps.ingest.records import image_roots
from curation.storage.files import is_url
from schemas.config import Config
from schemas.errors import MISSING_IMAGE, REMOTE_IMAGE, ReadError
from schemas.protocols import ImageAt

RECORDS, IMAGES = 1024, 32  # of a dataset's beginning
LOOKED_FOR = 16  # of those that are missing
MOST_FOLDERS, MOST_ENTRIES = 500, 2000  # that are looked into, and what is looked at in each for more
DEEP = 3  # levels below the data


def looked_for(source: Source, roots: tuple[str, ...], config: Config) -> dict[str, Any]:
    """How many of the first images are there: {"n", "n_found", "missing", "under"}.

    Of those that are files of their own. Where none is there, `missing` is the path of the first, and `under`
    the folder near the data or near `roots` below which most of them lie, if there is one.
    """
    names, there = [], 0
    for where, image in _first_images(source, roots):
        names.append(image.path)
        try:
            allowed = config.images
            found = image_roots(where, allowed.follow_links, allowed.allow_remote, config.read.spelling)
            found.find(image)
        except BadImage as error:
            there += error.code not in (MISSING_IMAGE, REMOTE_IMAGE)
        else:
            there += 1
    lost = bool(names) and there == 0
    return {
        "n": len(names),
        "n_found": there,
        "missing": names[0] if lost else None,
        "under": _under(list(dict.fromkeys(names))[:LOOKED_FOR], source.folder, roots) if lost else None,
    }


def _first_images(source: Source, roots: tuple[str, ...]) -> Iterator[tuple[SpanOfFile, ImageAt]]:
    """The first images that are files of their own, with the span that their record stands in."""
    left = IMAGES
    for file in source.files[:1]:
        try:
            for span in islice(source.reader.spans(file, RECORDS), 1):
                relative = file.relative_to(source.folder).as_posix()
                where = SpanOfFile(
                    source.name, source.reader.name, str(source.folder), relative, span, roots, source.keys
                )
                for record in where.records():
                    for image in record.images:
                        if image.container is None and "://" not in image.path and left:
                            left -= 1
                            yield where, image
        except ReadError:
            return  # `curate ingest` says why


def _under(names: list[str], folder: Path, roots: tuple[str, ...]) -> str | None:
    """The folder below which most of the images lie, the nearest of several."""
    paths = [name for name in names if not Path(name).is_absolute()]
    given = [Path(root) for root in roots if not is_url(root)]
    near = [*given, folder, *(parent for root in (*given, folder) for parent in root.parents[:2])]
    hits = {
        at: sum((at / path).is_file() for path in paths)
        for at in islice(_folders(dict.fromkeys(near)), MOST_FOLDERS)
    }
    best = max(hits, key=lambda at: hits[at], default=None)
    return str(best) if best is not None and 2 * hits[best] > len(paths) > 0 else None


def _folders(tops: dict[Path, None]) -> Iterator[Path]:
    """The tops, then what is in them, level by level."""
    seen: set[Path] = set()
    level = list(tops)
    for _ in range(DEEP):
        below: list[Path] = []
        for folder in level:
            if folder in seen or not folder.is_dir():
                continue
            seen.add(folder)
            yield folder
            with os.scandir(folder) as entries:
                below += sorted(
                    Path(entry.path)
                    for entry in islice(entries, MOST_ENTRIES)
                    if not entry.name.startswith(".") and entry.is_dir()
                )
        level = below
