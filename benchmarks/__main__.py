"""Benchmarks, one after the other, each in a process of its own.

    python -m benchmarks [NAME...] [--quick] [--json] [--gate] [--write docs/benchmarks.md]

Without names: all, or with `--quick` those that are timings. `--gate`
compares ratios with bounds and fails where one is missed; without names it runs what has bounds. `--write`
puts the figures into the JSON beside the page, in place of older ones of the same command, and writes the
page from it; `--from-json` writes the page alone.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.bounds import BOUNDS, missed
from benchmarks.page import page
from benchmarks.report import SHARED

FOLDER = Path(__file__).parent
TIMINGS = (
    "chain", "embed", "endpoint", "gradients", "grounding", "ingest", "kmeans", "neardup", "peers", "search",
    "select", "spark",
)  # fmt: skip
ACCURACY = ("capability", "clusters", "copies", "defects", "duplicates", "models", "ocr", "scorers")
NAMES = (*TIMINGS, *ACCURACY)
WITHOUT_DATA = {"chain", "embed", "endpoint", "ingest", "kmeans", "neardup", "search", "select"}
"""These need no internal test data."""


def about(name: str) -> str:
    """What a benchmark measures: the docstring of its module."""
    return ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))) or ""


def run(name: str, *, quick: bool, repeat: int | None) -> dict[str, Any]:
    """The object that a benchmark prints, with `command`, `seconds`, `at`, `others` and `status`.

    `others` is the share of the machine's cores that other processes used meanwhile, 0 to 1; `status` is the
    exit status, where 1 with figures says that a target was missed.
    """
    flags = ["--quick"] if quick else []
    flags += ["--repeat", str(repeat)] if repeat else []
    found: dict[str, Any] = {"name": name, "command": " ".join(["python -m", f"benchmarks.{name}", *flags])}
    if name not in WITHOUT_DATA and not SHARED.is_dir():
        return {**found, "figures": {}, "skipped": {name: "needs the internal test data (CURATE_SHARED)"}}
    start, busy, own = time.monotonic(), busy_seconds(), own_seconds()
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.monotonic() - start
    used = busy_seconds() - busy - (own_seconds() - own)
    try:
        found |= json.loads(done.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        said = {name: f"failed with exit status {done.returncode}"}
        return {**found, "figures": {}, "skipped": said, "seconds": seconds}
    others = min(max(used / seconds / (os.cpu_count() or 1), 0.0), 1.0)
    now = datetime.now(UTC).date().isoformat()
    return {**found, "seconds": seconds, "at": now, "others": others, "status": done.returncode}


def busy_seconds() -> float:
    """Seconds of processor that all processes of the machine have used, where Linux says so."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system = map(int, stat.read_text().split(maxsplit=4)[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Seconds of processor of our own child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def shown(result: dict[str, Any]) -> str:
    """A table of a result."""
    lines = [f"{result['command']}" + (f", {result['seconds']:.0f} s" if "seconds" in result else "")]
    lines += [f"  {figure:<62} {value:>12,.3f}" for figure, value in result["figures"].items()]
    lines += [f"  {peer} is not measured: {reason}" for peer, reason in result.get("skipped", {}).items()]
    return "\n".join(lines) + "\n"


def write(target: Path, results: list[dict[str, Any]]) -> None:
    """Put the results that have figures into the JSON beside the page; write both."""
    stored = target.with_suffix(".json")
    known = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else []
    by_command = {result["command"]: result for result in [*known, *results] if result["figures"]}
    ordered = sorted(by_command.values(), key=lambda result: (NAMES.index(result["name"]), result["command"]))
    stored.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    target.write_text(page(ordered, {name: about(name) for name in NAMES}), encoding="utf-8")


def arguments() -> argparse.Namespace:
    """The flags, as given."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {name:<11} {about(name).splitlines()[0]}" for name in NAMES),
    )
    made.add_argument("names", nargs="*", metavar="NAME", help="which (below)")
    made.add_argument("--quick", action="store_true", help="small pools, each about a minute")
    made.add_argument("--json", action="store_true", help="a list of objects on stdout, one a benchmark")
    made.add_argument("--repeat", type=int, help="alternations")
    made.add_argument(
        "--gate", action="store_true", help="exit 1 where a ratio of the quick set is out of bounds"
    )
    made.add_argument(
        "--write", type=Path, metavar="PAGE", help="add the figures to a page, such as docs/benchmarks.md"
    )
    made.add_argument("--from-json", action="store_true", help="with --write: run nothing")
    given = made.parse_args()
    unknown = sorted({*given.names} - {*NAMES})
    if unknown:
        made.error(f"no benchmark is called {unknown[0]}; there are {', '.join(NAMES)}")
    return given


def main() -> None:
    """Run, show, write and judge."""
    given = arguments()
    quick = given.quick or given.gate
    names = given.names or (tuple(BOUNDS) if given.gate else TIMINGS if quick else NAMES)
    results = []
    for name in () if given.from_json else names:
        results.append(run(name, quick=quick, repeat=given.repeat))
        if not given.json:
            sys.stdout.write(shown(results[-1]))
            sys.stdout.flush()
    if given.json:
        sys.stdout.write(json.dumps(results) + "\n")
    if given.write:
        write(given.write, results)
    failed = [result["name"] for result in results if not result["figures"] and "seconds" in result]
    short = [line for result in results for line in missed(result)] if given.gate else []
    sys.stderr.write("".join(f"MISSED {line}\n" for line in short))
    sys.exit(1 if short or failed else 0)


if __name__ == "__main__":
    main()
