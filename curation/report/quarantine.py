"""Records that cannot be used: how many by code, and the first of each with its place and sentence."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow.compute as pc

from schemas.stages import Pool

EXAMPLES = 4  # of each code
COLUMNS = ["record_id", "dataset", "file", "line", "error", "error_message"]


def quarantine(pool: Pool) -> list[dict[str, Any]]:
    """Of each code, the commonest first: `n` and `examples`, rows of COLUMNS."""
    counts: Counter[str] = Counter()
    shown: dict[str, list[dict[str, Any]]] = {}
    for shard in pool.iterate("checked", COLUMNS):
        bad = shard.filter(pc.is_valid(shard["error"]))
        codes = bad["error"].to_pylist()
        for at, code in enumerate(codes):
            if counts[code] < EXAMPLES:
                shown.setdefault(code, []).append(bad.slice(at, 1).to_pylist()[0])
            counts[code] += 1
    codes = sorted(counts, key=lambda code: (-counts[code], code))
    return [{"code": code, "n": counts[code], "examples": shown[code]} for code in codes]
