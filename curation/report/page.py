"""The page: everything gathered, and written into templates as one file that asks for nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from curation.pipeline.pipeline import Pipeline
from curation.report import filters
from curation.report.clusters import cluster_names, clusters
from curation.report.coverage import coverage
from curation.report.defects import defects
from curation.report.gallery import data_urls, sheets
from curation.report.measured import measured
from curation.report.outcomes import ALL, Outcomes
from curation.report.overview import overview
from curation.report.pairs import near_misses, pairs
from curation.report.provenance import provenance
from curation.report.quarantine import quarantine
from curation.report.records import Ints, records
from curation.report.scores import scores
from curation.report.sources import sources
from curation.report.space import points, space
from curation.storage.store import Store

TEMPLATES = Path(__file__).parent / "templates"
PAIRS = 96  # that are shown, shared evenly by the reasons
LARGE, SMALL = 220, 128  # px of pictures in pairs, and elsewhere
MANY = 10_000  # points of which each tells less
MAP_CHARS, FEWER_CHARS = 140, 80  # of a text that a point tells
ID_CHARS = 48


def gather(workspace: Pipeline) -> dict[str, Any]:
    """Everything that the page shows, a section a key; None or empty for what the pool does not have."""
    store, progress = workspace.store, workspace.progress
    store.demand_ingested()
    with store.snapshot():
        outcomes = Outcomes.of(store)
        progress.note("reading what was measured")
        names = cluster_names(store)
        tree = {
            "overview": overview(store, outcomes),
            "coverage": coverage(store, outcomes),
            "scores": scores(store, outcomes),
            "measured": measured(store),
            "clusters": clusters(store, outcomes, names),
            "pairs": _pairs(store),
            "near_misses": near_misses(store),
            "defects": defects(store, outcomes),
            "quarantine": quarantine(store),
            "sources": sources(store, outcomes),
            "provenance": provenance(workspace, outcomes),
        }
        limit = workspace.config.images.max_pixels
        progress.note("making small pictures")
        tree["large"] = data_urls(_refs(_of_pairs(tree)), side=LARGE, max_pixels=limit)
        tree["small"] = data_urls(_refs(_of_cards(tree)), side=SMALL, max_pixels=limit)
        at = points(store)
        tree["map"] = None if at is None or not len(at) else _map(store, outcomes, at, names, limit)
    return tree


def missing(tree: dict[str, Any]) -> list[str]:
    """The sections that a sentence stands for, as this pool has nothing for them."""
    there = {
        "map": tree["map"],
        "capabilities": tree["coverage"],
        "scores": tree["scores"],
        "filters": tree["measured"],
        "clusters": tree["clusters"]["n"],
        "pairs": tree["pairs"]["n"] or tree["near_misses"],
        "defects": tree["defects"],
        "quarantine": tree["quarantine"],
    }
    return [name for name, held in there.items() if not held]


def _pairs(store: Store) -> dict[str, Any]:
    """The most doubtful pairs, of each reason some."""
    found = pairs(store, limit=0)
    each = max(PAIRS // max(len(found["reasons"]), 1), 8)
    picked = [
        pair for reason in found["reasons"] for pair in pairs(store, limit=each, reason=reason)["pairs"]
    ]
    return {**found, "pairs": sorted(picked, key=lambda pair: -pair["doubt"])}


def _of_pairs(tree: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
    for pair in tree["pairs"]["pairs"]:
        yield from (pair["dropped"], pair["kept"], pair["near"])
    for miss in tree["near_misses"]:
        yield from (miss["left"], miss["right"])


def _of_cards(tree: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
    yield from chain.from_iterable(card["examples"] for card in tree["clusters"]["cards"])
    yield from chain.from_iterable(flag["examples"] for flag in tree["defects"] or ())


def _refs(shown: Iterator[dict[str, Any] | None]) -> Iterator[dict[str, Any]]:
    """The first picture of each record."""
    for record in shown:
        if record is not None:
            yield from record["images"][:1]


def _map(
    store: Store, outcomes: Outcomes, at: Ints, names: dict[int, dict[str, Any]], max_pixels: int
) -> dict[str, Any]:
    """The points with what each tells: id, beginning of its text, and a tile of its picture."""
    told = records(store, at, MAP_CHARS if len(at) <= MANY else FEWER_CHARS)
    tiles = sheets([(row["images"] or [None])[0] for row in told], max_pixels=max_pixels)
    return {
        **space(store, outcomes, at),
        "keys": list(ALL),
        "outcomes": [filters.outcome(name) for name in ALL],
        "present": outcomes.present.tolist(),
        "clusters": {cluster: row["label"] for cluster, row in sorted(names.items())},
        "ids": [(row["id"] or row["uid"])[:ID_CHARS] for row in told],
        "texts": [row["text"] for row in told],
        **tiles,
    }


def render(tree: dict[str, Any]) -> str:
    """The whole page, a string of HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters.FILTERS)
    drawn = {name: tree[name] for name in ("map", "coverage", "scores")}
    drawn["decided"] = tree["overview"]["selected"]
    return environment.get_template("page.html").render(
        **tree,
        data=as_json(drawn),
        style=(TEMPLATES / "style.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "page.js").read_text(encoding="utf-8"),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
    )


def as_json(tree: object) -> str:
    """JSON that no parser of HTML takes for a tag: what could begin one, or end the script, is escaped."""
    text = json.dumps(tree, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text
