"""Pictures of samples for a page: by number, from where the sample has them, never by a path."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from threading import Lock
from typing import Any

from curation.readers.images import BadImage, decode, fetch, to_rgb
from curation.report.thumbnails import thumbnail

SIDE = 360  # px of a small one
HELD = 64 << 20  # bytes of small ones that are remembered
# What browsers show, by how files begin.
SHOWN = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


@dataclass
class Pictures:
    """Small and whole pictures; the small ones are remembered."""

    max_pixels: int
    held: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict)
    n_bytes: int = 0

    def __post_init__(self) -> None:
        self.lock = Lock()

    def small(self, ref: Mapping[str, Any]) -> tuple[bytes, str] | None:
        """A WebP of at most 360 pixels a side of the picture at `ref`; None where it cannot be shown."""
        key = ref["sha256"]
        with self.lock:
            if key in self.held:
                self.held.move_to_end(key)
                return self.held[key], "image/webp"
        (data,) = fetch([ref])
        made = thumbnail(data, max_pixels=self.max_pixels, side=SIDE)
        if made is None:
            return None
        with self.lock:
            self.n_bytes += len(made) - len(self.held.get(key, b""))
            self.held[key] = made
            while self.n_bytes > HELD:
                self.n_bytes -= len(self.held.popitem(last=False)[1])
        return made, "image/webp"

    def whole(self, ref: Mapping[str, Any]) -> tuple[bytes, str] | None:
        """The picture as it is, or as PNG where browsers do not show its format."""
        (data,) = fetch([ref])
        if isinstance(data, BadImage):
            return None
        try:
            image = decode(data, max_pixels=self.max_pixels)
        except BadImage:
            return None
        kind = next((kind for begin, kind in SHOWN if data.startswith(begin)), None)
        if kind is None and data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            kind = "image/webp"
        if kind is not None:
            return data, kind
        sink = BytesIO()
        to_rgb(image).save(sink, "PNG")
        return sink.getvalue(), "image/png"
