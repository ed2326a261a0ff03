"""What a page is shown of a workspace: its tables as they are now, and what is made of them once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.explorer.frame import Frame
from curation.explorer.marks import Marks
from curation.explorer.pictures import Pictures
from curation.pipeline.pipeline import Pipeline
from curation.report.clusters import cluster_names
from curation.report.records import records
from curation.search.hits import Searcher
from curation.storage.ids import words
from curation.storage.store import Store
from schemas.errors import CurateError

CHARS = 240  # of a text on a card


@dataclass
class View:
    """The tables of one state of the pool."""

    workspace: Pipeline
    store: Store

    def __post_init__(self) -> None:
        self.frame = Frame(self.store)
        self.searcher = Searcher(self.store, self.workspace.progress)

    @cached_property
    def uids(self) -> NDArray[np.uint64]:
        """(n, 2) the uids as numbers."""
        return words(self.store.read("samples", ["uid"])["uid"])

    @cached_property
    def cluster_names(self) -> dict[int, dict[str, Any]]:
        """What each cluster is about, as `curate clusters` says."""
        return cluster_names(self.store)

    def position(self, uid: str) -> int:
        """Where a sample stands in the pool.

        Raises:
            CurateError: there is none with that uid.
        """
        try:
            wanted = np.frombuffer(bytes.fromhex(uid), "<u8")
        except ValueError:
            wanted = np.zeros(0, np.uint64)
        if len(wanted) == 2:
            found = np.flatnonzero((self.uids == wanted).all(axis=1))
            if len(found):
                return int(found[0])
        raise CurateError(f"there is no sample {uid[:40]!r}")

    def cards(self, at: Sequence[int] | NDArray[np.integer]) -> list[dict[str, Any]]:
        """What a card shows of the samples at positions of the pool."""
        places = np.asarray(at, np.int64)
        known = [name for name in ("kept", "reason", "cluster", "error") if name in self.frame.rows.columns]
        facts = self.frame.read(known)[places].to_dicts()
        return [
            {**card(record), **fact}
            for record, fact in zip(records(self.store, places, CHARS), facts, strict=True)
        ]


def card(record: dict[str, Any]) -> dict[str, Any]:
    """A record of `curation.report.records` without where its pictures lie."""
    told = {name: record[name] for name in ("uid", "id", "dataset", "source", "text", "error")}
    return {**told, "n_images": len(record["images"])}


@dataclass
class Explorer:
    """A workspace, and everything of it that is held for the page."""

    workspace: Pipeline
    lock: threading.Lock = field(default_factory=threading.Lock)
    encoding: threading.Lock = field(default_factory=threading.Lock)  # encoders are not for two threads

    def __post_init__(self) -> None:
        self.workspace.store.demand_ingested()
        self.marks = Marks(self.workspace.base)
        self.pictures = Pictures(self.workspace.config.images.max_pixels)
        self.held: tuple[int, View] | None = None

    @property
    def view(self) -> View:
        """The tables as they are now: read anew when a command has published others."""
        with self.lock:
            stamp = self._stamp()
            if self.held is None or self.held[0] != stamp:
                self.held = stamp, View(self.workspace, self.workspace.store)
            return self.held[1]

    def _stamp(self) -> int:
        """When a manifest was published last; 0 for a workspace at a URL, which is read once."""
        root = self.workspace.store.root
        return (root / "tables").stat().st_mtime_ns if isinstance(root, Path) else 0

    def read_ahead(self) -> None:
        """Read, index and load what the first question would have to wait for."""
        try:
            view = self.view
            view.frame.read_ahead()
            for side in ("image", "text"):
                view.searcher.index(side)
            with self.encoding:
                self.workspace.model.encoder()
        except CurateError as error:
            # Nothing is embedded, or another command is running: who searches is told.
            self.workspace.progress.note(f"the page cannot search yet: {error}")
