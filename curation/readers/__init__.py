"""Readers: one file each, and a line in READERS; one of records in JSON has its line in `shapes.SHAPES`.

Another package adds one by an entry point.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from curation.plugins import offered
from curation.readers.coco import Coco
from curation.readers.csv_rows import Csv
from curation.readers.detection import KNOWN, RECOGNISED, Recognised, recognise
from curation.readers.hf_disk import HfDisk
from curation.readers.image_folder import ImageFolder
from curation.readers.json_records import JsonReader
from curation.readers.keys import NO_KEYS, Keys
from curation.readers.llama_factory import LlamaFactory
from curation.readers.parquet import Parquet
from curation.readers.path_list import PathList
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
    "paths": PathList(),
    "csv": Csv(),
    "coco": Coco(),
    "llama_factory": LlamaFactory(),
    **{name: JsonReader(name, schema) for name, schema in SCHEMAS.items()},
}

__all__ = ["KNOWN", "READERS", "Keys", "Recognised", "detect", "reader", "readers", "told"]


@cache
def readers() -> dict[str, Reader]:
    """READERS and those of other packages (entry points `curation.readers`), which cannot replace ours."""
    others = {name: point.load()() for name, point in offered(GROUP).items()}
    return {**others, **READERS}


def reader(name: str, keys: Keys = NO_KEYS) -> Reader:
    """The reader called `name`, which looks for image and text under `keys`.

    Raises:
        ReadError: there is none of that name, or it has no such keys.
    """
    # Ours without a look at what is installed.
    found = READERS[name] if name in READERS else readers().get(name)
    if found is None:
        raise ReadError(f"there is no format {name!r}; known are {', '.join(sorted(readers()))}")
    if keys == NO_KEYS:
        return found
    with_keys = getattr(found, "with_keys", None)
    if with_keys is None:
        raise ReadError(f"data of format {name} has no keys; leave out --image-key and --text-key")
    keyed: Reader = with_keys(keys)
    return keyed


def detect(path: Path, keys: Keys = NO_KEYS) -> Reader:
    """The reader for `path`, a file or a folder; see `told`."""
    return reader(told(path, keys).name, keys)


def told(path: Path, keys: Keys = NO_KEYS) -> Recognised:
    """The format of `path`, a file or a folder, and by what it is told.

    Formats that `recognise` does not know by themselves are asked for `files` where it sees nothing.

    Raises:
        ReadError: no format is recognised, or several; names the path, what it holds and the formats known.
    """
    try:
        return recognise(path, keys)
    except ReadError:
        claimed = [name for name, other in readers().items() if name not in RECOGNISED and other.files(path)]
        if len(claimed) != 1:
            raise
        return Recognised(claimed[0], "its reader knows the files")
