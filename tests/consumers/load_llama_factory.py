"""Loads data sets with LLaMA-Factory's loader, to input ids: rows by NAME=FOLDER. NAME=FOLDER... OUT."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import DataArguments, ModelArguments, TrainingArguments

from tests.consumers.seen import chat, picture, tell
from tests.tiny_models import tiny

_, processor = tiny("qwen2_vl")
tokenizer = processor.tokenizer


def load(name: str, folder: str) -> list[dict[str, Any]]:
    """Prompt, pictures and the number of learned tokens of each row that is not passed over."""
    data = DataArguments(dataset=name, dataset_dir=folder, template="qwen2_vl", cutoff_len=100_000)
    found = get_dataset(
        get_template_and_fix_tokenizer(tokenizer, data),
        ModelArguments(model_name_or_path="none", cache_dir="cache"),
        data,
        TrainingArguments(output_dir=str(Path("out").resolve()), report_to="none", use_cpu=True),
        "sft",
        tokenizer=tokenizer,
        processor=processor,
    )
    return [
        {
            "turns": chat(tokenizer.decode(row["input_ids"], clean_up_tokenization_spaces=False)),
            "pictures": [picture(image) for image in row["images"] or []],
            "learned": sum(label >= 0 for label in row["labels"]),
        }
        for row in found["train_dataset"]
    ]


tell({one: load(*one.split("=", 1)) for one in sys.argv[1:-1]})
