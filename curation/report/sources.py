"""Where samples come from, and what became of those of each source."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc

from curation.report.outcomes import ALL, Outcomes
from curation.report.records import Ints
from curation.steps.select.select import KEPT
from schemas.stages import Pool

MOST = 40  # sources that have a row
REST = "all others"


def source_numbers(pool: Pool) -> tuple[list[str], Ints]:
    """The names of the sources, the largest first, and (n,) which each sample is of.

    A record without a source is of its dataset.
    """
    table = pool.read("checked", ["dataset", "source"])
    named = pc.coalesce(table["source"], table["dataset"]).combine_chunks().dictionary_encode()
    codes = named.indices.to_numpy().astype(np.int64)
    names = named.dictionary.to_pylist()
    counts = np.bincount(codes, minlength=len(names))
    order = sorted(range(len(names)), key=lambda at: (-counts[at], names[at]))
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    return [names[at] for at in order], place[codes]


def sources(pool: Pool, outcomes: Outcomes) -> dict[str, Any]:
    """`outcomes`: those that occur; `rows`: a source each, with `n`, and how many have each outcome.

    `share` is of the source, `of_pool` and `of_kept` what share of all it makes up.
    """
    names, of = source_numbers(pool)
    shown = np.minimum(of, MOST) if len(names) > MOST + 1 else of
    labels = [*names[:MOST], f"{REST} ({len(names) - MOST:,})"] if len(names) > MOST + 1 else names
    table = np.bincount(shown * len(ALL) + outcomes.code, minlength=len(labels) * len(ALL))
    table = table.reshape(len(labels), len(ALL))
    kept = table[:, ALL.index(KEPT)]
    rows = [
        {
            "name": name,
            "n": int(counts.sum()),
            "counts": counts[outcomes.present].tolist(),
            "share": float(counts[ALL.index(KEPT)] / max(counts.sum(), 1)),
            "of_pool": float(counts.sum() / max(len(of), 1)),
            "of_kept": float(counts[ALL.index(KEPT)] / kept.sum()) if kept.sum() else None,
        }
        for name, counts in zip(labels, table, strict=True)
    ]
    return {"outcomes": [ALL[at] for at in outcomes.present], "rows": rows, "n_sources": len(names)}
