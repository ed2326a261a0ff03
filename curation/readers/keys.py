"""Where a dataset keeps image and text, if a user says so: `--image-key` and `--text-key`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_BETWEEN = re.compile(r"[;,]")


@dataclass(frozen=True)
class Keys:
    """Names of columns, of keys in JSON or of members in a tar; several are tried in order (`jpg;png`)."""

    image: str | None = None
    text: str | None = None

    @property
    def images(self) -> tuple[str, ...]:
        return _names(self.image)

    @property
    def texts(self) -> tuple[str, ...]:
        return _names(self.text)

    def renamed(self, record: Any) -> Any:
        """A record whose image is called `image`, and its text `caption`; others as they are."""
        if not (self.image or self.text) or not isinstance(record, dict):
            return record
        image = next((name for name in self.images if record.get(name) is not None), None)
        text = next((name for name in self.texts if isinstance(record.get(name), str)), None)
        if image is not None:
            others = {name: item for name, item in record.items() if name not in ("image", "images", image)}
            record = {**others, "image": record[image]}
        if text is not None:
            # Nothing else in the record counts as text then.
            others = {name: record[name] for name in ("id", "source", "image", "images") if name in record}
            record = {**others, "caption": record[text]}
        return record


NO_KEYS = Keys()


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in _BETWEEN.split(text or "") if name.strip())
