"""What was measured of the default filters, as lines of text."""

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
    on = f"AUC {group['auc']:.2f}, at least {group['low']:.2f}, on {group['n']:,} pairs of its group"
    if group["threshold"] is None:
        return f"alignment decides nothing here: {on}"
    return f"alignment leaves out what is below {group['threshold']:.4g} here: {on}"


def measured(found: Tree) -> Iterator[str]:
    """The groups in which alignment decides, the best told apart first, then those in which it does not."""
    rows = sorted(found["groups"], key=_place)
    head = ("DATASET", "CLUSTERS", "SAMPLES", "PAIRS", "AUC", "95 %", "OUT BELOW", "LEFT OUT")
    yield from table(head, [_cells(row) for row in rows], right=(2, 3, 4, 6, 7))
    yield ""
    yield line("alignment", f"leaves out where AUC is at least {found['min_auc']:g} with its whole interval,")
    yield line("", f"so that at most {found['max_loss']:.1%} of the right pairs of a group go;")
    yield line("", "in other groups it cannot tell, and leaves nothing out (--min-auc, --max-loss)")


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
