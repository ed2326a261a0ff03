"""Writers: one file each, and a line in WRITERS. Another package adds one by an entry point."""

from __future__ import annotations

from curation.plugins import offered
from curation.writers.fiftyone import FiftyOne
from curation.writers.hf import Hf
from curation.writers.llava import LLAVA, LLAVA_LINES, QWEN_VL
from curation.writers.messages import MESSAGES_LINES
from curation.writers.parquet import MESSAGES_PARQUET, PARQUET
from curation.writers.sharegpt import LLAMA_FACTORY, SHAREGPT
from curation.writers.tables import DataComp, Ids, OpenClip
from curation.writers.webdataset import WebDataset
from schemas.errors import ExportError
from schemas.protocols import Writer

GROUP = "curation.writers"
WRITERS: dict[str, Writer] = {
    "hf": Hf(),
    "parquet": PARQUET,
    "messages": MESSAGES_PARQUET,
    "messages.jsonl": MESSAGES_LINES,
    "llava": LLAVA,
    "llava.jsonl": LLAVA_LINES,
    "sharegpt": SHAREGPT,
    "llama_factory": LLAMA_FACTORY,
    "qwen_vl": QWEN_VL,
    "webdataset": WebDataset(),
    "open_clip": OpenClip(),
    "datacomp": DataComp(),
    "fiftyone": FiftyOne(),
    "ids": Ids(),
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
