"""`hf`: a folder that `datasets.load_from_disk` opens. Arrow stream files with the images' own bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from curation.writers.facts import Facts, Splits
from curation.writers.hf_columns import CONVERSATIONS, features, schema_of_rows, table
from curation.writers.pictures import BYTES, PATHS
from curation.writers.shards import SHARD_BYTES, write_shards
from schemas.tables import key_of


@dataclass(frozen=True)
class Hf:
    """What `DatasetDict.save_to_disk` writes, in bounded memory, for `datasets` from 2.16 on."""

    shard_bytes: int = SHARD_BYTES

    name: ClassVar[str] = "hf"
    images: ClassVar[tuple[str, ...]] = (BYTES, PATHS)
    scored: ClassVar[bool] = True
    loading: ClassVar[dict[str, str]] = {
        "datasets": 'from datasets import load_from_disk\n\ndataset = load_from_disk("FOLDER")["train"]'
    }

    def files(self, split: str, *, alone: bool = True) -> str:
        """The pattern of a split's files."""
        return f"{split}/data-*.arrow"

    def write(self, out: Path, splits: Splits, facts: Facts) -> dict[str, Any]:
        """Write dataset_dict.json under `out`, and a folder a split: its data and what describes them."""
        (out / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}), encoding="utf-8")
        return {"n_shards": sum(self._split(out / name, name, rows, facts) for name, rows in splits.items())}

    def _split(self, folder: Path, split: str, rows: Iterator[pa.RecordBatch], facts: Facts) -> int:
        schema = schema_of_rows(facts.scores, CONVERSATIONS)

        @contextmanager
        def opened(path: Path) -> Iterator[Callable[[pa.Table], object]]:
            with pa.ipc.new_stream(path, schema) as stream:
                yield stream.write_table

        made = partial(table, schema=schema, facts=facts)
        n = len(write_shards(rows, made, opened, partial(_path, folder), self.shard_bytes))
        state: dict[str, Any] = {
            "_data_files": [{"filename": _path(folder, number, n).name} for number in range(n)],
            "_fingerprint": key_of([facts.fingerprint, split, facts.scores.names, self.shard_bytes])[:16],
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": split,
        }
        info = {
            "citation": "",
            "description": "",
            "features": features(schema),
            "homepage": "",
            "license": "",
        }
        for name, tree in {"state.json": state, "dataset_info.json": info}.items():
            text = json.dumps(tree, indent=2, sort_keys=True) + "\n"
            (folder / name).write_text(text, encoding="utf-8")
        return n


def _path(folder: Path, number: int, n: int) -> Path:
    return folder / f"data-{number:05d}-of-{n:05d}.arrow"
