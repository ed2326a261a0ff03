"""Loads the data set NAME of FOLDER with LLaMA-Factory's loader, to input ids. FOLDER NAME OUT."""

from __future__ import annotations

import sys
from pathlib import Path

from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import DataArguments, ModelArguments, TrainingArguments

from tests.consumers.seen import chat, picture, tell
from tests.tiny_models import tiny

folder, name = sys.argv[1:3]
_, processor = tiny("qwen2_vl")
tokenizer = processor.tokenizer
data = DataArguments(dataset=name, dataset_dir=folder, template="qwen2_vl", cutoff_len=100_000)
template = get_template_and_fix_tokenizer(tokenizer, data)
loaded = get_dataset(
    template,
    ModelArguments(model_name_or_path="none", cache_dir="cache"),
    data,
    TrainingArguments(output_dir=str(Path("out").resolve()), report_to="none", use_cpu=True),
    "sft",
    tokenizer=tokenizer,
    processor=processor,
)
tell(
    [
        {
            "turns": chat(tokenizer.decode(row["input_ids"], clean_up_tokenization_spaces=False)),
            "pictures": [picture(image) for image in row["images"] or []],
            "learned": sum(label >= 0 for label in row["labels"]),
        }
        for row in loaded["train_dataset"]
    ]
)
