"""Trainers that read image-text records, and what each of them would trip over.

One file a trainer, its rules in the order of the trainer's own steps; a line in TRAINERS. `check` is for
whoever reads records (`curate validate`) or writes them (the writers of exports).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curation.trainers.internvl import INTERNVL
from curation.trainers.llama_factory import LLAMA_FACTORY
from curation.trainers.llava import LLAVA
from curation.trainers.rules import (
    CONTAINERS,
    CRASH,
    DROPPED,
    REPLACED,
    WRONG,
    Problem,
    Rule,
    Trainer,
    is_url,
    shown,
)
from curation.trainers.swift import SWIFT
from curation.trainers.trl import TRL

TRAINERS: dict[str, Trainer] = {
    trainer.name: trainer for trainer in (LLAVA, INTERNVL, LLAMA_FACTORY, TRL, SWIFT)
}
EFFECTS = (CRASH, DROPPED, REPLACED, WRONG)

__all__ = [
    "CONTAINERS",
    "CRASH",
    "DROPPED",
    "EFFECTS",
    "REPLACED",
    "TRAINERS",
    "WRONG",
    "Problem",
    "Rule",
    "Trainer",
    "check",
]

_FILE = "json.load, or datasets"


def check(record: Any, trainer: str, unreadable: Mapping[str, str] | None = None) -> list[Problem]:
    """What the trainer called `trainer` would trip over in `record`; nothing where it takes it as it is.

    `record` is one object as it stands in the file, before anything is repaired. `unreadable` has the images
    that cannot be opened, by their paths as the record spells them, and why; no file is looked at here.

    Raises:
        KeyError: there is no such trainer.
    """
    reader = TRAINERS[trainer]
    if not isinstance(record, Mapping):
        return [Problem("no_object", CRASH, _FILE, f"the record is {shown(record)} and no object")]
    found = []
    for rule in reader.rules:
        sentence = rule.find(record)
        if sentence is not None:
            found.append(Problem(rule.name, rule.effect, rule.source, sentence))
            if rule.effect == DROPPED:
                return found  # what is dropped is looked at no further
    for path in reader.images(record):
        why = _not_opened(reader, path, unreadable or {})
        if why:
            found.append(Problem(reader.lost.name, reader.lost.effect, reader.lost.source, why))
    return found


def _not_opened(reader: Trainer, path: str, unreadable: Mapping[str, str]) -> str | None:
    if is_url(path) and not path.startswith("file://"):
        return None if reader.fetches else f"{shown(path)} is no path; only files are opened"
    return unreadable.get(path)
