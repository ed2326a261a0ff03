"""`curate decontaminate`: which samples of the pool leak a benchmark, and what of it they leak."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.executor.memory import peak_gb
from curation.pipeline.config_file import relative, set_keys
from curation.pipeline.pipeline import Pipeline
from curation.readers.sources import parse_dataset
from curation.steps.chain import chain
from curation.steps.decontaminate.leaks import LEVELS, TEXT
from curation.steps.decontaminate.stages import SECTION, benchmark_paths, leak_stages, needed, store_of
from curation.storage.files import CONFIG_FILE, Location
from curation.storage.lock import locked
from curation.storage.rows import ids_of
from curation.storage.store import Store
from schemas.config import load
from schemas.errors import ConfigError


def decontaminate(workspace: Pipeline, *, limit: int = 20) -> dict[str, Any]:
    """Compute the benchmarks as the pool is, compare, and say what leaks: plain data.

    The settings of [decontaminate] that were given as flags are written to curate.toml, so that a later
    `select` leaves the leaks out, or with `tag` does not.

    Args:
        workspace: the pool; what is compared of it is computed first, embeddings for their level alone.
        limit: pairs that are listed at most.

    Raises:
        CurateError: no benchmark is named, or one cannot be read.
    """
    start = time.monotonic()
    workspace = _spelled(workspace)
    config, store = workspace.config, workspace.store
    if not config.decontaminate.against:
        raise ConfigError("say what must not leak: curate decontaminate --against BENCHMARK")
    with locked(store.root, "curate decontaminate"), store.snapshot():
        workspace.compute_benchmarks()
        # Not before: what cannot be read should not stand in the way of every later command.
        _keep_settings(workspace)
        context = workspace.context
        planner = workspace.compute([*chain(context, needed(workspace.config)), *leak_stages(context)])
        found = report(workspace, limit)
    computed = {table: n for table, n in planner.computed.items() if n}
    return {
        **found,
        "computed": computed,
        "seconds": round(time.monotonic() - start, 2),
        "peak_gb": peak_gb(1),
    }


def leaks_of(store: Store, uid: bytes) -> list[dict[str, Any]]:
    """What a sample leaks, the surest first: benchmark, id, uid, level, similarity. [] where nothing."""
    if store.find("leaks") is None:
        return []
    rows = store.read("leaks")
    own = rows.filter(pc.equal(rows["uid"], pa.scalar(uid, pa.binary(16)))).to_pylist()
    return [_shown(row) for row in own]


def report(workspace: Pipeline, limit: int) -> dict[str, Any]:
    """What the table `leaks` says: counts by benchmark and level, and the first `limit` pairs."""
    config, store = workspace.config, workspace.store
    rows = store.read("leaks")
    pairs = rows.slice(0, limit).to_pylist()
    names = ids_of(store, [row["uid"] for row in pairs])
    benchmarks = [
        _about(name, str(path), store_of(store.root, name), rows.filter(pc.equal(rows["benchmark"], name)))
        for name, path in benchmark_paths(config, workspace.base).items()
    ]
    checked = store.manifest("checked")
    return {
        "n_read": checked.rows,
        "n_leaked": pc.count_distinct(rows["uid"]).as_py(),
        "tag": config.decontaminate.tag,
        "config": str(workspace.base / CONFIG_FILE),
        "benchmarks": benchmarks,
        "n_pairs": len(rows),
        "pairs": [{**_shown(row), "of": {"uid": row["uid"].hex(), **names[row["uid"]]}} for row in pairs],
    }


def _about(name: str, path: str, store: Store, rows: pa.Table) -> dict[str, Any]:
    """How much of a benchmark is in the pool. A sample of it is, if one of its images is, or its text."""
    levels = rows["level"].to_pylist()
    uids = rows["uid"].to_pylist()
    by_level = {
        level: len({uid for uid, held in zip(uids, levels, strict=True) if held == level}) for level in LEVELS
    }
    images = set(rows["benchmark_image"].drop_null().to_pylist())
    by_text = set(rows.filter(pc.equal(rows["level"], TEXT))["benchmark_uid"].to_pylist())
    n_read = n_leaked = 0
    for shard in store.iterate("samples", ["uid", "images.list.element.sha256"]):
        for uid, shown in zip(shard["uid"].to_pylist(), shard["images"].to_pylist(), strict=True):
            n_read += 1
            n_leaked += uid in by_text or any(image["sha256"] in images for image in shown)
    return {
        "name": name,
        "path": path,
        "n_read": n_read,
        "n_in_pool": n_leaked,
        "n_leaked": len(set(uids)),
        "levels": {level: n for level, n in by_level.items() if n},
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "benchmark": row["benchmark"],
        "id": row["benchmark_id"],
        "uid": row["benchmark_uid"].hex(),
        "level": row["level"],
        "similarity": round(row["similarity"], 4),
    }


def _spelled(workspace: Pipeline) -> Pipeline:
    """The workspace with the paths that flags gave relative to curate.toml, as they will stand there."""
    base, given = workspace.base, dict(workspace.overrides)
    held = load(base / CONFIG_FILE).decontaminate
    for name, spell in (("against", _relative), ("images", relative)):
        if f"{SECTION}.{name}" in given:
            # A further benchmark joins those that are there, as `init` adds datasets.
            spelled = (*getattr(held, name), *(spell(path, base) for path in given[f"{SECTION}.{name}"]))
            given[f"{SECTION}.{name}"] = tuple(dict.fromkeys(spelled))
    return workspace.with_settings(given)


def _keep_settings(workspace: Pipeline) -> None:
    """Write what flags of [decontaminate] said to curate.toml."""
    prefix = f"{SECTION}."
    given = {
        name.removeprefix(prefix): list(value) if isinstance(value, tuple) else value
        for name, value in workspace.overrides.items()
        if name.startswith(prefix)
    }
    if given:
        set_keys(workspace.base, SECTION, given)


def _relative(text: str, base: Location) -> str:
    name, path = parse_dataset(text, set())
    spelled = relative(path, base)
    return spelled if path == text else f"{name}={spelled}"
