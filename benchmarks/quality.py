"""Does a selection train better than chance? Pools of known truth, small students, intervals.

    python -m benchmarks.quality [--pools P1,P2,P3] [--draws 2] [--budget 30%] [--strategies a,b+sqrt]

Prints for each pool and student the marks of each selection over those of the full data, its gain over random
samples of everything, what was picked (clean records, pairs, defects), and at the end the means over pools.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality_pools import CLEAN, POOLS, write
from benchmarks.report import machine, parser
from curation.commands.proof import RAW, proof
from curation.progress import default
from curation.workspace import Workspace

STRATEGIES = ("random+sqrt", "adapt", "adapt+sqrt", "mmssr", "facility", "coincide", "random-per-cluster")


def main() -> None:
    """Every draw of every pool."""
    made = parser(__doc__)
    made.add_argument("--pools", default=",".join(POOLS))
    made.add_argument("--draws", type=int, default=2, help="of each pool")
    made.add_argument("--first", type=int, default=0, help="the first draw")
    made.add_argument("--budget", default="30%")
    made.add_argument("--strategies", default=",".join(STRATEGIES))
    made.add_argument("--students", default="ridge")
    made.add_argument("--views", default="encoder,plain")
    made.add_argument("--seeds", type=int, default=8)
    made.add_argument("--model", default="builtin")
    made.add_argument("--at", help="a folder in which pools are kept, and what was computed of them")
    asked = made.parse_args()
    if asked.quick:
        asked.pools, asked.draws, asked.seeds, asked.model, asked.views = (
            "P3",
            1,
            3,
            "builtin:tiny",
            "encoder",
        )
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(asked.at or scratch)
        found = {
            f"{name}/{draw}": one(root / f"{name}-{draw}", name, draw, asked)
            for name in asked.pools.split(",")
            for draw in range(asked.first, asked.first + asked.draws)
        }
    if asked.json:
        sys.stdout.write(json.dumps({"name": "quality", "machine": machine(), "pools": found}) + "\n")
        return
    for name, tree in found.items():
        show(name, tree)
    summary(found)


def one(at: Path, name: str, draw: int, asked: Any) -> dict[str, Any]:
    """One draw of one pool: written, computed and examined."""
    if not (at / "work" / "curate.toml").exists():
        data, images = write(name, at, draw)
        Workspace.init(at / "work", {"pool": data}, images=images, model=asked.model)
    kinds = np.array(json.loads((at / "truth.json").read_text()))
    settings = {"select.budget": asked.budget, "run.seed": draw}
    workspace = Workspace(at / "work", settings, default(quiet=asked.json))
    return proof(
        workspace,
        asked.strategies.split(","),
        n_seeds=asked.seeds,
        students=asked.students.split(","),
        views=asked.views.split(","),
        clean=kinds == CLEAN,
        kinds=kinds,
    )


def show(name: str, tree: dict[str, Any]) -> None:
    """A table a student."""
    for table in tree["tables"]:
        sys.stdout.write(
            f"\n{name}: {table['student']}, {table['view']}, {table['n_questions']:,} questions\n"
        )
        for selection, score in table["scores"].items():
            picked = tree["picked"][selection]
            low, high = score["gain_interval"]
            spoilt = {kind: n for kind, n in picked["kinds"].items() if kind != CLEAN}
            sys.stdout.write(
                f"  {selection:<26} {score['mean']:6.1%}  weighted {score['weighted']:6.1%}"
                f"  gain {score['gain']:+6.1%} [{low:+.1%}, {high:+.1%}]  {picked['n_pairs']:6,.0f} pairs"
                f"  {picked['kinds'].get(CLEAN, 0) / picked['n']:.0%} clean  {spoilt}\n"
            )


def summary(found: dict[str, dict[str, Any]]) -> None:
    """Means over the pools, by student and view."""
    kinds = dict.fromkeys(
        (table["student"], table["view"]) for tree in found.values() for table in tree["tables"]
    )
    for student, view in kinds:
        sys.stdout.write(f"\nmean over pools: {student}, {view}\n")
        tables = [
            table
            for tree in found.values()
            for table in tree["tables"]
            if (table["student"], table["view"]) == (student, view)
        ]
        for selection in tables[0]["scores"]:
            means = [table["scores"][selection]["mean"] for table in tables]
            gains = [table["scores"][selection]["gain"] for table in tables]
            each = "  ".join(f"{mean:6.1%}" for mean in means)
            sys.stdout.write(
                f"  {selection:<26} {np.mean(means):6.1%}  gain {np.mean(gains):+6.1%}   {each}\n"
            )
    sys.stdout.write(f"\n{RAW}: the baseline of the gains. {machine()}\n")


if __name__ == "__main__":
    main()
