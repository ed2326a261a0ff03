"""Resident memory, libraries included. It decides only how far ahead to read."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

import psutil


def peak_gb(workers: int) -> float:
    """The most that this process and its `workers` ended worker processes had resident, in 1e9 bytes.

    With several workers an upper bound: the system remembers only the largest of them.
    """
    own = _own_peak()
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss if workers > 1 else 0
    return round((own + workers * worker) * 1024 / 1e9, 3)


def _own_peak() -> int:
    """In kilobytes. What getrusage says of a process that was just started is the peak of its parent."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@dataclass(frozen=True)
class MemoryLimit:
    """`--memory`, or a worker's share of it. Near it nothing is read ahead: one batch at a time goes on."""

    bytes_: int

    def tight(self) -> bool:
        """True where this process has more than 85 % of it resident."""
        resident: int = psutil.Process().memory_info().rss
        return resident > 0.85 * self.bytes_
