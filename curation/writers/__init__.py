"""Writers: one file each, and a line in WRITERS. Another package adds one by an entry point."""

from __future__ import annotations

from curation.plugins import offered
from curation.writers.hf import Hf
from curation.writers.llava import Llava
from curation.writers.parquet import Parquet
from schemas.errors import ExportError
from schemas.protocols import Writer

GROUP = "curation.writers"
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
    if name in WRITERS:  # without a look at what is installed
        return WRITERS[name]
    others = offered(GROUP)
    if name not in others:
        known = ", ".join([*WRITERS, *others])
        raise ExportError(f"there is no format {name!r} to export; there are {known}")
    found: Writer = others[name].load()()
    return found
