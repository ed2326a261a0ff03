"""What a rule is: one thing that a trainer trips over, told from a record as it stands in the file.

No trainer is imported, and none of their code is here. Each rule names the function that it was read in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Record: TypeAlias = Mapping[str, Any]

TAG = "<image>"

# What becomes of a record.
CRASH = "crash"  # training stops
DROPPED = "dropped"  # left out, with a line in the log
REPLACED = "replaced"  # another record is taken in its place
WRONG = "wrong"  # trained as something else than it says, without a word


@dataclass(frozen=True)
class Rule:
    """`find` says what is wrong with a record, in a sentence; None where nothing is."""

    name: str
    effect: str
    source: str  # file and function of the trainer
    find: Callable[[Record], str | None]


@dataclass(frozen=True)
class Problem:
    """A rule, and what it found."""

    rule: str
    effect: str
    source: str
    sentence: str


@dataclass(frozen=True)
class Trainer:
    """One that reads records, as it was read in the sources of `version`."""

    name: str
    title: str
    version: str
    containers: frozenset[str]  # of CONTAINERS
    reads: str  # what it is made for, as a sentence goes on behind "reads"
    fits: Callable[[Record], bool]  # whether it is made for records like this
    rules: tuple[Rule, ...]
    images: Callable[[Record], list[str]]  # the images that it opens, by path
    lost: Rule  # what becomes of a record whose image cannot be opened; finds nothing by itself
    fetches: bool = False  # also opens URLs and data: URLs
    datasets: str = ""  # with which `datasets` it loads files: OLD or NEW; empty: with none


# Versions of the package `datasets`: from 4.7 on a column may hold values of several types.
OLD, NEW = "up to 4.6", "from 4.7 on"
# How the records of a file are kept.
ARRAY, LINES, PACKED, PARQUET, HF = "JSON array", "JSONL", "packed JSON", "Parquet", "saved dataset"
CONTAINERS = (ARRAY, LINES, PACKED, PARQUET, HF)


def nothing(_: Record) -> str | None:
    """Finds nothing."""
    return None


def turns(record: Record, key: str) -> list[dict[str, Any]]:
    """The objects in the list under `key`."""
    value = record.get(key)
    return [turn for turn in value if isinstance(turn, dict)] if isinstance(value, list) else []


def listed(value: Any) -> list[Any]:
    """Nothing, one or several as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def paths(images: Iterable[Any]) -> list[str]:
    """The paths of images that are strings or structs of `path` and `bytes`."""
    named = (image.get("path") if isinstance(image, dict) else image for image in images)
    return [path for path in named if isinstance(path, str)]


def embedded(image: Any) -> bool:
    """Is it a struct that has the bytes of an image?"""
    return isinstance(image, dict) and bool(image.get("bytes"))


def n_tags(texts: Iterable[Any]) -> int:
    """How often `<image>` stands in those that are strings."""
    return sum(text.count(TAG) for text in texts if isinstance(text, str))


def is_url(path: str) -> bool:
    """Is it an address, or an image that stands in the record?"""
    return path[:5].lower() == "data:" or "://" in path[:40]


def shown(value: Any) -> str:
    """A value as a sentence names it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
