"""What was left out of datasets, as lines of text, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from jobs.text import Tree, line

MOST_LINES, MOST_CAUSES = 8, 3
FILTERED, DEFAULT_FILTER = "filtered", "by default"
# Of each reason, how less is left out for it.
WAYS = {
    "exact_duplicate": "of copies one stays: see `curate groups`",
    "pixel_duplicate": "--exact bytes keeps those whose files differ",
    "redundant": "leave out --redundant",
    "near_duplicate": "a smaller --eps takes fewer, --no-semantic none",
    "perceptual_duplicate": "fewer bits of --perceptual take fewer, --perceptual off none",
    "flipped_duplicate": "leave out --flip",
    "over_target": "raise --prune-to",
    FILTERED: "loosen --where",
    DEFAULT_FILTER: "a higher --min-auc or a lower --max-loss takes fewer, --no-default-filters none",
    "dropped": "take ids out of the file of --must-drop",
    "target": "what is aimed at is not chosen itself: aim at another dataset",
    "benchmark_leak": "--tag leaves leaks in",
}


def losses(counts: Tree) -> Iterator[str]:
    """What defaults left out of datasets, where that is much, a line each with the way out under it."""
    found = counts.get("heavy_losses", [])
    for loss in found[:MOST_LINES]:
        where = f"{loss['n']:,} of {loss['of']:,} ({loss['share']:.0%}) of {loss['dataset']}"
        yield line("left out", f"{where} {_cause(loss)}")
        yield line("", _way(loss))
    if len(found) > MOST_LINES:
        yield line("", f"and {len(found) - MOST_LINES:,} more, which --json lists")


def nothing_left(counts: Tree) -> str | None:
    """A sentence on why a step left nothing, with the way out; None where it left something."""
    if counts.get("n_candidates", 1):
        if counts.get("n_selected", 1):
            return None
        among = f"none of {counts['n_candidates']:,} candidates"
        return f"nothing is selected: a budget of {counts['budget']} keeps {among}; raise it, or --at-most"
    by_cause: Counter[tuple[str, str]] = Counter()
    for loss in counts["heavy_losses"]:
        by_cause[_cause(loss), _way(loss)] += loss["n"]
    named = [f"{n:,} are left out {cause} ({way})" for (cause, way), n in by_cause.most_common(MOST_CAUSES)]
    what = "nothing is selected" if "n_selected" in counts else "pruning leaves nothing"
    return f"{what}: of {counts['n_read'] - counts['n_quarantined']:,} samples {', '.join(named)}"


def _cause(loss: Tree) -> str:
    if loss["reason"] != FILTERED:
        return f"as {loss['reason']}"
    return f"by {'the default filter' if loss['default'] else '--where'} {loss['clause']!r}"


def _way(loss: Tree) -> str:
    by_default = loss["reason"] == FILTERED and loss["default"]
    return WAYS.get(DEFAULT_FILTER if by_default else loss["reason"], "`curate explain ID` says more")
