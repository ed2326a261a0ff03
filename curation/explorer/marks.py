"""Samples that somebody marked: two lists beside curate.toml, as `curate select` takes them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from curation.storage.files import Location, put

Mark: TypeAlias = Literal["keep", "drop"]
FILES: dict[Mark, str] = {"keep": "must-keep.txt", "drop": "must-drop.txt"}
UID = re.compile(r"[0-9a-f]{32}")


@dataclass
class Marks:
    """The marks as they are on the page, and as they stand in the files.

    Args:
        folder: of the workspace.
        marked: by uid in hex, in the order in which they were made.
        others: lines of the files that are no uid, as people write them by hand; they stay.
    """

    folder: Location
    marked: dict[str, Mark] = field(default_factory=dict)
    others: dict[Mark, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.folder, Path):
            self.folder = Path()  # `select` reads its lists from this machine
        for mark, name in FILES.items():
            try:
                lines = (self.folder / name).read_text(encoding="utf-8").splitlines()
            except FileNotFoundError:
                lines = []
            self.marked |= {line.strip(): mark for line in lines if UID.fullmatch(line.strip())}
            kept = [line for line in lines if not UID.fullmatch(line.strip())]
            self.others[mark] = [line for line in kept if line.strip()]
        self.saved = dict(self.marked)

    def set(self, uid: str, mark: Mark | None) -> None:
        """Mark a sample, or take its mark away."""
        self.marked.pop(uid, None)
        if mark is not None:
            self.marked[uid] = mark

    def count(self, mark: Mark) -> int:
        """How many samples have the mark."""
        return sum(each == mark for each in self.marked.values())

    def save(self) -> dict[Mark, str]:
        """Write the two files, and say where they are."""
        paths = {}
        for mark, name in FILES.items():
            uids = [uid for uid, each in self.marked.items() if each == mark]
            lines = [*self.others[mark], *uids]
            path = self.folder / name
            put(path, "".join(f"{line}\n" for line in lines).encode())
            paths[mark] = str(path)
        self.saved = dict(self.marked)
        return paths
