"""What the dataset classes of trainers that no registry has do with a record, restated.

Read in llava/train/train.py of haotian-liu/LLaVA and of LLaVA-VL/LLaVA-NeXT (LazySupervisedDataset,
preprocess_v1), internvl_chat/internvl/train of OpenGVLab/InternVL (LazySupervisedDataset,
preprocess_internvl2_5) and qwen-vl-finetune/qwenvl/data/data_processor.py of QwenLM/Qwen2.5-VL
(_build_messages). Each gives the turns that would be learned, by role and text, and the pictures; what those
classes raise is raised here too.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from tests.consumers.seen import picture

Record = dict[str, Any]
Seen = tuple[list[list[str]], list[str]]


def llava(record: Record, image_folder: Path) -> Seen:
    """LLaVA: one image by path, roles human and gpt in turn."""
    images = [_opened(image_folder, record["image"])] if "image" in record else []
    return _alternating(record["conversations"], len(images)), images


def llava_next(record: Record, image_folder: Path) -> Seen:
    """LLaVA-NeXT: also a list of images."""
    named = record.get("image")
    if not isinstance(named, list):
        return llava(record, image_folder)
    images = [_opened(image_folder, name) for name in named]
    return _alternating(record["conversations"], len(images)), images


def internvl(record: Record, root: Path) -> Seen:
    """InternVL 2.5: a path, a list of paths, or an empty one for none; a system turn at the beginning."""
    turns = [dict(turn) for turn in record["conversations"]]
    named = record.get("image") or []
    if isinstance(named, str):
        if "<image>" not in turns[0]["value"]:
            turns[0]["value"] = f"<image>\n{turns[0]['value']}"
        named = [named]
    images = [_opened(root, name) for name in named]
    roles = {"human": "user", "gpt": "assistant", "system": "system"}
    made = []
    for number, turn in enumerate(turns):
        assert turn["from"] != "system" or number == 0, "unknown role"
        made.append([roles[turn["from"]], turn["value"]])
    asked = sum(text.count("<image>") for role, text in made if role == "user")
    assert asked >= len(images), "an image has no place"
    assert asked <= len(images), "what is too much stays as text, without a word"
    return made, images


def qwen_vl(record: Record, data_path: Path) -> Seen:
    """Qwen's own finetuning: whoever is not human answers; each image has a place in a question."""
    named = record.get("image") or []
    pool = [named] if isinstance(named, str) else list(named)
    images = [_opened(data_path, name) for name in pool]
    made = []
    for turn in record["conversations"]:
        role = "user" if turn["from"] == "human" else "assistant"
        if role == "user":
            for part in re.findall("<image>|<video>", turn["value"]):
                if part == "<video>" or not pool:
                    raise ValueError("more places than images")
                pool.pop(0)
        made.append([role, turn["value"]])
    if pool:
        raise ValueError("images remain unused")
    return made, images


def _opened(folder: Path, name: Any) -> str:
    return picture(os.path.join(folder, name))  # noqa: PTH118  # a list fails here, as it does there


def _alternating(turns: list[dict[str, str]], n_images: int) -> list[list[str]]:
    roles = {"human": "user", "gpt": "assistant"}
    if roles[turns[0]["from"]] != "user":
        turns = turns[1:]
    made = []
    for number, turn in enumerate(turns):
        assert roles[turn["from"]] == ("user", "assistant")[number % 2], "roles do not alternate"
        made.append([roles[turn["from"]], turn["value"]])
    # The model replaces each token by the next image of the batch, and learns nothing where none is left.
    assert sum(text.count("<image>") for _, text in made) == n_images, "tokens and images differ"
    return made
