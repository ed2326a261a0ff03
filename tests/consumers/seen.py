"""What a consumer saw, as JSON: imported by the scripts, which run with versions of their own."""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

from PIL import Image

_TURN = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>", re.DOTALL)
_IMAGE = re.compile(r"<\|vision_start\|>(?:<\|image_pad\|>)+<\|vision_end\|>")


def picture(image: Any) -> str:
    """The sha256 of size and RGB pixels of a path, bytes, {bytes, path} or a PIL image."""
    if isinstance(image, dict):
        image = image["bytes"] or image["path"]
    if isinstance(image, bytes):
        image = io.BytesIO(image)
    opened = image if isinstance(image, Image.Image) else Image.open(image)
    shape = f"{opened.width}x{opened.height}".encode()
    return hashlib.sha256(shape + opened.convert("RGB").tobytes()).hexdigest()


def content(data: bytes) -> str:
    """The sha256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def chat(text: str) -> list[list[str]]:
    """Role and text of each turn of a prompt for Qwen2-VL, in which an image stands as `<image>`."""
    return [[role, _IMAGE.sub("<image>", said)] for role, said in _TURN.findall(text)]


def tell(seen: object) -> None:
    """Write what was seen to the file that the last argument names."""
    Path(sys.argv[-1]).write_text(json.dumps(seen), encoding="utf-8")
