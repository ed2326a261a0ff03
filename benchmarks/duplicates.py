"""Recall of planted duplicates at the default settings, kind by kind, and what else is dropped.

`plant_defects.py` plants 100 of each of its kinds into the mixture, seed by seed, and the chain prunes it
with the built-in model. A planted duplicate is caught if it or its original goes. Of the other samples that
go, those are real look-alikes whose image lies within 8 bits of a 64-bit perceptual hash, and whose text
within a cosine of 0.95, of what they are near to; `others.share` is the rest over all samples. Mirrored
copies are looked for in a second decision, with `--flip`. Exit status 1 where a target is missed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import arguments, show
from benchmarks.scorers import planted
from curation.storage.rows import vectors
from curation.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping

EXACT = ("exact_duplicate", "dup_renamed_image")
NEAR = ("near_dup_resize", "near_dup_jpeg40", "near_dup_brightness", "near_dup_crop")
FLIP = "near_dup_flip"
LEAST = {**dict.fromkeys(EXACT, 1.0), **dict.fromkeys(NEAR, 0.95)}
MOST_OTHERS = 0.01
BITS, COSINE = 8, 0.95


def originals(folder: Path) -> dict[int, tuple[str, int]]:
    """By position of each planted copy its kind, and the position of its original."""
    records = json.loads((folder / "truth.json").read_text())["records"]
    return {row["index"]: (row["kind"], row["original_index"]) for row in records if "original_index" in row}


def figures_of(workspace: Workspace, copies: Mapping[int, tuple[str, int]]) -> dict[str, float]:
    """Recall by kind, and the share of samples that go for no good reason."""
    store = workspace.store
    samples = store.read("samples", ["uid", "key"]).to_pylist()
    at = {row["uid"]: int(row["key"].rpartition("#")[2]) for row in samples}
    uids = {position: uid for uid, position in at.items()}
    near_to = {row["uid"]: row["near_uid"] for row in store.read("pruned").to_pylist()}
    figures: dict[str, float] = {}
    for kind in (*EXACT, *NEAR, FLIP):
        pairs = [(uids[copy], uids[of]) for copy, (each, of) in copies.items() if each == kind]
        figures[f"{kind}.recall"] = float(np.mean([one in near_to or two in near_to for one, two in pairs]))
    known = {frozenset((uids[copy], uids[of])) for copy, (_, of) in copies.items()}
    planted_ones = {uids[copy] for copy in copies}
    doubtful = [
        (one, two)
        for one, two in near_to.items()
        if one not in planted_ones and frozenset((one, two)) not in known
    ]
    figures["others.real_look_alikes"] = float(sum(_alike(workspace, doubtful)))
    figures["others.neither"] = len(doubtful) - figures["others.real_look_alikes"]
    figures["others.share"] = figures["others.neither"] / len(samples)
    return figures


def _alike(workspace: Workspace, pairs: list[tuple[bytes, bytes]]) -> list[bool]:
    store = workspace.store
    images = store.read("images", ["sha256", "phash"]).to_pylist()
    phash = {row["sha256"]: row["phash"] for row in images if row["phash"] is not None}
    samples = store.read("samples", ["uid", "images"]).to_pylist()
    shown = {row["uid"]: [phash.get(ref["sha256"]) for ref in row["images"] or ()] for row in samples}
    table = store.read("vectors", ["uid", "text"])
    row_of = {uid: row for row, uid in enumerate(table["uid"].to_pylist())}
    text = vectors(table["text"])

    def look(one: bytes, two: bytes) -> bool:
        ours, theirs = shown[one], shown[two]
        if len(ours) != len(theirs):
            return False
        bits = [_bits(a, b) if a and b else 64 for a, b in zip(ours, theirs, strict=True)]
        return max(bits, default=0) <= BITS and float(text[row_of[one]] @ text[row_of[two]]) >= COSINE

    return [look(one, two) for one, two in pairs]


def _bits(one: bytes, two: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(two, "big")).bit_count()


def run(seed: int, per_kind: int, records: int | None) -> dict[str, float]:
    """Plant, prune twice, count."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        planted(data, seed, per_kind, records)
        made = Workspace.init(
            Path(folder) / "work", {"p": data / "data.json"}, images=[data], model="builtin"
        )
        settings: dict[str, Any] = {"run.max_errors": "100%", "capability.backend": "none"}
        workspace = Workspace(made.base, settings)
        counts = workspace.prune()
        figures = figures_of(workspace, originals(data))
        figures["probes.recall"] = counts["probes_recall"]
        figures["pruned"] = counts["n_pruned"]
        flipped = Workspace(made.base, {**settings, "prune.flip": True})
        reasons = flipped.prune()["pruned"]
        copies = originals(data)
        figures[f"flip.{FLIP}.recall"] = figures_of(flipped, copies)[f"{FLIP}.recall"]
        figures["flip.flipped_duplicate"] = reasons.get("flipped_duplicate", 0)
        figures["flip.others.share"] = figures_of(flipped, copies)["others.share"]
    return figures


def missed(figures: Mapping[str, float], seed: int) -> list[str]:
    """What falls short, a line each."""
    short = [
        f"seed_{seed}.{kind}.recall {figures[f'{kind}.recall']:.3f}, at least {least}"
        for kind, least in LEAST.items()
        if figures[f"{kind}.recall"] < least
    ]
    if figures["others.share"] > MOST_OTHERS:
        short.append(f"seed_{seed}.others.share {figures['others.share']:.4f}, at most {MOST_OTHERS}")
    return short


def main() -> None:
    """Three seeds, or with --quick one on a part of the mixture."""
    given = arguments(__doc__)
    figures: dict[str, float] = {}
    short: list[str] = []
    for seed in (1,) if given.quick else (1, 2, 3):
        found = run(seed, *((40, 2400) if given.quick else (100, None)))
        figures |= {f"seed_{seed}.{name}": value for name, value in found.items()}
        short += missed(found, seed)
    show("duplicates", figures, ["imagehash", "open_clip_torch"], as_json=given.json)
    sys.stderr.write("".join(f"MISSED {line}\n" for line in short))
    sys.exit(1 if short else 0)


if __name__ == "__main__":
    main()
