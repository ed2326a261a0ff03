"""What leaks a benchmark, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs.text import line, table

LEVELS = ("image", "perceptual", "embedding", "text")


def leaks(found: dict[str, Any]) -> Iterator[str]:
    """Counts by benchmark and level, the first pairs, and what becomes of them."""
    rows = [
        (
            benchmark["name"],
            f"{benchmark['n_in_pool']:,} of {benchmark['n_read']:,}",
            f"{benchmark['n_leaked']:,}",
            *(f"{benchmark['levels'].get(level, 0):,}" for level in LEVELS),
        )
        for benchmark in found["benchmarks"]
    ]
    head = ("benchmark", "in the pool", "samples", *LEVELS)
    yield from table(head, rows, right=range(1, len(head)))
    yield ""
    if found["pairs"]:
        pairs = [
            (_name(pair["of"]), pair["benchmark"], pair["id"], pair["level"], f"{pair['similarity']:.3f}")
            for pair in found["pairs"]
        ]
        yield from table(("sample", "benchmark", "its sample", "level", "similarity"), pairs, right=(4,))
        yield ""
        if found["n_pairs"] > len(pairs):
            yield line("more", f"{found['n_pairs']:,} pairs: --limit {found['n_pairs']}")
    yield line("leaked", f"{found['n_leaked']:,} of {found['n_read']:,} samples")
    yield line("select", "leaves them in (tag)" if found["tag"] else "leaves them out")
    yield line("settings", f"[decontaminate] in {found['config']}")


def _name(sample: dict[str, Any]) -> str:
    """The record's own id and the beginning of its uid, by which `curate explain` finds it."""
    uid = sample["uid"][:8]
    return uid if sample["id"] is None else f"{sample['id']} ({uid})"
