"""Resident memory of this process and its children. It decides only how far ahead to read."""

from __future__ import annotations

import resource
from dataclasses import dataclass

import psutil


def resident() -> int:
    """Bytes resident now, summed over the process tree. Pages shared between processes count in each."""
    process = psutil.Process()
    total: int = process.memory_info().rss
    for child in process.children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def peak_gb() -> float:
    """The most this process, plus its largest ended child, had resident so far, in 1e9 bytes."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round((own + child) * 1024 / 1e9, 3)


@dataclass(frozen=True)
class Limit:
    """`--memory`. Above `bytes_` nothing is read ahead; work goes on one batch at a time."""

    bytes_: int

    def tight(self) -> bool:
        return resident() > 0.85 * self.bytes_
