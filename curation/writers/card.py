"""README.md of an export: a dataset card. It follows from the tables, so equal exports have equal cards."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from curation.storage.store import Store
from curation.writers.kept import ExportFacts
from schemas.protocols import Writer

if TYPE_CHECKING:
    import polars as pl

# Rows of a table before it is cut.
ROWS = 40


class Carded(Writer, Protocol):
    """A writer that says in a card how its folder is read."""

    data_files: ClassVar[str]
    """The pattern of its files."""
    loading: ClassVar[str]
    """Lines of Python that load FOLDER."""


def card(context: ExportFacts, writer: Carded) -> str:
    """The whole file."""
    n = context.counts["n_selected"]
    lines = [*_header(writer, n), "# A curated subset", "", *_summary(context), *_counts(context.counts)]
    per_source, per_cluster = _breakdown(context.store)
    lines += _table("By source", ["source", "read", "kept"], per_source)
    lines += _table("By cluster", ["cluster", "candidates", "kept"], per_cluster)
    lines += ["## How to load it", "", "```python", writer.loading, "```", ""]
    if not writer.copies_images:
        lines += [_where_images_are(context), ""]
    lines += ["## What made it", "", *_made_by(context)]
    return "\n".join(lines) + "\n"


def size_category(n: int) -> str:
    """The Hub's name for a size: `n<1K`, `1K<n<10K`, ..., `n>1T`."""
    bounds = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    reached = sum(n >= 1000 * 10**power for power in range(len(bounds)))
    if not reached:
        return "n<1K"
    return f"{bounds[reached - 1]}<n<{bounds[reached]}" if reached < len(bounds) else "n>1T"


def _header(writer: Carded, n: int) -> list[str]:
    files = ["    data_files:", "      - split: train", f"        path: {writer.data_files}"]
    return [
        "---",
        "configs:",
        "  - config_name: default",
        *files,
        "size_categories:",
        f"  - {size_category(n)}",
        "task_categories:",
        "  - image-text-to-text",
        "tags:",
        "  - curate",
        "---",
        "",
    ]


def _summary(context: ExportFacts) -> list[str]:
    counts = context.counts
    names = ", ".join(context.config.datasets)
    share = f" ({counts['n_selected'] / counts['n_read']:.1%})" if counts["n_read"] else ""
    return [
        f"{counts['n_selected']:,} image-text samples{share}, chosen by `curate` out of {counts['n_read']:,} "
        f"records of {names}, with {context.n_images:,} images. Budget {counts['budget']}, strategy "
        f"`{counts['strategy']}`, seed {counts['seed']}.",
        "",
    ]


def _counts(counts: dict[str, Any]) -> list[str]:
    rows: list[Sequence[object]] = [("read", f"{counts['n_read']:,}")]
    rows += [(f"quarantined: {code}", f"{n:,}") for code, n in counts["quarantined"].items()]
    rows += [(f"pruned: {reason}", f"{n:,}") for reason, n in counts["pruned"].items()]
    rows += [(f"filtered: {clause}", f"{n:,}") for clause, n in counts["filtered"].items()]
    left_out = {"left out by name": counts["n_left_out"], "leak a benchmark": counts["n_leaked"]}
    rows += [(why, f"{n:,}") for why, n in left_out.items() if n]
    rows += [("candidates", f"{counts['n_candidates']:,}"), ("selected", f"{counts['n_selected']:,}")]
    if counts["shortfall"]:
        rows.append(("short of the budget by", f"{counts['shortfall']:,}"))
    return _table("Counts", ["", "records"], rows)


def _breakdown(store: Store) -> tuple[list[Sequence[object]], list[Sequence[object]]]:
    """(source, read, kept) and (cluster, candidates, kept), the largest first."""
    import polars as pl

    parts = (store.read("checked", ["source"]), store.read("selection", ["keep", "cluster", "reason"]))
    sources, decisions = (pl.from_arrow(part) for part in parts)
    assert isinstance(sources, pl.DataFrame)
    assert isinstance(decisions, pl.DataFrame)
    table = pl.concat([sources, decisions], how="horizontal")
    # A candidate was read well and is no duplicate: the budget alone decided on it.
    decided = pl.col("reason").is_in(["kept", "over_budget"])
    candidates = table.filter(decided & pl.col("cluster").is_not_null())
    return _grouped(table, "source"), _grouped(candidates, "cluster")


def _grouped(table: pl.DataFrame, column: str) -> list[Sequence[object]]:
    import polars as pl

    counted = table.group_by(column).agg(pl.len().alias("n"), pl.col("keep").sum().alias("kept"))
    rows = counted.sort(["kept", "n", column], descending=[True, True, False]).rows()
    return [(name, f"{n:,}", f"{kept:,}") for name, n, kept in rows]


def _where_images_are(context: ExportFacts) -> str:
    folders = "; ".join(
        f"{name}: {', '.join(dataset.images) or 'beside its records'}"
        for name, dataset in context.config.datasets.items()
    )
    return (
        f"Paths of images are relative to the image folders of the datasets ({folders}). Images that lay "
        "inside containers are in this folder, under `images/`, by their hash."
    )


def _made_by(context: ExportFacts) -> list[str]:
    model = context.made_by.get("model", {})
    identity = {**model.get("identity", {}), "device": model.get("device"), "dtype": model.get("dtype")}
    versions = context.made_by["versions"]
    facts = [f"- {name}: {value}" for name, value in identity.items() if value is not None]
    facts += [f"- {name}: {version}" for name, version in versions.items()]
    settings = json.dumps(context.config.model_dump(mode="json"), indent=1, ensure_ascii=False)
    where = "The settings (`curate.json` has them with the parameters of every stage):"
    return [*facts, "", where, "", "```json", settings, "```"]


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    return [f"## {title}", "", *_rows(header, rows), ""]


def _rows(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in rows[:ROWS]:
        yield f"| {' | '.join(_cell(value) for value in row)} |"
    if len(rows) > ROWS:
        yield ""
        yield f"and {len(rows) - ROWS:,} more."


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())[:200]
