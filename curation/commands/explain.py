"""`curate explain`: everything known of one record, and why it is kept or not."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.catalog import HASHES, all_tables
from curation.commands.decontaminate import leaks_of
from curation.commands.filters import eps_of, group_of
from curation.pipeline.pipeline import Pipeline
from curation.steps.prune.decide import NEAR
from curation.storage.store import Store
from schemas.errors import CurateError

HEX = re.compile(r"[0-9a-f]{4,32}")
FACTS = ("dataset", "key", "file", "line", "source", "n_images", "n_turns", "n_tokens")
SHOWN = 5


def explain(workspace: Pipeline, ident: str) -> dict[str, Any]:
    """Everything known of the records called `ident`: {"ident", "n_matches", "matches"}.

    Args:
        workspace: where they are.
        ident: a record's own id (several may share it), a uid in hex, or the beginning of one.

    Raises:
        CurateError: there is no such record, or several uids begin so.
    """
    store = workspace.store
    store.demand_ingested()
    places = find_records(store, ident.strip())
    matches = [_explained(store, shard, row, start + row) for shard, start, row in places]
    against = workspace.config.decontaminate.against
    for match in matches:
        match["leaks"] = leaks_of(store, bytes.fromhex(match["uid"])) if against else []
    return {"ident": ident, "n_matches": len(places), "matches": matches}


def find_records(store: Store, ident: str) -> list[tuple[int, int, int]]:
    """(shard, position in the pool of its first row, row) of each record that `ident` names."""
    by_id: list[tuple[int, int, int]] = []
    by_uid: dict[str, tuple[int, int, int]] = {}
    low, high = _bounds(ident.lower())
    start = 0
    for number, shard in enumerate(store.iterate("samples", ["uid", "record_id"])):
        uids = shard["uid"].cast(pa.binary())
        within = pc.and_(pc.greater_equal(uids, low), pc.less_equal(uids, high))
        by_id += [(number, start, row) for row in _rows(pc.equal(shard["record_id"], ident))]
        by_uid |= {uids[row].as_py().hex(): (number, start, row) for row in _rows(within)}
        start += len(shard)
    if by_id:
        return by_id
    if not by_uid:
        raise CurateError(
            f"there is no record {ident!r}: give its id, its uid, or the first 4 or more digits of its uid"
        )
    if len(by_uid) > 1:
        some = ", ".join(list(by_uid)[:SHOWN]) + (", …" if len(by_uid) > SHOWN else "")
        raise CurateError(f"{len(by_uid)} uids begin with {ident!r}: {some}; give more digits")
    return list(by_uid.values())


def _bounds(ident: str) -> tuple[bytes, bytes]:
    """The smallest and the largest uid that begin with `ident`; none lies between where it is no uid."""
    if not HEX.fullmatch(ident):
        return b"\xff", b""
    return bytes.fromhex(ident.ljust(32, "0")), bytes.fromhex(ident.ljust(32, "f"))


def _rows(mask: pa.ChunkedArray) -> list[int]:
    rows: list[int] = pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()
    return rows


def _explained(store: Store, shard: int, row: int, position: int) -> dict[str, Any]:
    sample = store.read("samples", number=shard).slice(row, 1).to_pylist()[0]
    facts = {"uid": sample["uid"].hex(), "id": sample["record_id"], **{name: sample[name] for name in FACTS}}
    known, tables = _columns(store, shard, row, sample["uid"])
    error, message = (known.pop(name, sample[name]) for name in ("error", "error_message"))
    facts["error"] = None if error is None else {"code": error, "message": message}
    facts["cluster"], facts["cluster_similarity"] = known.pop("cluster", None), known.pop("similarity", None)
    facts["scores"] = {name: value for name, value in known.items() if name not in {*sample, "image_bytes"}}
    facts["tables"] = {
        table: kept for table, names in tables.items() if (kept := [n for n in names if n in facts["scores"]])
    }
    facts["text"] = text_of(sample["turns"])
    facts["images"] = [
        {"name": ref["name"], "path": ref["path"], "bytes": ref["n_bytes"], "sha256": ref["sha256"].hex()}
        for ref in sample["images"]
    ]
    alone = sample["n_images"] == 1 and facts["scores"].get("alignment") is not None
    facts["measured"] = group_of(store, sample["dataset"], shard, row) if alone else None
    pruned = _pruned(store, sample["uid"])
    near = pruned is not None and pruned["reason"] == NEAR
    facts["measured_eps"] = eps_of(store, shard, row) if near else None
    return {**facts, **_decision(store, sample["uid"], position, pruned), "pruned": pruned}


def _columns(store: Store, shard: int, row: int, uid: bytes) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Every narrow column of the sample from the tables of this state of the pool, and which has which."""
    known: dict[str, Any] = {}
    tables: dict[str, list[str]] = {}
    for table in all_tables(store):
        manifest = store.find(table)
        if manifest is None or shard >= len(manifest.shards) or row >= manifest.shards[shard].rows:
            continue
        found = store.read(table, number=shard).slice(row, 1).to_pylist()[0]
        if found["uid"] == uid:
            tables[table] = [name for name in found if name not in ("uid", *HASHES, *known)]
            known = {**found, **known}
    return {name: value for name, value in known.items() if name not in ("uid", *HASHES)}, tables


def _decision(store: Store, uid: bytes, position: int, pruned: dict[str, Any] | None) -> dict[str, Any]:
    """keep, rank and reason, and a sentence. keep is None where nothing is selected yet."""
    manifest = store.find("selection")
    undecided = {"keep": None, "rank": None, "reason": None, "chosen_by": None}
    if manifest is None or position >= manifest.rows:
        return {**undecided, "why": "nothing is selected yet"}
    names = ("keep", "rank", "tier", "reason", "clause", "stratum", "scorer", "score")
    decided = {**dict.fromkeys(names), **store.read("selection").slice(position, 1).to_pylist()[0]}
    if decided["uid"] != uid:
        return {**undecided, "why": "it came after the last selection"}
    why = {
        "kept": f"kept, as pick number {(decided['rank'] or 0) + 1:,}",
        "over_budget": "not kept: others came first, and the budget is spent",
        "quarantined": "not kept: the record cannot be used",
        "filtered": f"not kept: it misses the condition {decided['clause']}",
        "dropped": "not kept: it is on the list of --must-drop",
    }.get(decided["reason"], f"not kept: {decided['reason'].replace('_', ' ')}")
    if pruned is not None and pruned["kept"] is not None and decided["reason"] == pruned["reason"]:
        why = f"{why} of {pruned['kept']['id'] or pruned['kept']['uid']}, which stands for it"
    return {**{name: decided[name] for name in names}, "why": why, "chosen_by": _chosen_by(store, decided)}


def _chosen_by(store: Store, decided: dict[str, Any]) -> dict[str, Any] | None:
    """What the strategy compared the sample by, among how many, and how it ended there; None: by nothing."""
    if decided["score"] is None and decided["stratum"] is None:
        return None
    chosen = {name: decided[name] for name in ("stratum", "scorer", "score")}
    picks = store.read("selection", ["keep", "rank", "stratum", "score"])
    picks = picks.filter(pc.fill_null(picks["keep"], False))
    if decided["stratum"] is not None:
        picks = picks.filter(pc.equal(picks["stratum"], decided["stratum"]))
        held = [row for row in store.read("strata").to_pylist() if row["stratum"] == decided["stratum"]]
        chosen |= {name: held[0][name] for name in ("n_selected", "n_candidates", "why")} if held else {}
    last = picks.sort_by([("rank", "descending")]).slice(0, 1).to_pylist()
    return {**chosen, "last_score": last[0]["score"] if last else None}


def _pruned(store: Store, uid: bytes) -> dict[str, Any] | None:
    """Why the sample was pruned: what it is too similar to, and what is kept instead."""
    if store.find("pruned") is None:
        return None
    rows = store.read("pruned")
    found = rows.filter(pc.equal(rows["uid"], pa.scalar(uid, pa.binary(16)))).to_pylist()
    if not found:
        return None
    row = found[0]
    group = None
    if row["group"] is not None:
        group = 1 + pc.sum(pc.equal(rows["group"], row["group"])).as_py()
    return {
        "reason": row["reason"],
        "similarity": row["similarity"],
        "oddness": row["oddness"],
        "near": _other(store, row["near_uid"]),
        "kept": _other(store, row["kept_uid"]),
        "n_group": group,
    }


def _other(store: Store, uid: bytes | None) -> dict[str, Any] | None:
    if uid is None:
        return None
    other: dict[str, Any] = {"uid": uid.hex(), "id": None, "text": None, "images": []}
    for number, shard in enumerate(store.iterate("samples", ["uid"])):
        for row in _rows(pc.equal(shard["uid"], pa.scalar(uid, pa.binary(16)))):
            held = (
                store.read("samples", ["record_id", "turns", "images"], number).slice(row, 1).to_pylist()[0]
            )
            images = [ref["name"] for ref in held["images"]]
            other.update(id=held["record_id"], text=text_of(held["turns"]), images=images)
    return other


def text_of(turns: list[dict[str, str]]) -> str:
    """Turns as lines of `role: text`."""
    return "\n".join(f"{turn['role']}: {turn['text']}" for turn in turns)
