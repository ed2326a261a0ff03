"""`messages.jsonl`: messages of `role` and `content`, and `images` by path."""

from __future__ import annotations

from collections import Counter
from typing import Any

from curation.writers.facts import Facts
from curation.writers.json_records import JsonRecords
from curation.writers.rows import extra, identity, messages


def record(row: dict[str, Any], names: list[str], facts: Facts, changed: Counter[str]) -> dict[str, Any]:
    """The row as messages in whose texts `<image>` stands for an image, as ms-swift has them."""
    return {
        "id": identity(row),
        "messages": messages(row),
        "images": names,
        "extra": "{}",  # a key that only came after 10 MB would stop `datasets`
        **extra(row),
    }


MESSAGES_LINES = JsonRecords(
    "messages.jsonl",
    record,
    {"ms-swift": "ROOT_IMAGE_DIR=FOLDER swift sft --dataset FOLDER/data/train.jsonl"},
    array=False,
    typed=True,
)
