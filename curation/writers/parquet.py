"""`parquet`: `data/train-*.parquet`, as the Hub lays datasets out, for `load_dataset`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from curation.writers.card import card
from curation.writers.kept import BATCH, ExportFacts
from curation.writers.rows import features, tables, write_shards


@dataclass(frozen=True)
class Parquet:
    """Row groups of up to 100 rows, so that the Hub's viewer and random access read little."""

    shard_bytes: int = 500_000_000

    name: ClassVar[str] = "parquet"
    copies_images: ClassVar[bool] = True
    data_files: ClassVar[str] = "data/train-*.parquet"
    loading: ClassVar[str] = (
        'from datasets import load_dataset\n\ndataset = load_dataset("FOLDER", split="train")'
    )

    def write(self, out: Path, batches: Iterator[pa.RecordBatch], context: ExportFacts) -> dict[str, Any]:
        """Write data/train-NNNNN-of-NNNNN.parquet and README.md under `out`."""
        # Its metadata tells `datasets` which columns are images.
        schema = features(context.scores).arrow_schema
        folder = out / "data"
        folder.mkdir()
        # A dictionary of images would hold each of them a second time.
        plain = [name for name in schema.names if name != "images"]

        @contextmanager
        def shard(number: int) -> Iterator[Callable[[pa.Table], object]]:
            path = folder / f"{number}.parquet"
            with pq.ParquetWriter(
                path, schema, compression="zstd", use_dictionary=plain, write_page_index=True
            ) as writer:
                yield lambda part: writer.write_table(part, row_group_size=BATCH)

        n = write_shards(tables(batches, schema), self.shard_bytes, shard)
        for number in range(n):
            (folder / f"{number}.parquet").rename(folder / f"train-{number:05d}-of-{n:05d}.parquet")
        (out / "README.md").write_text(card(context, self), encoding="utf-8")
        return {"n_shards": n}
