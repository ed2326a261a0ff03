"""Counts of a finished step, spelled as `--json` spells them. Read from tables, never counted on the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.catalog import score_table
from curation.pipeline.losses import heavy, of_pruning, of_selection
from curation.selectors import BELOW_CHANCE, selector
from curation.selectors.order import TIES
from curation.steps.chain import looks_at_records
from curation.steps.prune.pairs import MOST_ODD, looks_of
from curation.steps.select.budgeting import image_costs
from curation.storage.store import Store
from schemas.budget import Budget
from schemas.config import Config
from schemas.stages import STEPS

CLUSTERED = ("adapt", "visnec", "coincide", "dbp", "datatailor")  # strategies that look at clusters
DRAWN = ("balanced", "gated", "adapt", "mmssr", "ccs", "tive")  # that draw lots inside their strata


def counts(store: Store, config: Config, until: str) -> dict[str, Any]:
    """What there is after step `until`; each step adds its own."""
    steps = (STEPS[0], until) if looks_at_records(config, until) else STEPS[: STEPS.index(until) + 1]
    found = _ingested(store)
    if "embed" in steps:
        found["n_image_vectors"] = _rows(store, "image_vectors")
        found["n_chunk_vectors"] = _rows(store, "chunk_vectors")
        found["model"] = config.embed.model
    if "score" in steps:
        found.update(_rated(store, config))
    if "cluster" in steps:
        found["n_clusters"] = pc.count_distinct(store.read("clusters", ["cluster"])["cluster"]).as_py()
    if "prune" in steps:
        found.update(_pruned(store, found))
    if "select" in steps:
        found.update(_selected(store, config, found))
    if "prune" in steps:
        losses = of_selection(store) if "select" in steps else of_pruning(store)
        found["heavy_losses"] = [asdict(loss) for loss in heavy(losses, found["n_candidates"])]
    return found


def _ingested(store: Store) -> dict[str, Any]:
    checked = store.manifest("checked")
    errors = pc.drop_null(store.read("checked", ["error"])["error"])
    return {
        "n_read": checked.rows,
        "n_quarantined": len(errors),
        "quarantined": _by_value(errors),
        **repaired(store),
        "n_images": _rows(store, "images"),
    }


def repaired(store: Store) -> dict[str, Any]:
    """How many records were repaired when they were read, and by code what was."""
    codes = store.read("samples", ["repaired"])["repaired"]
    n = pc.sum(pc.greater(pc.list_value_length(codes), 0)).as_py() or 0
    return {"n_repaired": n, "repaired": _by_value(pc.list_flatten(codes))}


def _by_value(column: pa.ChunkedArray) -> dict[str, int]:
    return dict(sorted(tuple(pair.values()) for pair in pc.value_counts(column).to_pylist()))


def _rated(store: Store, config: Config) -> dict[str, Any]:
    """Of the tables whose nulls have reasons and that the settings ask for: scored, null, and why by code."""
    asked = {
        "capability": ("capability_reason", config.capability.backend != "none"),
        "judgement": ("judge_reason", config.endpoint.judge),
    }
    found: dict[str, Any] = {}
    for table, (column, wanted) in asked.items():
        if wanted and store.find(table) is not None:
            reasons = pc.drop_null(store.read(table, [column])[column])
            codes = Counter(reason.partition(":")[0] for reason in reasons.to_pylist())
            found[f"n_{table}_scored"] = _rows(store, table) - len(reasons)
            found[f"n_{table}_null"] = len(reasons)
            found[f"{table}_null"] = dict(sorted(codes.items()))
    return found


def _pruned(store: Store, found: dict[str, Any]) -> dict[str, Any]:
    pruned = store.manifest("pruned")
    reasons = store.read("pruned", ["reason"])["reason"]
    n_readable = found["n_read"] - found["n_quarantined"]
    return {
        "n_pruned": len(reasons),
        "pruned": _by_value(reasons),
        "n_candidates": n_readable - len(reasons),
        **(_compared(store) if pruned.stage["params"]["semantic"] else {}),
        **_looked(store, pruned.stage["params"]),
        **({"copies": _copies(store)} if pruned.stage["params"]["eps"] is None else {}),
    }


def _compared(store: Store) -> dict[str, Any]:
    """How thorough the search was, and how many samples would stay at other values of eps."""
    probes = store.read("probes").filter(pc.field("chosen")).to_pylist()[0]
    curve = store.read("prune_curve").to_pylist()
    return {
        "probes": probes["probes"],
        "probes_recall": probes["recall"],
        "n_probed_pairs": probes["n_pairs"],
        "n_full_lists": curve[0]["n_full"],
        "curve": {row["eps"]: row["n_kept"] for row in curve if row["eps"] is not None},
    }


def _looked(store: Store, params: dict[str, Any]) -> dict[str, Any]:
    """How many pairs of pictures were looked at again, and how many of them were copies."""
    tables = looks_of(by_look=params["by_look"], by_hash=params["by_hash"], semantic=params["semantic"])
    if not tables:
        return {}
    oddness = pa.concat_tables(store.read(table, ["oddness"]) for table in tables)["oddness"]
    copies = pc.sum(pc.less_equal(oddness, MOST_ODD)).as_py() or 0
    return {"n_looks": len(oddness), "n_looks_copies": copies, "most_odd": MOST_ODD}


def _copies(store: Store) -> dict[str, Any]:
    """Within which eps near-duplicates are looked at, and what share of copies is: groups by their size."""
    groups = store.read("copy_eps").to_pylist()
    told = [row for row in groups if row["eps"] is not None and row["n_samples"]]
    n = sum(row["n_samples"] for row in told)
    return {
        "n_groups": sum(1 for row in groups if row["n_samples"]),
        "n_told": len(told),
        "least_eps": min((row["eps"] for row in told), default=None),
        "most_eps": max((row["eps"] for row in told), default=None),
        "found": sum(row["found"] * row["n_samples"] for row in told) / n if n else None,
    }


def _selected(store: Store, config: Config, found: dict[str, Any]) -> dict[str, Any]:
    rows = store.read("selection", ["tier", "reason", "clause"])
    reasons = Counter(rows["reason"].to_pylist())
    n_readable = found["n_read"] - found["n_quarantined"]
    budgets = Budget.parse_all(config.select.budget or "")
    asked = None if budgets[0].is_cost else max(budget.samples(n_readable) for budget in budgets)
    nested = {}
    spelled = dict(zip(budgets, (config.select.budget or "").split(","), strict=True))
    if len(budgets) > 1:
        sizes = np.cumsum(np.bincount(rows["tier"].drop_null().to_numpy(), minlength=len(budgets)))
        order = sorted(
            budgets, key=lambda budget: budget.value if budget.is_cost else budget.samples(n_readable)
        )
        nested = {"nested": {spelled[one].strip(): int(n) for one, n in zip(order, sizes, strict=True)}}
    strategy, scorers = _strategy(store), _scorers(store)
    measured = {"measured": _measured(store)} if config.select.default_filters else {}
    return {
        "budget": config.select.budget,
        "strategy": strategy,
        "mix": store.manifest("selection").stage["params"].get("mix"),
        "below_chance": selector(strategy).name in BELOW_CHANCE,
        "seed": config.run.seed,
        "n_filtered": reasons["filtered"],
        "n_left_out": reasons["dropped"] + reasons["target"],
        "n_leaked": reasons["benchmark_leak"],
        "filtered": dict(Counter(rows["clause"].drop_null().to_pylist()).most_common()),
        **measured,
        "n_candidates": reasons["kept"] + reasons["over_budget"],
        "n_selected": reasons["kept"],
        **nested,
        "used": _used(store, budgets[0]) if budgets[0].is_cost else None,
        "n_without_score": _without_score(store),
        "shortfall": max(asked - reasons["kept"], 0) if asked is not None else 0,
        "scorers": scorers,
        "signals": _signals(strategy, scorers),
    }


def _measured(store: Store) -> dict[str, int]:
    """In how many groups, and of samples, `alignment` decides what is left out."""
    groups = [row for row in store.read("filters").to_pylist() if row["clusters"] is not None]
    deciding = [row for row in groups if row["threshold"] is not None]
    return {
        "n_groups": len(groups),
        "n_deciding": len(deciding),
        "n_samples": sum(row["n_samples"] for row in groups),
        "n_decided": sum(row["n_samples"] for row in deciding),
    }


def _used(store: Store, budget: Budget) -> int:
    """What the picks cost; of several budgets, those of the largest."""
    kept = store.read("selection", ["keep"])["keep"]
    if budget.unit == "bytes":
        shared = image_costs(store, np.flatnonzero(kept.to_numpy()))
        return int(shared.costs[np.unique(shared.things)].sum())
    column = budget.column or "n_tokens"
    costs = score_table(store, [column])[column].to_arrow()
    return int(pc.sum(costs.filter(kept.combine_chunks())).as_py() or 0)


def _without_score(store: Store) -> int:
    """Picks of a strategy that goes by one column, which have no value there."""
    if _strategy(store).partition(":")[0] not in ("top", "top-per-cluster"):
        return 0
    rows = store.read("selection", ["keep", "score"])
    return int(pc.sum(rows["score"].is_null().filter(rows["keep"])).as_py() or 0)


def _signals(strategy: str, scorers: dict[str, int]) -> list[str]:
    """What decided: `cluster`, score columns, `chance`.

    `needs` names score columns only; that a strategy looks at clusters or draws lots stands in its name.
    """
    chosen = selector(strategy)
    by_cluster = ["cluster"] if chosen.name.endswith("per-cluster") or chosen.name in CLUSTERED else []
    by_chance = ["chance"] if chosen.name.startswith("random") or chosen.name in DRAWN else []
    named = [name for name in dict.fromkeys([*scorers, *chosen.needs]) if name not in (*TIES, "cluster")]
    return [*by_cluster, *named, *by_chance]


def _strategy(store: Store) -> str:
    return str(store.manifest("selection").stage["params"]["strategy"])


def _scorers(store: Store) -> dict[str, int]:
    """Of how many strata each column decided, the commonest first."""
    scorers = store.read("strata", ["scorer"])["scorer"].drop_null().to_pylist()
    return dict(Counter(scorers).most_common())


def _rows(store: Store, table: str) -> int:
    manifest = store.find(table)
    return manifest.rows if manifest else 0
