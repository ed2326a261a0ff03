"""Loads DATA as ms-swift does, and encodes it with its template for Qwen2-VL. DATA OUT."""

from __future__ import annotations

import sys
from typing import Any

from swift.dataset import load_dataset
from swift.model import get_processor
from swift.template import get_template
from swift.template.vision_utils import load_image

from tests.consumers.seen import chat, picture, tell
from tests.tiny_models import tiny

model, processor = tiny("qwen2_vl")
model.config.save_pretrained("tiny")
processor.save_pretrained("tiny")
template = get_template(get_processor("tiny", model_type="qwen2_vl", use_hf=True), template_type="qwen2_vl")
template.set_mode("train")


def row(found: dict[str, Any]) -> dict[str, Any]:
    """The prompt of a record and its pictures, each of which has its patches."""
    images = [load_image(image["bytes"] or image["path"]) for image in found["images"] or []]
    encoded = template.encode(found)
    assert len(encoded.get("image_grid_thw", ())) == len(images)
    text = processor.tokenizer.decode(encoded["input_ids"], clean_up_tokenization_spaces=False)
    return {"turns": chat(text), "pictures": [picture(image) for image in images]}


# strict: a record that it cannot use is an error, where a user would find a line in the log
loaded, _ = load_dataset(sys.argv[1], use_hf=True, strict=True)
tell([row(found) for found in loaded])
