"""`parquet` and `messages`: `data/train-*.parquet`, as the Hub lays datasets out, for `load_dataset`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from curation.writers.facts import Facts, Splits
from curation.writers.hf_columns import CONVERSATIONS, MESSAGES, schema_of_rows, table
from curation.writers.kept import BATCH
from curation.writers.pictures import BYTES, PATHS
from curation.writers.shards import SHARD_BYTES, write_shards

_LOAD = 'from datasets import load_dataset\n\ndataset = load_dataset("FOLDER", split="train")'


@dataclass(frozen=True)
class Parquet:
    """Row groups of up to 100 rows, so that the Hub's viewer and random access read little.

    Args:
        name: of the format.
        turns: the columns of turns, and of the record or what is left of it.
        scored: whether scores leave where nothing is said.
        loading: lines that load it, by who reads them.
    """

    name: str
    turns: tuple[pa.Field, ...]
    scored: bool
    loading: dict[str, str]
    shard_bytes: int = SHARD_BYTES

    images: ClassVar[tuple[str, ...]] = (BYTES, PATHS)

    def files(self, split: str, *, alone: bool = True) -> str:
        """The pattern of a split's files."""
        return f"data/{split}-*.parquet"

    def write(self, out: Path, splits: Splits, facts: Facts) -> dict[str, Any]:
        """Write data/SPLIT-NNNNN-of-NNNNN.parquet under `out`."""
        schema = schema_of_rows(facts.scores, self.turns)
        # A dictionary of images would hold each of them a second time.
        plain = [name for name in schema.names if name != "images"]

        @contextmanager
        def opened(path: Path) -> Iterator[Callable[[pa.Table], object]]:
            with pq.ParquetWriter(
                path, schema, compression="zstd", use_dictionary=plain, write_page_index=True
            ) as writer:
                yield lambda rows: writer.write_table(rows, row_group_size=BATCH)

        made = partial(table, schema=schema, facts=facts)
        return {
            "n_shards": sum(
                len(write_shards(rows, made, opened, partial(_path, out / "data", split), self.shard_bytes))
                for split, rows in splits.items()
            )
        }


def _path(folder: Path, split: str, number: int, n: int) -> Path:
    return folder / f"{split}-{number:05d}-of-{n:05d}.parquet"


PARQUET = Parquet("parquet", CONVERSATIONS, scored=True, loading={"datasets": _LOAD})
_TRL = (
    f"{_LOAD}\n\nfrom trl import SFTTrainer\n\n"
    'trainer = SFTTrainer(model, train_dataset=dataset.select_columns(["messages", "images"]))'
)
_LLAMA_FACTORY = (
    'dataset_info.json: {"curated": {"file_name": "FOLDER/data", "formatting": "sharegpt", '
    '"columns": {"messages": "conversations", "images": "images"}}}'
)
MESSAGES_PARQUET = Parquet(
    "messages",
    MESSAGES,
    scored=False,
    loading={
        "TRL": _TRL,
        "LLaMA-Factory": _LLAMA_FACTORY,
    },
)
