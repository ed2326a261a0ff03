"""What the processor has instructions for."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

BF16_FLAGS = frozenset(("avx512_bf16", "amx_bf16"))


@lru_cache
def has_bf16_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Say whether the processor has bf16 instructions; False where /proc/cpuinfo does not tell."""
    if not cpuinfo.is_file():
        return False
    for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("flags"):
            return not BF16_FLAGS.isdisjoint(line.split())
    return False


def n_threads() -> int:
    """Threads to compute with: OMP_NUM_THREADS (of a list such as 4,2 the first number), else the cores."""
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return max(int(given), 1) if given.isdigit() else os.cpu_count() or 1
