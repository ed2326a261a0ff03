"""Cards of the clusters: what each is about, how large, what was to be taken of it and by which figure."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.catalog import current_tables
from curation.report.outcomes import Outcomes
from curation.report.records import positions_of, records
from curation.steps.cluster.skills import NameSkills
from schemas.stages import Pool

CARDS = 48
TOLD = 3  # strata of a card
ROWS = 200  # strata that are listed
WHY = 200  # characters of a reason


def cluster_names(pool: Pool) -> dict[int, dict[str, Any]]:
    """A row of `skills` for each cluster with samples; made anew where the table is of other clusters."""
    if pool.find("clusters") is None or pool.manifest("clusters").rows != pool.manifest("checked").rows:
        return {}
    sizes = _sizes(pool.read("clusters", ["cluster"])["cluster"])
    if pool.find("skills") is not None:
        rows = pool.read("skills").to_pylist()
        if {row["cluster"]: row["size"] for row in rows if row["size"]} == sizes:
            return {row["cluster"]: row for row in rows if row["size"]}
    (output,) = NameSkills("capability" in current_tables(pool)).run(pool)
    return {row["cluster"]: row for row in output.batch.to_pylist() if row["size"]}


def clusters(pool: Pool, outcomes: Outcomes, names: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """`n` clusters, `cards` of the largest, and the `strata` that the strategy told apart.

    A card has the figures of `skills`, `n_kept`, `strata` (those that are of the cluster alone) and
    `examples` as `curation.report.records` has them, nearest to the centre first.
    """
    order = sorted(names, key=lambda cluster: (-names[cluster]["size"], cluster))[:CARDS]
    column = pool.read("clusters", ["cluster"])["cluster"] if names else pa.chunked_array([], pa.int32())
    kept = _sizes(column.filter(pa.array(outcomes.kept))) if names else {}
    own = _strata(pool) if outcomes.selected else {}
    uids = [uid for cluster in order for uid in names[cluster]["examples"]]
    places = positions_of(pool, pa.array(uids, pa.binary(16)))
    shown = dict(zip(uids, records(pool, places), strict=True))
    cards = []
    for cluster in order:
        row = names[cluster]
        cards.append(
            {
                **{name: row[name] for name in ("cluster", "label", "terms", "capability", "style", "size")},
                "density": row["density"],
                "spread": row["spread"],
                "nearest": [near["cluster"] for near in row["nearest"]],
                "n_kept": kept.get(cluster, 0),
                "strata": own.get(cluster, [])[:TOLD],
                "n_strata": len(own.get(cluster, [])),
                "examples": [shown[uid] for uid in row["examples"]],
            }
        )
    return {"n": len(names), "cards": cards, "strata": strata(pool) if outcomes.selected else []}


def _sizes(column: pa.ChunkedArray) -> dict[int, int]:
    counted = pc.value_counts(column.drop_null()).to_pylist()
    return {each["values"]: each["counts"] for each in counted}


def strata(pool: Pool) -> list[dict[str, Any]]:
    """What the strategy told apart, the largest first: rows of `strata`, reasons cut."""
    rows = sorted(pool.read("strata").to_pylist(), key=lambda row: (-row["n_candidates"], row["stratum"]))
    return [{**row, "why": cut(row["why"] or "")} for row in rows[:ROWS]]


def cut(text: str) -> str:
    """The first WHY characters."""
    return text[:WHY] + ("…" if len(text) > WHY else "")


def _strata(pool: Pool) -> dict[int, list[dict[str, Any]]]:
    """Of each cluster the strata that are of it alone, the largest first."""
    rows = pool.read("selection", ["cluster", "stratum"])
    rows = rows.filter(pc.and_(rows["cluster"].is_valid(), rows["stratum"].is_valid()))
    table = {row["stratum"]: row for row in pool.read("strata").to_pylist()}
    counts = rows.group_by(["cluster", "stratum"]).aggregate([([], "count_all")]).to_pylist()
    spread = Counter(row["stratum"] for row in counts)
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(counts, key=lambda row: (-row["count_all"], row["stratum"])):
        held = table.get(row["stratum"])
        if held is not None and spread[row["stratum"]] == 1:
            found[row["cluster"]].append({**held, "why": cut(held["why"] or "")})
    return found
