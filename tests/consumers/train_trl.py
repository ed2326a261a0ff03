"""Trains a tiny Qwen2-VL on FOLDER with TRL's SFTTrainer for three steps. FOLDER OUT."""

from __future__ import annotations

import sys

from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

from tests.consumers.seen import chat, picture, tell
from tests.tiny_models import tiny

rows = load_dataset(sys.argv[1], split="train")
model, processor = tiny("qwen2_vl")
trainer = SFTTrainer(
    model=model,
    processing_class=processor,
    train_dataset=rows,
    args=SFTConfig(
        output_dir="out",
        max_steps=3,
        per_device_train_batch_size=4,
        logging_steps=1,
        max_length=None,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        bf16=False,
        dataloader_num_workers=0,
    ),
)
trainer.train()
seen = []
for number in range(len(rows)):
    batch = trainer.data_collator([rows[number]])
    text = processor.tokenizer.decode(batch["input_ids"][0], clean_up_tokenization_spaces=False)
    pictures = [picture(image) for image in rows[number]["images"]]
    assert len(batch.get("image_grid_thw", ())) == len(pictures)
    seen.append({"turns": chat(text), "pictures": pictures})
losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
tell({"losses": losses, "rows": seen})
