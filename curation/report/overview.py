"""The headline and the funnel: what came in, what is kept, what went where, and how long it took."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow.compute as pc

from curation.report.outcomes import OTHERS, PRUNED, Outcomes
from curation.steps.select.select import KEPT, OVER_BUDGET, QUARANTINED
from curation.storage.journal import entries
from curation.storage.store import Store

IDLE = 900.0  # seconds after which what one process commits next is another run


def overview(store: Store, outcomes: Outcomes) -> dict[str, Any]:
    """`n_read`, `n_kept`, `outcomes` by count, `funnel`, `budget`, `strategy`, `seed`, `work` and more.

    A step of the funnel has `name`, `n` that are left after it, and `lost`: (outcome, n) that it took.
    """
    counts = outcomes.counts
    selection = store.find("selection") if outcomes.selected else None
    params = selection.stage["params"] if selection else {}
    checked = store.read("checked", ["n_tokens", "error"])
    images = store.find("images")
    return {
        "n_read": len(outcomes.code),
        "n_kept": counts.get(KEPT, 0),
        "selected": outcomes.selected,
        "pruned": outcomes.pruned,
        "outcomes": counts,
        "funnel": _funnel(outcomes),
        "n_images": images.rows if images else 0,
        "n_tokens": pc.sum(checked["n_tokens"]).as_py() or 0,
        "n_kept_tokens": pc.sum(checked["n_tokens"].filter(outcomes.kept)).as_py() or 0,
        **{name: params.get(name) for name in ("budget", "strategy", "mix", "seed")},
        "datasets": _datasets(store),
        "work": work(store),
    }


def _funnel(outcomes: Outcomes) -> list[dict[str, Any]]:
    counts = outcomes.counts
    steps = [("read", ()), ("readable", (QUARANTINED,))]
    if outcomes.pruned:
        steps.append(("no copies of others", PRUNED))
    if outcomes.selected:
        steps += [("past the filters", OTHERS), ("kept", (OVER_BUDGET,))]
    left, found = len(outcomes.code), []
    for name, reasons in steps:
        lost = [(reason, counts[reason]) for reason in reasons if reason in counts]
        left -= sum(n for _, n in lost)
        found.append({"name": name, "n": left, "lost": lost})
    return found


def _datasets(store: Store) -> list[dict[str, Any]]:
    counted = pc.value_counts(store.read("checked", ["dataset"])["dataset"]).to_pylist()
    return sorted(
        ({"name": each["values"], "n": each["counts"]} for each in counted),
        key=lambda each: (-each["n"], each["name"]),
    )


def work(store: Store) -> dict[str, Any]:
    """`seconds` between the commits of each run, together, and when the last one was, by the log.

    Both None where it is empty.
    """
    last: dict[int, float] = {}
    seconds = 0.0
    for event in entries(store.root):
        if event.get("event") == "commit":
            gap = event["time"] - last.get(event["pid"], event["time"])
            seconds += gap if 0 <= gap <= IDLE else 0.0
            last[event["pid"]] = event["time"]
    if not last:
        return {"seconds": None, "ended": None}
    ended = datetime.fromtimestamp(max(last.values()), UTC)
    return {"seconds": round(seconds, 1), "ended": ended.strftime("%Y-%m-%d %H:%M UTC")}
