"""`hf`: a folder that `datasets.load_from_disk` opens. Arrow stream files with the images' own bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from curation.writers.card import card
from curation.writers.kept import ExportFacts
from curation.writers.rows import features, tables, write_shards
from schemas.tables import key_of


@dataclass(frozen=True)
class Hf:
    """What `Dataset.save_to_disk` writes, written in one pass and in bounded memory."""

    shard_bytes: int = 500_000_000

    name: ClassVar[str] = "hf"
    copies_images: ClassVar[bool] = True
    data_files: ClassVar[str] = "data-*.arrow"
    loading: ClassVar[str] = 'from datasets import load_from_disk\n\ndataset = load_from_disk("FOLDER")'

    def write(self, out: Path, batches: Iterator[pa.RecordBatch], context: ExportFacts) -> dict[str, Any]:
        """Write data-NNNNN-of-NNNNN.arrow, state.json, dataset_info.json and README.md under `out`."""
        from datasets import DatasetInfo
        from datasets.arrow_writer import ArrowWriter

        declared = features(context.scores)

        @contextmanager
        def shard(number: int) -> Iterator[Callable[[pa.Table], object]]:
            with ArrowWriter(features=declared, path=str(out / f"{number}.arrow")) as writer:
                yield writer.write_table
                writer.finalize()

        n = write_shards(tables(batches, declared.arrow_schema), self.shard_bytes, shard)
        names = [f"data-{number:05d}-of-{n:05d}.arrow" for number in range(n)]
        for number, name in enumerate(names):
            (out / f"{number}.arrow").rename(out / name)
        state: dict[str, Any] = {
            "_data_files": [{"filename": name} for name in names],
            "_fingerprint": _fingerprint(context, self.shard_bytes),
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": "train",
        }
        (out / "state.json").write_text(json.dumps(state, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        DatasetInfo(features=declared).write_to_directory(str(out), pretty_print=True)
        (out / "README.md").write_text(card(context, self), encoding="utf-8")
        return {"n_shards": n}


def _fingerprint(context: ExportFacts, shard_bytes: int) -> str:
    """16 hex digits, as `datasets` has them: the same for the same rows."""
    manifests = [context.store.find(table) for table in ("samples", "selection")]
    read = [manifest.fingerprint for manifest in manifests if manifest]
    return key_of([read, context.scores.names, shard_bytes])[:16]
