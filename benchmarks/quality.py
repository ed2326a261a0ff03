"""Does a selection train better than chance? Pools of known truth, small students, intervals.

    python -m benchmarks.quality [--pools P1,P2,P3] [--draws 2] [--budget 30%] [--strategies a,b+sqrt]

Prints for each pool and student the marks of each selection over those of the full data, its gain over random
samples of everything, what was picked (clean records, pairs, defects), and at the end the means over pools,
and how alike students rank the selections. `--strategies all` is every strategy that needs no `--vlm`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality_pools import CLEAN, POOLS, write
from benchmarks.report import machine, parser
from curation.catalog import tables_for
from curation.commands.proof import proof
from curation.progress import default
from curation.proof.amounts import EQUAL
from curation.proof.students import STEPS
from curation.proof.tables import RAW
from curation.selectors import SELECTORS, selector
from curation.selectors.less import AIMED
from curation.steps.select.columns import derived, tables_of
from curation.workspace import Workspace

# Strategies that have no spec without an argument.
SPECS = {
    "weighted": "weighted:alignment-synthetic_quality",
    "quality-diversity": "quality-diversity:alignment",
}
OF_VLM = {"grounding", "gradients", "activations"}  # tables
STRATEGIES = ("random+sqrt", "adapt", "adapt+sqrt", "mmssr", "facility", "coincide", "random-per-cluster")


def main() -> None:
    """Every draw of every pool."""
    made = parser(__doc__)
    made.add_argument("--pools", default=",".join(POOLS))
    made.add_argument("--draws", type=int, default=2, help="of each pool")
    made.add_argument("--first", type=int, default=0, help="the first draw")
    made.add_argument("--budget", default="30%")
    made.add_argument("--strategies", default=",".join(STRATEGIES), help="all, all+MIX: all without --vlm")
    made.add_argument("--students", default="ridge", help="ridge, mlp, vlm:MODEL")
    made.add_argument("--views", default="encoder,plain")
    made.add_argument("--seeds", type=int, default=8)
    made.add_argument("--equal", choices=EQUAL, default="samples", help="of random samples and a selection")
    made.add_argument("--steps", type=int, default=STEPS, help="of mlp and vlm, whatever they learn from")
    made.add_argument("--epochs", type=float, help="instead: passes over what they learn from")
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
        named(asked.strategies),
        n_seeds=asked.seeds,
        students=asked.students.split(","),
        views=asked.views.split(","),
        equal=asked.equal,
        steps=asked.steps,
        epochs=asked.epochs,
        clean=kinds == CLEAN,
        kinds=kinds,
    )


def named(strategies: str) -> list[str]:
    """What is between commas, with `all` and `all+MIX` written out."""
    found = []
    for name in strategies.split(","):
        first, plus, mix = name.partition("+")
        found += [f"{each}{plus}{mix}" for each in without_vlm()] if first == "all" else [name]
    return found


def without_vlm() -> list[str]:
    """Every strategy whose columns no vision-language model makes."""
    specs = [SPECS.get(name, name) for name in SELECTORS]
    needs = {spec: selector(f"{spec}:any" if spec in AIMED else spec).needs for spec in specs}
    return [spec for spec, names in needs.items() if not OF_VLM & {*_tables(names)}]


def _tables(names: tuple[str, ...]) -> tuple[str, ...]:
    made = derived(names)
    return (*tables_of(names), *tables_for([name for name in names if name not in made]))


def show(name: str, tree: dict[str, Any]) -> None:
    """A table a student."""
    for table in tree["tables"]:
        sys.stdout.write(
            f"\n{name}: {_who(table)}, {table['n_questions']:,} questions, as many {tree['equal']}\n"
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
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for tree in found.values():
        for table in tree["tables"]:
            by_kind.setdefault(_who(table), []).append(table)
    for kind, tables in by_kind.items():
        sys.stdout.write(f"\nmean over pools: {kind}\n")
        for selection in tables[0]["scores"]:
            means = [table["scores"][selection]["mean"] for table in tables]
            gains = [table["scores"][selection]["gain"] for table in tables]
            each = "  ".join(f"{mean:6.1%}" for mean in means)
            weighted = np.mean([table["scores"][selection]["weighted"] for table in tables])
            sys.stdout.write(
                f"  {selection:<26} {np.mean(means):6.1%}  weighted {weighted:6.1%}"
                f"  gain {np.mean(gains):+6.1%}   {each}\n"
            )
    for one, other in combinations(by_kind, 2):
        every, each_pool = alike(by_kind[one], by_kind[other])
        pools = "  ".join(f"{rho:+.2f}" for rho in each_pool)
        n = len(by_kind[one][0]["scores"])
        sys.stdout.write(
            f"\nranks alike (Spearman, {n} selections), {one} and {other}: {every:+.2f}; by pool {pools}\n"
        )
    sys.stdout.write(f"\n{RAW}: the baseline of the gains. {machine()}\n")


def alike(ones: list[dict[str, Any]], others: list[dict[str, Any]]) -> tuple[float, list[float]]:
    """Spearman's correlation of the gains of the selections in two tables a pool: of means, and by pool.

    NaN where all gains are equal.
    """
    from scipy.stats import spearmanr

    def gains(tables: list[dict[str, Any]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([[score["gain"] for score in table["scores"].values()] for table in tables])

    left, right = gains(ones), gains(others)
    by_pool = [float(spearmanr(one, other).statistic) for one, other in zip(left, right, strict=True)]
    return float(spearmanr(left.mean(axis=0), right.mean(axis=0)).statistic), by_pool


def _who(table: dict[str, Any]) -> str:
    """The student, and what it sees unless that is the samples."""
    return f"{table['student']}, {table['view']}" if table["view"] else str(table["student"])


if __name__ == "__main__":
    main()
