"""Writers: one file each, and a line in WRITERS."""

from __future__ import annotations

from curation.writers.hf import Hf
from curation.writers.llava import Llava
from curation.writers.parquet import Parquet
from schemas.errors import ExportError
from schemas.protocols import Writer

WRITERS: dict[str, Writer] = {
    "hf": Hf(),
    "parquet": Parquet(),
    "llava": Llava(),
}

__all__ = ["WRITERS", "writer"]


def writer(name: str) -> Writer:
    """The writer called `name`.

    Raises:
        ExportError: there is none of that name.
    """
    if name not in WRITERS:
        raise ExportError(f"there is no format {name!r} to export; there are {', '.join(WRITERS)}")
    return WRITERS[name]
