"""Reads the tars of URL, a pattern in braces, with the webdataset library. URL OUT."""

from __future__ import annotations

import json
import sys
from typing import Any

import webdataset

from tests.consumers.seen import content, picture, tell

url = sys.argv[1]
_KINDS = ("jpg", "jpeg", "png", "webp")


def sample(members: dict[str, Any]) -> dict[str, Any]:
    """Turns, caption, and the images in their order."""
    names = sorted(name for name in members if name.rpartition(".")[2] in _KINDS)
    return {
        "key": members["__key__"],
        "record": json.loads(members["json"]),
        "caption": members["txt"].decode(),
        "contents": [content(members[name]) for name in names],
    }


dataset = webdataset.WebDataset(url, shardshuffle=False)
pairs = dataset.decode("pil").to_tuple("jpg;png;jpeg;webp", "txt", missing_is_error=False)
tell(
    {
        "samples": [sample(members) for members in dataset],
        "pairs": [[picture(image), caption] for image, caption in pairs if image is not None],
    }
)
