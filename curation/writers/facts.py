"""What a writer is told besides the rows that it writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from curation.writers.pictures import Pictures

Splits: TypeAlias = Mapping[str, Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class Facts:
    """What holds for all rows of an export."""

    pictures: Pictures
    scores: pa.Schema  # the columns of every batch that leave as scores
    fingerprint: str  # 32 hex digits over what the rows follow from
    target: str  # the absolute path or the URL at which the folder will stand
    raw: bool = False  # records that were the format's own leave byte for byte, whatever trainers say
