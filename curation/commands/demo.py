"""`curate demo`: a generated pool with planted defects through the whole chain, and how many were caught."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curation.commands.export import Asked, export
from curation.generate.pool import write_pool
from curation.pipeline.config_file import set_keys, write_config
from curation.pipeline.pipeline import Pipeline
from curation.storage.files import CONFIG_FILE
from curation.storage.store import Store
from schemas.budget import Budget
from schemas.config import load
from schemas.errors import ConfigError
from schemas.protocols import Progress

# Small, so that a demo that was stopped visibly continues where it stopped.
SHARD_ROWS = 128


def run_demo(
    out: Path | str, *, n: int = 1200, seed: int = 0, budget: str = "30%", progress: Progress
) -> dict[str, Any]:
    """Generate, run, export, compare. The same call again continues or finds everything done.

    Returns:
        The counts of `Workspace.select`, and `planted`: for each kind of defect how many there are, how many
        were caught and how; `n_clean_quarantined` and `n_clean_pruned`: records without a planted defect, and
        not its original either, that were taken out all the same.

    Raises:
        ConfigError: the folder holds another pool.
        BudgetError: the budget is none.
    """
    start = time.monotonic()
    folder, budget = Path(out), str(Budget.parse(budget))
    _refuse_other_work(folder)
    truth = _pool(folder / "pool", n, seed, progress)
    workspace = _open(folder, budget, progress)
    counts = workspace.with_settings({"select.budget": budget}).run("select")
    progress.note("exporting")
    exported = export(workspace, folder / "subset", Asked("hf"), overwrite=True)
    found = compare(workspace.store, truth["records"], truth["kinds"])
    seconds = round(time.monotonic() - start, 2)
    return {**counts, **found, "out": str(folder), "exported": exported, "seconds": seconds}


def _refuse_other_work(folder: Path) -> None:
    """The demo works in a folder of its own."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if (folder / CONFIG_FILE).exists():
        own = {"pool"} == set(load(folder / CONFIG_FILE).datasets)
    else:
        own = {path.name for path in folder.iterdir()} == {"pool"}
    if not own:
        raise ConfigError(f"{folder} holds other files than a demo's; choose another folder with --out")


def _pool(folder: Path, n: int, seed: int, progress: Progress) -> dict[str, Any]:
    """The truth about the pool in `folder`, which is generated where it is not there yet."""
    path = folder / "truth.json"
    if not path.exists():
        progress.note(f"generating {n:,} records")
        # truth.json is written last: a pool that has one is whole.
        return write_pool(folder, n, seed)
    truth: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if (truth["n"], truth["seed"]) != (n, seed):
        raise ConfigError(
            f"{folder} holds another pool ({truth['n']} records, seed {truth['seed']}); "
            "choose another folder with --out, or delete that one"
        )
    return truth


def _open(folder: Path, budget: str, progress: Progress) -> Pipeline:
    if (folder / CONFIG_FILE).exists():
        return Pipeline(folder, progress=progress)
    pool = folder / "pool"
    write_config(folder, {"pool": pool / "pool.json"}, images=[pool], model="builtin")
    set_keys(folder, "run", {"shard_rows": SHARD_ROWS})
    set_keys(folder, "select", {"budget": budget})
    return Pipeline(folder, progress=progress)


def compare(store: Store, records: Sequence[Mapping[str, Any]], kinds: Mapping[str, int]) -> dict[str, Any]:
    """What became of the planted defects. `records` and `kinds` are those of truth.json.

    A broken record counts as caught when it is quarantined with the code of its kind, a duplicate when at
    most one of it and its original is left. Rows of `checked` are in the order of pool.json.
    """
    checked = store.read("checked", ["uid", "error"]).to_pydict()
    uids, codes = checked["uid"], checked["error"]
    pruned = set(store.read("pruned", ["uid"])["uid"].to_pylist())
    left = [code is None and uid not in pruned for uid, code in zip(uids, codes, strict=True)]
    caught = dict.fromkeys(kinds, 0)
    touched, duplicates = set(), set()
    for record in records:
        index, kind, original = record["index"], record["kind"], record.get("original_index")
        touched.add(index)
        if original is None:
            caught[kind] += codes[index] == kind
        else:
            duplicates |= {index, original}
            caught[kind] += not (left[index] and left[original])
    how = dict.fromkeys(kinds, "quarantined")
    how.update({record["kind"]: "pruned" for record in records if "original_index" in record})
    clean = [i for i in range(len(uids)) if i not in touched]
    return {
        "planted": [
            {"kind": kind, "planted": planted, "caught": caught[kind], "how": how[kind]}
            for kind, planted in kinds.items()
        ],
        "n_clean_quarantined": sum(codes[i] is not None for i in clean),
        "n_clean_pruned": sum(uids[i] in pruned for i in clean if i not in duplicates),
    }
