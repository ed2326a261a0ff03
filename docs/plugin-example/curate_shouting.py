"""A scorer of another package for curate: the share of the answers' letters that are capitals."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa


@dataclass(frozen=True)
class Shouting:
    """`shouting`: capitals among the letters of a sample's answers; null where they have no letter."""

    name: ClassVar[str] = "shouting"
    version: ClassVar[int] = 1  # raise it when scores change: what was scored before is then scored anew
    reads: ClassVar[tuple[str, ...]] = ("turns",)
    writes: ClassVar[pa.Schema] = pa.schema(
        [pa.field("shouting", pa.float32(), metadata={"unit": "share", "range": "[0, 1]", "better": "lower"})]
    )

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One row a sample: its value follows from its own turns alone."""
        return pa.record_batch([pa.array(map(share, batch["turns"].to_pylist()), pa.float32())], self.writes)


def share(turns: list[dict[str, str]]) -> float | None:
    """Capitals among the letters of the answers."""
    letters = [
        letter for turn in turns if turn["role"] == "assistant" for letter in turn["text"] if letter.isalpha()
    ]
    return sum(map(str.isupper, letters)) / len(letters) if letters else None
