"""What `curate proof` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs.text import line

Tree = dict[str, Any]


def proved(found: Tree) -> Iterator[str]:
    """A table a kind of student, and what it says."""
    yield line("held out", f"{found['n_held_out']:,} samples; every selection by {found['n_seeds']} seeds")
    for table in found["tables"]:
        yield ""
        sources = ", ".join(f"{name} {mark:.0%}" for name, mark in table["full"].items())
        yield f"{table['student']}, {table['view']}: {table['n_questions']:,} questions"
        yield f"right, of one that learned from everything: {sources}"
        yield f"{'':<28}{'of full':>9}{'by question':>13}{'gain':>9}  {'95 %':<18}{'pairs':>7}"
        for name, score in table["scores"].items():
            low, high = score["gain_interval"]
            pairs = found["picked"][name]["n_pairs"]
            interval = f"{low:+.1%} to {high:+.1%}"
            yield (
                f"{name:<28}{score['mean']:>9.1%}{score['weighted']:>13.1%}{score['gain']:>+9.1%}"
                f"  {interval:<18}{pairs:>7,.0f}"
            )
        yield from _verdicts(table["scores"])


def _verdicts(scores: Tree) -> Iterator[str]:
    baseline, *others = scores
    for name in others:
        low, high = scores[name]["gain_interval"]
        if low > 0 or high < 0:
            yield f"{name} trains {'better' if low > 0 else 'worse'} than {baseline}"
    if all(low <= 0 <= high for low, high in (scores[name]["gain_interval"] for name in others)):
        yield f"none of them differs from {baseline} by more than chance"


def mixed(found: Tree) -> Iterator[str]:
    """The shares, and whether they are better than those of the pool."""
    for number, (name, share) in enumerate(sorted(found["shares"].items(), key=lambda item: -item[1])):
        yield line("" if number else "shares", f"{share:6.1%}  {name}")
    marks = ", ".join(f"{name} {mark:.1%}" for name, mark in found["of_full"].items())
    yield line("of full", marks)
    low, high = found["gain_interval"]
    sure = "better than" if low > 0 else "worse than" if high < 0 else "not to be told from"
    yield line("gain", f"{found['gain']:+.1%} ({low:+.1%} to {high:+.1%}): {sure} proportional shares")
    if found["out"]:
        yield line("use", f"curate select --budget {found['budget']} --mix @{found['out']}")
