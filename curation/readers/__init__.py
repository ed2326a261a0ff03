"""Readers: one file each, and a line in READERS; one of records in JSON has its line in `shapes.SHAPES`.

Another package adds one by an entry point.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from curation.plugins import offered
from curation.readers.detection import KNOWN, RECOGNISED, format_of
from curation.readers.hf_disk import HfDisk
from curation.readers.image_folder import ImageFolder
from curation.readers.json_records import JsonReader
from curation.readers.parquet import Parquet
from curation.readers.shapes import SCHEMAS
from curation.readers.webdataset import WebDataset
from schemas.errors import ReadError
from schemas.protocols import Reader

GROUP = "curation.readers"
READERS: dict[str, Reader] = {
    "parquet": Parquet(),
    "hf": HfDisk(),
    "webdataset": WebDataset(),
    "images": ImageFolder(),
    **{name: JsonReader(name, schema) for name, schema in SCHEMAS.items()},
}

__all__ = ["KNOWN", "READERS", "detect", "reader", "readers"]


@cache
def readers() -> dict[str, Reader]:
    """READERS and those of other packages (entry points `curation.readers`), which cannot replace ours."""
    others = {name: point.load()() for name, point in offered(GROUP).items()}
    return {**others, **READERS}


def reader(name: str) -> Reader:
    """The reader called `name`.

    Raises:
        ReadError: there is none of that name.
    """
    if name in READERS:  # without a look at what is installed
        return READERS[name]
    if name not in readers():
        raise ReadError(f"there is no format {name!r}; known are {', '.join(sorted(readers()))}")
    return readers()[name]


def detect(path: Path) -> Reader:
    """The reader for `path`, a file or a folder.

    Formats that `format_of` does not know by themselves are asked for `files` where it sees nothing.

    Raises:
        ReadError: no format is recognised, or several; names the path, what it holds and the formats known.
    """
    try:
        return READERS[format_of(path)]
    except ReadError:
        claimed = [other for name, other in readers().items() if name not in RECOGNISED and other.files(path)]
        if len(claimed) != 1:
            raise
        return claimed[0]
