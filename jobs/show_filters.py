"""What was measured of thresholds that are the pool's own, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.text import Tree, line, table

MOST_NAMED = 4  # clusters of a group


def decides(found: Tree) -> str:
    """In how many groups a filter decides, in a sentence."""
    groups = f"decides in {found['n_deciding']:,} of {found['n_groups']:,} groups"
    return f"alignment {groups} ({found['n_decided']:,} of {found['n_samples']:,} samples)"


def evidence(group: Tree) -> str:
    """What was measured in a sample's group, and what follows."""
    if group["auc"] is None:
        return f"alignment decides nothing here: none of {group['n']:,} pairs can be mismatched"
    on = f"AUC {group['auc']:.2f}, at least {group['low']:.2f}, on {group['n']:,} pairs"
    if group["threshold"] is None:
        return f"alignment decides nothing here: {on}"
    return f"alignment leaves out what is below {group['threshold']:.4g} here: {on}"


def told_apart(copies: Tree) -> str:
    """Within which eps near-duplicates are looked at, in a sentence."""
    if not copies["n_told"]:
        return "no eps, as copies are not told from other pictures"
    low, high = (f"{copies[name]:.2g}" for name in ("least_eps", "most_eps"))
    span = low if low == high else f"{low} to {high}"
    where = f"in {copies['n_told']:,} of {copies['n_groups']:,} groups"
    return f"eps {span} {where}, within which {copies['found']:.0%} of copies are"


def evidence_of_eps(group: Tree) -> str:
    """What was measured of near-duplicates in a sample's group."""
    of = f"{group['n_others']:,} of {group['n_samples']:,} samples have a near one that is no copy"
    copies = f"{group['found']:.0%} of the copies of {group['n_copied']:,} pictures are so near"
    return f"eps {group['eps']:.2g} in its group, as {of}; {copies}"


def measured(found: Tree) -> Iterator[str]:
    """What the search for near-duplicates and the default filters go by, in each group."""
    if found["near_duplicates"]:
        yield from _near_duplicates(found["near_duplicates"])
    if found["near_duplicates"] and found["alignment"]:
        yield ""
    if found["alignment"]:
        yield from _alignment(found["alignment"])


def _near_duplicates(found: Tree) -> Iterator[str]:
    """The groups with the widest eps first."""
    rows = sorted((row for row in found["groups"] if row["n_samples"]), key=lambda row: -(row["eps"] or 0))
    head = ("CLUSTERS", "SAMPLES", "NEAR OTHERS", "COPIED", "EPS", "COPIES WITHIN")
    cells = [
        (
            _named(row["clusters"]),
            f"{row['n_samples']:,}",
            f"{row['n_others']:,}",
            f"{row['n_copied']:,}",
            "cannot tell" if row["eps"] is None else f"{row['eps']:.4f}",
            f"{row['found']:.0%}",
        )
        for row in rows
    ]
    yield from table(head, cells, right=(1, 2, 3, 4, 5))
    yield ""
    share = f"{found['most_others']:.0%} of the samples of a group"
    yield line("near", f"samples are looked at again within an eps at which at most {share}")
    yield line("", "have one that is no copy; copies were made of pictures of the pool:")
    yield line("", "recompressed, resized, cropped, letterboxed, brightened;")
    yield line("", "--eps E sets one eps for all")


def _alignment(found: Tree) -> Iterator[str]:
    """The groups in which alignment decides, the best told apart first, then those in which it does not."""
    rows = sorted(found["groups"], key=_place)
    head = ("DATASET", "CLUSTERS", "SAMPLES", "PAIRS", "AUC", "95 %", "OUT BELOW", "LEFT OUT")
    yield from table(head, [_cells(row) for row in rows], right=(2, 3, 4, 6, 7))
    yield ""
    yield line(
        "alignment", f"leaves out where all of AUC's interval is at least {found['min_auc']:g} (--min-auc),"
    )
    yield line("", f"so that at most {found['max_loss']:.1%} of the right pairs of a group go")
    yield line("", "(--max-loss); in other groups it cannot tell, and leaves nothing out")


def _place(row: Tree) -> tuple[bool, bool, float]:
    """Whole datasets first."""
    return row["clusters"] is not None, row["threshold"] is None, -(row["low"] or 0.0)


def _cells(row: Tree) -> tuple[str, ...]:
    span = "" if row["auc"] is None else f"{row['low']:.2f} to {row['high']:.2f}"
    return (
        row["dataset"],
        _named(row["clusters"]),
        f"{row['n_samples']:,}",
        f"{row['n']:,}",
        "" if row["auc"] is None else f"{row['auc']:.2f}",
        span,
        _cut(row),
        "" if row["threshold"] is None and row["clusters"] is not None else f"{row['left_out']:,}",
    )


def _named(clusters: list[int] | None) -> str:
    if clusters is None:
        return "all"
    more = ", …" if len(clusters) > MOST_NAMED else ""
    return ", ".join(map(str, clusters[:MOST_NAMED])) + more


def _cut(row: Tree) -> str:
    if row["clusters"] is None:
        return ""
    return "cannot tell" if row["threshold"] is None else f"{row['threshold']:.2f}"
