"""What the page asks, and plain data that answers it."""

from __future__ import annotations

import shlex
import time
from typing import Any

import numpy as np

from curation.commands.explain import explain
from curation.commands.search import Query, nearest
from curation.explorer.marks import FILES
from curation.explorer.view import CHARS, Explorer, View, card
from curation.report.pairs import pairs as shown_pairs
from curation.report.records import records, turns_of
from curation.search.hits import Hit
from curation.storage.files import Remote
from schemas.errors import ConfigError, CurateError

MOST = 240  # samples a page
SAME = 24  # samples with one picture that are listed
CARD_EXAMPLES = 4
SIDES = ("dropped", "kept", "near")  # of a pair


def overview(explorer: Explorer) -> dict[str, Any]:
    """What the head of the page says: numbers of samples, columns, sources and reasons."""
    view, config = explorer.view, explorer.workspace.config
    known = [
        name for name in ("kept", "reason", "source", "dataset", "error") if name in view.frame.rows.columns
    ]
    table = view.frame.read(known)
    base = explorer.workspace.base
    return {
        "name": str(base) if isinstance(base, Remote) else base.resolve().name,
        "n": view.frame.n,
        "n_bad": int(table["error"].is_not_null().sum()),
        "n_kept": int(table["kept"].sum() or 0) if table["kept"].null_count() < len(table) else None,
        "columns": view.frame.about(),
        "sources": _counted(view, "source"),
        "datasets": _counted(view, "dataset"),
        "reasons": _counted(view, "reason"),
        "budget": config.select.budget,
        "model": config.embed.model,
        "searchable": view.store.find("vectors") is not None,
        "marks": marks(explorer),
    }


def samples(explorer: Explorer, where: str, by: str, *, falling: bool, offset: int, n: int) -> dict[str, Any]:
    """`n` cards from `offset` on of the samples that meet a condition, and how many there are."""
    view, start = explorer.view, time.monotonic()
    at = view.frame.ordered(where, by, falling=falling)
    seconds = time.monotonic() - start
    some = at[max(offset, 0) : max(offset, 0) + min(n, MOST)]
    cards = _marked(explorer, view.cards(some))
    if by:
        values = view.frame.read([by])[by][some.astype(np.int64)].to_list()
        cards = [{**each, "value": value} for each, value in zip(cards, values, strict=True)]
    return {"n": len(at), "offset": offset, "seconds": seconds, "rows": cards}


def search(explorer: Explorer, query: Query, where: str) -> dict[str, Any]:
    """Cards of what is nearest, with `by`, `cosine`, `score` and `n_same` each; how it was searched."""
    view, start = explorer.view, time.monotonic()
    among = view.frame.matching(where)
    position = None if query.like is None else view.position(query.like)
    with explorer.encoding:
        hits, sides = nearest(explorer.workspace, view.searcher, query, among, position)
    seconds = time.monotonic() - start
    cards = _marked(explorer, view.cards([hit.position for hit in hits]))
    return {
        "by": sides,
        "n": int((among & view.searcher.good).sum()),
        "recall": min(view.searcher.index(side).facts.recall for side in sides),
        "seconds": seconds,
        "rows": [{**each, **_how(hit)} for each, hit in zip(cards, hits, strict=True)],
    }


def sample(explorer: Explorer, uid: str) -> dict[str, Any]:
    """Everything known of a sample, its whole turns, and who else shows its pictures."""
    view = explorer.view
    position = view.position(uid)
    found: dict[str, Any] = explain(explorer.workspace, uid)["matches"][0]
    found["turns"] = turns_of(view.store, [position])[0]
    found["n_images"] = len(found["images"])
    found["mark"] = explorer.marks.marked.get(uid)
    found["cluster_label"] = _label(view, found["cluster"])
    found["same"] = _same(view, position)
    return found


def clusters(explorer: Explorer) -> dict[str, Any]:
    """What every cluster is about, the largest first, with the samples nearest to its centre."""
    import polars as pl

    view = explorer.view
    names = view.cluster_names
    if not names:
        raise CurateError("nothing is clustered yet; run `curate cluster`, or `curate select --budget 30%`")
    table = view.frame.read(["cluster", "kept", "similarity"]).with_row_index("at")
    selected = table["kept"].null_count() < len(table)
    nearest_first = pl.col("at").sort_by("similarity", descending=True).head(CARD_EXAMPLES)
    rows = (
        table.filter(pl.col("cluster").is_not_null())
        .group_by("cluster")
        .agg(pl.len().alias("size"), pl.col("kept").sum().alias("n_kept"), nearest_first.alias("examples"))
        .sort(["size", "cluster"], descending=[True, False])
        .to_dicts()
    )
    places = [at for row in rows for at in row["examples"]]
    shown = dict(zip(places, (card(each) for each in records(view.store, places, CHARS)), strict=True))
    told = ("label", "terms", "capability", "style", "density", "spread", "nearest")
    return {
        "rows": [
            {
                **row,
                "n_kept": row["n_kept"] if selected else None,
                **{name: names.get(row["cluster"], {}).get(name) for name in told},
                "examples": [shown[at] for at in row["examples"]],
            }
            for row in rows
        ]
    }


def pairs(explorer: Explorer, reason: str | None, offset: int, n: int) -> dict[str, Any]:
    """What was dropped beside what stands for it, the most doubtful first."""
    view = explorer.view
    found = shown_pairs(view.store, limit=min(n, MOST), offset=offset, reason=reason)
    places = sorted({pair[side]["position"] for pair in found["pairs"] for side in SIDES if pair[side]})
    shown: dict[int | None, dict[str, Any]] = dict(
        zip(places, _marked(explorer, view.cards(places)), strict=True)
    )
    rows = [
        {**pair, **{side: shown[pair[side]["position"]] if pair[side] else None for side in SIDES}}
        for pair in found["pairs"]
    ]
    total = found["reasons"].get(reason, 0) if reason else found["n"]
    return {"n": total, "reasons": found["reasons"], "rows": rows}


def marks(explorer: Explorer) -> dict[str, Any]:
    """How many samples are marked, and whether the files say the same."""
    held = explorer.marks
    return {
        "keep": held.count("keep"),
        "drop": held.count("drop"),
        "saved": held.marked == held.saved,
        "command": command(explorer),
    }


def marked(explorer: Explorer) -> dict[str, Any]:
    """Cards of the samples that are marked, and the commands that follow them."""
    view, held = explorer.view, explorer.marks
    there, gone = [], 0
    for uid in held.marked:
        try:
            there.append(view.position(uid))
        except CurateError:
            gone += 1
    return {**marks(explorer), "n_gone": gone, "rows": _marked(explorer, view.cards(there))}


def mark(explorer: Explorer, uid: str, wanted: str | None) -> dict[str, Any]:
    """Mark a sample, or take its mark away; what `marks` says afterwards."""
    if wanted not in (*FILES, None):
        raise ConfigError(f"a sample is marked keep or drop, not {wanted!r}")
    explorer.view.position(uid)
    explorer.marks.set(uid, None if wanted is None else ("keep" if wanted == "keep" else "drop"))
    return marks(explorer)


def save(explorer: Explorer) -> dict[str, Any]:
    """Write the lists; where they are, and the command that takes them."""
    paths = explorer.marks.save()
    return {**marks(explorer), "paths": paths}


def command(explorer: Explorer) -> str:
    """The command that selects with the lists, as it can be pasted into a shell."""
    config, base = explorer.workspace.config, explorer.workspace.base
    words = ["curate"]
    here = str(base)
    if here != ".":
        words += ["-C", here]
    words += ["select", "--budget", config.select.budget or "30%"]
    for kind, name in FILES.items():
        words += [f"--must-{kind}", str(explorer.marks.folder / name)]
    return shlex.join(words)


def _how(hit: Hit) -> dict[str, Any]:
    return {"by": hit.side, "cosine": hit.cosine, "score": hit.score, "n_same": hit.n_same}


def _marked(explorer: Explorer, cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**each, "mark": explorer.marks.marked.get(each["uid"])} for each in cards]


def _counted(view: View, name: str) -> list[dict[str, Any]]:
    """The commonest values of a column, and how many samples have each."""
    if name not in view.frame.rows.columns:
        return []
    counts = view.frame.read([name])[name].drop_nulls().value_counts(sort=True).head(200)
    return [{"value": value, "n": n} for value, n in counts.iter_rows()]


def _label(view: View, cluster: int | None) -> str | None:
    if cluster is None:
        return None
    found = view.cluster_names.get(cluster)
    return None if found is None else found["label"]


def _same(view: View, position: int) -> list[dict[str, Any]]:
    """Other samples that show one of the pictures of this one."""
    if view.store.find("image_places") is None:
        return []
    sample, picture = view.searcher.shown
    own = picture[sample == position]
    others = np.unique(sample[np.isin(picture, own)]) if len(own) else np.zeros(0, np.int64)
    return view.cards(others[others != position][:SAME])
