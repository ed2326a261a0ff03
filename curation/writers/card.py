"""README.md of an export: a dataset card. It follows from the tables, so equal exports have equal cards."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curation.storage.store import Store
from schemas.config import Config
from schemas.protocols import Writer

if TYPE_CHECKING:
    import polars as pl

# Rows of a table before it is cut.
ROWS = 40


@dataclass(frozen=True)
class CardFacts:
    """What a card tells besides the tables."""

    store: Store
    config: Config  # with the settings that the selection was made with; paths as `shown`
    counts: dict[str, Any]  # as `--json` names them
    n_images: int  # references to images of the kept samples, repeated ones too
    made_by: dict[str, Any]  # stages with their parameters, and versions
    splits: Mapping[str, int]  # rows of each
    images_stay: bool  # whether records name images where they lie
    licence: str | None = None  # as the Hub names it
    last: str = "000000"  # the number of the last tar


def card(facts: CardFacts, writer: Writer) -> str:
    """The whole file."""
    title = ["# A curated subset", ""]
    lines = [*_header(facts, writer), *title, *_summary(facts), *_counts(facts.counts)]
    if len(facts.splits) > 1:
        lines += _table("Splits", ["split", "samples"], list(facts.splits.items()))
    per_source, per_cluster = _breakdown(facts.store)
    lines += _table("By source", ["source", "read", "kept"], per_source)
    lines += _table("By cluster", ["cluster", "candidates", "kept"], per_cluster)
    lines += ["## How to load it", ""]
    for who, how in writer.loading.items():
        lines += [f"{who}:", "", "```", how.replace("LAST", facts.last), "```", ""]
    if facts.images_stay:
        lines += [_where_images_are(facts), ""]
    lines += ["## Licence", "", _licence(facts), "", "## What made it", "", *_made_by(facts)]
    return "\n".join(lines) + "\n"


def size_category(n: int) -> str:
    """The Hub's name for a size: `n<1K`, `1K<n<10K`, ..., `n>1T`."""
    bounds = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    reached = sum(n >= 1000 * 10**power for power in range(len(bounds)))
    if not reached:
        return "n<1K"
    return f"{bounds[reached - 1]}<n<{bounds[reached]}" if reached < len(bounds) else "n>1T"


def _header(facts: CardFacts, writer: Writer) -> list[str]:
    """What the Hub reads, and `load_dataset` of the folder."""
    alone = len(facts.splits) == 1
    files = [(split, writer.files(split, alone=alone)) for split in facts.splits]
    configs = ["configs:", "  - config_name: default", "    data_files:"]
    for split, pattern in files:
        configs += [f"      - split: {split}", f"        path: {pattern}"]
    info = ["dataset_info:", "  config_name: default", "  splits:"]
    for split, n in facts.splits.items():
        info += [f"    - name: {split}", f"      num_examples: {n}"]
    return [
        "---",
        f"license: {facts.licence or 'unknown'}",
        *(configs + info if all(pattern for _, pattern in files) else []),
        "size_categories:",
        f"  - {size_category(facts.counts['n_selected'])}",
        "task_categories:",
        "  - image-text-to-text",
        "tags:",
        "  - curate",
        "---",
        "",
    ]


def _licence(facts: CardFacts) -> str:
    if facts.licence:
        return f"{facts.licence}, as whoever exported it says."
    return "Unknown: nobody said (`curate export --license`). That of every source holds for its samples."


def _summary(facts: CardFacts) -> list[str]:
    counts = facts.counts
    names = ", ".join(facts.config.datasets)
    share = f" ({counts['n_selected'] / counts['n_read']:.1%})" if counts["n_read"] else ""
    return [
        f"{counts['n_selected']:,} image-text samples{share}, chosen by `curate` out of {counts['n_read']:,} "
        f"records of {names}, with {facts.n_images:,} images. Budget {counts['budget']}, strategy "
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


def _where_images_are(facts: CardFacts) -> str:
    folders = "; ".join(
        f"{name}: {', '.join(dataset.images) or 'beside its records'}"
        for name, dataset in facts.config.datasets.items()
    )
    return f"Images are where they were: paths lead into the image folders of the datasets ({folders})."


def _made_by(facts: CardFacts) -> list[str]:
    model = facts.made_by.get("model", {})
    identity = {**model.get("identity", {}), "device": model.get("device"), "dtype": model.get("dtype")}
    versions = facts.made_by["versions"]
    lines = [f"- {name}: {value}" for name, value in identity.items() if value is not None]
    lines += [f"- {name}: {version}" for name, version in versions.items()]
    settings = json.dumps(facts.config.model_dump(mode="json"), indent=1, ensure_ascii=False)
    where = "The settings (`curate.json` has them with the parameters of every stage):"
    return [*lines, "", where, "", "```json", settings, "```"]


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
