"""Data-Juicer's records: `text` with `<__dj__image>` for each of `images`; `<|__dj__eoc|>` ends a chunk."""

from __future__ import annotations

import re
from typing import Any

from curation.readers.records import (
    CAPTION_QUESTION,
    PLACEHOLDER,
    BadRecord,
    Images,
    Shape,
    Turns,
    canonical,
    image_list,
    role,
)
from schemas.errors import NO_TURNS

_IMAGE, _END = "<__dj__image>", "<|__dj__eoc|>"
_SPEAKER = re.compile(r"^\[\[(\w+)\]\]:[ \t]?", re.MULTILINE)


def data_juicer(record: dict[str, Any]) -> tuple[Turns, Images]:
    """Turns and images. A text with `[[human]]:` and `[[gpt]]:` is a conversation, as converters write it.

    Another one is the answer to CAPTION_QUESTION: of one image and its caption the image is asked about, of
    images between texts each stays where it stands.

    Raises:
        BadRecord: no text, or an image field of another shape.
    """
    text, images = record.get("text"), image_list(record)
    if not isinstance(text, str) or not text.strip():
        raise BadRecord(NO_TURNS, "the record has no 'text'")
    said = text.replace(_IMAGE, PLACEHOLDER)
    chunks = [chunk.strip() for chunk in said.split(_END) if chunk.strip()]
    speakers = _SPEAKER.split("\n".join(chunks))
    if len(speakers) > 1:
        pairs = zip(speakers[1::2], speakers[2::2], strict=True)
        return tuple((role(who), canonical(words.strip())) for who, words in pairs), images
    if len(chunks) == 1 and chunks[0].startswith(PLACEHOLDER) and chunks[0].count(PLACEHOLDER) == 1:
        asked, answer = f"{PLACEHOLDER}\n{CAPTION_QUESTION}", chunks[0].removeprefix(PLACEHOLDER).strip()
    else:
        asked, answer = CAPTION_QUESTION, "\n".join(chunks)
    return (("user", asked), ("assistant", canonical(answer))), images


def _fits(record: dict[str, Any]) -> bool:
    text = record.get("text")
    return isinstance(text, str) and ("<__dj__" in text or _END in text)


DATA_JUICER = Shape(_fits, data_juicer)
