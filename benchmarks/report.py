"""What every benchmark shares: its flags, the machine it ran on, medians, and one way to print them."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SHARED = Path(os.environ.get("CURATE_SHARED", Path(__file__).parents[2] / "shared" / "data"))


def parser(description: str | None) -> argparse.ArgumentParser:
    """--quick, --json and --repeat."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="ends within a minute on 2 cores")
    made.add_argument("--json", action="store_true", help="one object on stdout")
    made.add_argument("--repeat", type=int, default=5, help="alternations")
    return made


def arguments(description: str | None) -> argparse.Namespace:
    """Those flags, as given."""
    return parser(description).parse_args()


def alternate(runs: Mapping[str, Callable[[], float]], repeat: int) -> dict[str, float]:
    """Run all of them in turn `repeat` times; the median figure of each."""
    figures: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeat):
        for name, run in runs.items():
            figures[name].append(run())
    return {name: statistics.median(values) for name, values in figures.items()}


def machine() -> str:
    """Processor and cores."""
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return f"{model}, {os.cpu_count()} cores"


def show(
    name: str,
    figures: dict[str, float],
    packages: Sequence[str],
    *,
    as_json: bool,
    skipped: Mapping[str, str] | None = None,
) -> None:
    """A table, or with `as_json` the object that DESIGN §10 fixes; `skipped` says why peers have no figures.

    A package is `NAME`, or `NAME==VERSION` where it is not one of those that run here.
    """
    skipped = skipped or {}
    if as_json:
        versions = {package.partition("==")[0]: _version(package) for package in packages}
        tree = {"name": name, "machine": machine(), "versions": versions, "figures": figures}
        sys.stdout.write(json.dumps({**tree, "skipped": dict(skipped)}) + "\n")
        return
    sys.stdout.write(f"{name} on {machine()}\n")
    for figure, value in figures.items():
        sys.stdout.write(f"  {figure:<52} {value:>12,.3f}\n")
    for peer, reason in skipped.items():
        sys.stdout.write(f"  {peer} is not measured: {reason}\n")


def _version(package: str) -> str:
    name, _, fixed = package.partition("==")
    return fixed or version(name)
