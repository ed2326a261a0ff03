"""`sharegpt` and `llama_factory`: conversations of `from` and `value`, images in a list of their own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curation.writers.facts import Facts
from curation.writers.json_records import JsonRecords
from curation.writers.rows import conversations, extra, identity


def record(row: dict[str, Any], names: list[str], facts: Facts, changed: Counter[str]) -> dict[str, Any]:
    """The row as LLaMA-Factory's ShareGPT; what the system says is the first turn."""
    return {
        "id": identity(row),
        "conversations": conversations(row),
        "images": names,
        **extra(row),
    }


def dataset_info(out: Path, splits: Sequence[str]) -> None:
    """Write dataset_info.json, in which LLaMA-Factory looks datasets up: `curated_train` and so on."""
    columns = {"messages": "conversations", "images": "images"}
    tree = {
        f"curated_{split}": {
            "file_name": f"data/{split}.json",
            "formatting": "sharegpt",
            "columns": columns,
        }
        for split in splits
    }
    text = json.dumps(tree, indent=2) + "\n"
    (out / "dataset_info.json").write_text(text, encoding="utf-8")


SHAREGPT = JsonRecords(
    "sharegpt",
    record,
    {"datasets": 'load_dataset("json", data_files="FOLDER/data/train.json")'},
)
LLAMA_FACTORY = JsonRecords(
    "llama_factory",
    record,
    {"LLaMA-Factory": "dataset_dir: FOLDER\ndataset: curated_train\nmedia_dir: FOLDER"},
    beside=dataset_info,
)
