"""What synthetic quality flags, with the words or pictures that it goes by."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.catalog import current_tables
from curation.report.outcomes import Flags, Outcomes
from curation.report.records import records, turns_of
from schemas.stages import Pool

TABLE = "quality"
EXAMPLES = 3  # of each flag
AROUND = 60  # characters on either side of what is marked
MARKED = 240  # characters that are marked at most


def defects(pool: Pool, outcomes: Outcomes) -> list[dict[str, Any]] | None:
    """Of each flag that is set, the commonest first: `n`, `n_kept` and examples; None without the table.

    An example is a record of `curation.report.records`, with `before`, `marked` and `after`: the words that
    it goes by, or None where that is a picture.
    """
    if TABLE not in current_tables(pool):
        return None
    names = [field.name for field in pool.schema(TABLE) if pa.types.is_boolean(field.type)]
    counts: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    where: dict[str, list[int]] = {}
    start = 0
    for shard in pool.iterate(TABLE, names):
        own = slice(start, start + len(shard))
        for name in names:
            flagged: Flags = pc.fill_null(shard[name], False).to_numpy() & outcomes.readable[own]
            counts[name] += int(flagged.sum())
            kept[name] += int((flagged & outcomes.kept[own]).sum())
            room = EXAMPLES - len(where.setdefault(name, []))
            where[name] += (np.flatnonzero(flagged)[:room] + start).tolist()
        start += len(shard)
    return [
        {
            "name": name,
            "label": name.replace("_", " "),
            "n": n,
            "n_kept": kept[name],
            "examples": _examples(pool, name, where[name]),
        }
        for name, n in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
        if n
    ]


def _examples(pool: Pool, flag: str, places: list[int]) -> list[dict[str, Any]]:
    found = []
    for shown, turns, evidence in zip(
        records(pool, places), turns_of(pool, places), _evidence(pool, flag, places), strict=True
    ):
        found.append({**shown, "pattern": evidence and evidence["pattern"], **_marked(turns, evidence)})
    return found


def _evidence(pool: Pool, flag: str, places: list[int]) -> list[dict[str, Any] | None]:
    """The first evidence of the flag for each sample."""
    starts = np.cumsum([0, *pool.manifest(TABLE).sizes])
    found: list[dict[str, Any] | None] = []
    for place in places:
        number = int(np.searchsorted(starts, place, side="right")) - 1
        held = pool.read(TABLE, ["evidence"], number)["evidence"][place - int(starts[number])].as_py()
        found.append(next((each for each in held or () if each["flag"] == flag), None))
    return found


def _marked(turns: list[dict[str, str]], evidence: dict[str, Any] | None) -> dict[str, str | None]:
    """The words that evidence points at, and some before and after."""
    if evidence is None or evidence["turn"] is None or evidence["turn"] >= len(turns):
        return {"before": None, "marked": None, "after": None}
    text = turns[evidence["turn"]]["text"] or ""
    start, end = evidence["start"] or 0, evidence["end"] or 0
    marked = text[start:end]
    cut = "…" if len(marked) > MARKED else ""
    before = text[max(start - AROUND, 0) : start]
    return {
        "before": ("…" if start > AROUND else "") + before,
        "marked": marked[:MARKED] + cut,
        "after": "" if cut else text[end : end + AROUND] + ("…" if len(text) > end + AROUND else ""),
    }
