"""Every answer, kept by the hash of its request: a file each, so that any number of processes may add some.

    answers/MODEL/abc/DIGEST.json

A file is there whole before its request counts as answered, so a killed run repeats nothing that was
answered. Where two processes ask the same at once, the first answer on a local disk is the one that both
go on with.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.storage.files import Location, Remote, put

FAN_OUT = 3  # hex digits of a folder's name: 4,096 folders


@dataclass(frozen=True)
class Answers:
    """The answers of one model in one workspace.

    Args:
        root: the folder `answers` of the workspace.
        model: its name, as the endpoint knows it.
    """

    root: Location
    model: str

    @property
    def folder(self) -> Location:
        """Where they lie; to forget what a model said, remove it."""
        return self.root / (re.sub(r"[^A-Za-z0-9._-]+", "_", self.model).strip(".") or "_")

    def path(self, digest: str) -> Location:
        """The file of one answer."""
        return self.folder / digest[:FAN_OUT] / f"{digest}.json"

    def get(self, digest: str) -> dict[str, Any] | None:
        """The answer to the request that has this digest; None where there is none, or a damaged one."""
        try:
            held = json.loads(self.path(digest).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return held if isinstance(held, dict) and held.get("request") == digest else None

    def keep(self, digest: str, answer: dict[str, Any]) -> dict[str, Any]:
        """Keep `answer`, and return the one that is kept: another process may have been the first."""
        whole = {"request": digest, **answer}
        data = (json.dumps(whole, sort_keys=True, ensure_ascii=True) + "\n").encode()
        path = self.path(digest)
        if isinstance(path, Remote):
            put(path, data)
            return whole
        if not _create(path, data):
            first = self.get(digest)
            if first is not None:
                return first
            put(path, data)  # what is there is damaged
        return whole


def _create(path: Path, data: bytes) -> bool:
    """Write a file that is there whole or not at all, and outlives a power cut. False if one is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            # The name comes first: one call then makes both the bytes and the name safe.
            try:
                os.link(partial, path)
            except FileExistsError:
                return False
            except OSError:  # a file system without hard links
                partial.replace(path)
            os.fsync(file.fileno())
    finally:
        partial.unlink(missing_ok=True)
    return True
