"""What `curate proof` prints."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from jobs.text import LABEL, WIDTH, line, packed, table

Tree = dict[str, Any]


def proved(found: Tree) -> Iterator[str]:
    """A table a kind of student, and what it says."""
    yield line("held out", f"{found['n_held_out']:,} samples; of the others {found['budget']} are chosen")
    yield line("seeds", f"{found['n_seeds']} of each selection")
    for each in found["tables"]:
        yield ""
        yield from _table(each, found)
        yield from _verdicts(each["scores"], _baseline(found["equal"]))
    yield ""
    yield from _legend(found["equal"])


def _table(each: Tree, found: Tree) -> Iterator[str]:
    sees = f", {each['view']}" if each["view"] else ""
    yield f"{each['student']}{sees}: {each['n_questions']:,} questions"
    yield from packed("counted", [f"{name} {mark:.0%}" for name, mark in each["full"].items()])
    yield from packed("left out", [f"{name} ({reason})" for name, reason in each["left_out"].items()])
    rows = []
    for number, (name, score) in enumerate(each["scores"].items()):
        low, high = score["gain_interval"]
        gain = f"{100 * score['gain']:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}"
        if not number:  # what the others are held against
            gain = "", ""
        pairs = f"{found['picked'][name]['n_pairs']:,.0f}"
        figures = [f"{score['mean']:.1%}", f"{score['weighted']:.1%}", *gain, pairs]
        rows.append([name, *figures])
    head = ["", "of full", "by question", "gain", "95 %", "pairs"]
    # Where names are long, there is first no room for pairs, then none for questions.
    yield from table(head, rows, right=range(1, len(head)), spare=[5, 2])


def _wrapped(label: str, text: str) -> Iterator[str]:
    """A text behind a label, on as many lines as it needs."""
    first, *rest = wrap(text, WIDTH - LABEL)
    yield line(label, first)
    yield from (line("", more) for more in rest)


def _baseline(equal: str) -> str:
    return "random over everything" if equal == "samples" else f"random samples with as many {equal}"


def _verdicts(scores: Tree, baseline: str) -> Iterator[str]:
    _, *others = scores
    for name in others:
        low, high = scores[name]["gain_interval"]
        if low > 0 or high < 0:
            yield f"{name} trains {'better' if low > 0 else 'worse'} than {baseline}"
    if all(low <= 0 <= high for low, high in (scores[name]["gain_interval"] for name in others)):
        yield f"none of them differs from {baseline} by more than chance"


def _legend(equal: str) -> Iterator[str]:
    said = {
        "counted": "what one that learned from everything gets right. Questions of their own decided before "
        "which sources count: enough questions, above chance, not all known.",
        "of full": "right answers over those of that one, the mean over sources; by question: each source "
        "weighs as much as its questions.",
        "gain": f"points over {_baseline(equal)}, paired; 95 % of other seeds and questions lie between.",
        "pairs": "questions with answers that were picked.",
    }
    for label, text in said.items():
        yield from _wrapped(label, text)


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
