"""The images of records that are validated: whether each opens, and how large it is, in bounded memory."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from curation.readers.images import BadImage, decode, fetch
from curation.steps.ingest.images import MOST_ASPECT
from curation.steps.ingest.records import FETCH
from schemas.errors import EXTREME_ASPECT, IMAGE_TOO_LARGE

# Images that are remembered, about 100 bytes each; what comes again beyond them is looked at again.
MOST_SEEN = 500_000
# Formats of Pillow that start other programs.
_FOREIGN = ("EPS", "WMF")


@dataclass(frozen=True)
class Fault:
    """Why an image is bad for `curate`, and whether trainers open it all the same."""

    code: str
    sentence: str
    opens: bool


@dataclass
class Range:
    """Smallest, largest and mean of what was added."""

    low: int = 0
    high: int = 0
    total: int = 0
    n: int = 0

    def add(self, value: int) -> None:
        self.low = min(self.low, value) if self.n else value
        self.high = max(self.high, value)
        self.total += value
        self.n += 1

    def tree(self) -> dict[str, Any] | None:
        if not self.n:
            return None
        return {"min": self.low, "mean": round(self.total / self.n, 1), "max": self.high}


@dataclass
class Pictures:
    """What was seen of images; with `decoding` off they are only counted."""

    decoding: bool
    max_pixels: int
    n: int = 0  # distinct
    n_bytes: int = 0
    n_missing: int = 0
    n_broken: int = 0
    seconds: float = 0.0
    formats: Counter[str] = field(default_factory=Counter)
    width: Range = field(default_factory=Range)
    height: Range = field(default_factory=Range)
    seen: dict[bytes, Fault | None] = field(default_factory=dict)
    complete: bool = True  # whether all were remembered, so that `n` is how many distinct ones there are
    threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    )

    def look(self, refs: Sequence[Mapping[str, Any]]) -> list[Fault | None]:
        """What is wrong with each of `refs` (rows of IMAGE_REF); those seen before are not read again."""
        keys = [_key(ref) for ref in refs]
        new = {key: ref for key, ref in zip(keys, refs, strict=True) if key not in self.seen}
        found: dict[bytes, Fault | None] = {}
        for start in range(0, len(new), FETCH):
            part = dict(list(new.items())[start : start + FETCH])
            found.update(zip(part, self._looked(list(part.values())), strict=True))
        self.n += len(found)
        for key, fault in found.items():
            if len(self.seen) < MOST_SEEN:
                self.seen[key] = fault
            else:
                self.complete = False
        faults = [self.seen[key] if key in self.seen else found[key] for key in keys]
        self.n_broken += sum(fault is not None for fault in faults)
        return faults

    def _looked(self, refs: list[Mapping[str, Any]]) -> list[Fault | None]:
        if not self.decoding:
            return [None] * len(refs)
        contents = fetch(refs)
        start = time.monotonic()
        looked = list(self.threads.map(self._opened, contents))
        self.seconds += time.monotonic() - start
        for data, (fault, size, kind) in zip(contents, looked, strict=True):
            self.n_bytes += 0 if isinstance(data, BadImage) else len(data)
            if fault is None:
                self.width.add(size[0])
                self.height.add(size[1])
                self.formats[kind] += 1
        return [fault for fault, _, _ in looked]

    def _opened(self, data: bytes | BadImage) -> tuple[Fault | None, tuple[int, int], str]:
        if isinstance(data, BadImage):
            return Fault(data.code, str(data), False), (0, 0), ""
        try:
            image = decode(data, max_pixels=self.max_pixels)
        except BadImage as error:
            return Fault(error.code, str(error), _opens(data, error.code)), (0, 0), ""
        if max(image.size) > MOST_ASPECT * min(image.size):
            sentence = f"the image has {image.width} x {image.height} pixels"
            return Fault(EXTREME_ASPECT, sentence, True), (0, 0), ""
        return None, image.size, image.format or ""

    def tree(self) -> dict[str, Any]:
        """As `--json` has it; what decoding alone tells is null without it."""
        return {
            "distinct": self.n if self.complete else None,
            "missing": self.n_missing,
            "broken": self.n_broken if self.decoding else None,
            "bytes": self.n_bytes if self.decoding else None,
            "width": self.width.tree(),
            "height": self.height.tree(),
            "formats": dict(self.formats.most_common()),
        }


def _opens(data: bytes, code: str) -> bool:
    """Does `Image.open(…).convert("RGB")`, which is what trainers do, take an image that is bad for us?

    They know more formats, and forgive a PNG without an end; Pillow alone decides what is too large.
    """
    from PIL import Image

    Image.init()
    try:
        image = Image.open(BytesIO(data), formats=[name for name in Image.ID if name not in _FOREIGN])
        if code != IMAGE_TOO_LARGE:
            image.convert("RGB")
    except Exception:  # whatever Pillow raises, a trainer does not catch
        return False
    return True


def _key(ref: Mapping[str, Any]) -> bytes:
    place = (ref["path"], ref["offset"], ref["column"], ref["row"])
    return hashlib.blake2b(repr(place).encode("utf-8", "surrogatepass"), digest_size=8).digest()
