"""docs/benchmarks.md, written from the JSON of the benchmarks."""

from __future__ import annotations

from typing import Any

Result = dict[str, Any]
QUIET = 0.1  # of the cores may be used by others while figures are taken
HEAD = """\
# Benchmarks

Written by `python -m benchmarks --write docs/benchmarks.md` from [benchmarks.json](benchmarks.json); do not
edit. Both sides of a ratio ran in turn on the same data: `time_ratio_vs_X` is our time over that of X,
`speed_ratio_vs_X` and rates the other way. What must be equal (pairs, objectives, vectors) is asserted before
anything is timed.

    python -m benchmarks --quick              # the timings, on small pools
    python -m benchmarks peers select         # these, in full
    python -m benchmarks --gate               # what CI asks: ratios within bounds (benchmarks/bounds.py)
"""
BUSY = """
**Some figures are of a busy machine** (marked below): other processes had more than a tenth of its cores
meanwhile. Seconds and rates are then too bad, and ratios rough: take none of them for a claim.
"""
# What the README tells, each with the figures that it is made of, by command.
README: dict[str, dict[str, str]] = {
    "python -m benchmarks.embed --quick": {
        "`builtin`: images a second": "builtin.stage_images_per_second",
        "`builtin`: times a plain open_clip loop": "builtin.ratio_vs_plain_loop",
    },
}


def page(results: list[Result], about: dict[str, str]) -> str:
    """The text of the page; `about` is what each benchmark measures."""
    busy = BUSY if any(is_busy(result) for result in results) else ""
    parts = [HEAD + busy, told_by_the_readme(results)]
    parts += [section(result, about[result["name"]]) for result in results]
    return "\n".join(parts)


def is_busy(result: Result) -> bool:
    """Whether others used the machine while figures were taken."""
    return float(result["others"]) > QUIET


def told_by_the_readme(results: list[Result]) -> str:
    """A table of those figures that the README tells."""
    figures = {result["command"]: result["figures"] for result in results}
    lines = ["## What the README tells", "", "| what | figure | command |", "|---|---:|---|"]
    for command, told in README.items():
        for what, figure in told.items():
            value = figures.get(command, {}).get(figure)
            said = "not measured since this page is generated" if value is None else number(value)
            lines.append(f"| {what} | {said} | `{command}` |")
    return "\n".join(lines) + "\n"


def section(result: Result, about: str) -> str:
    """One command: what it measures, where and with what, and its figures."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    load = f"**busy**: others used {result['others']:.0%} of the cores" if is_busy(result) else "quiet"
    said = f"{result['machine']}; {load}; {result['seconds']:,.0f} s in all, {result['at']}. {versions}."
    lines = [f"## `{result['command']}`", "", about.splitlines()[0], "", said]
    if result["status"]:
        lines += ["", "A target of this benchmark was missed; it says which on stderr."]
    lines += ["", "| figure | |", "|---|---:|"]
    lines += [f"| `{figure}` | {number(value)} |" for figure, value in result["figures"].items()]
    lines += [f"| {peer} | not measured: {reason} |" for peer, reason in result.get("skipped", {}).items()]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Whole where it is large or whole, three digits else."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"
