"""`curate export`: the selected samples in a folder that is there whole or not at all."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.executor.keys import keys_of
from curation.pipeline.counts import counts
from curation.pipeline.pipeline import Pipeline
from curation.pipeline.remembered import remembered, shareable
from curation.readers.sources import resolved
from curation.steps.select.select import LISTS, Select, settings
from curation.storage.files import is_url, put
from curation.storage.lock import locked
from curation.storage.store import Store
from curation.writers import writer
from curation.writers.kept import ExportFacts, Kept
from schemas.config import Config
from schemas.errors import ExportError, NothingLeft, WorkspaceError
from schemas.protocols import Bar, Writer
from schemas.tables import Manifest

SUMMARY = "curate.json"


def export(workspace: Pipeline, out: Path | str, *, format: str, overwrite: bool) -> dict[str, Any]:
    """Write the kept samples under `out` in pool order, in bounded memory; the counts come back.

    The selection that was made last is exported. Where there is none, or its inputs have changed since, it is
    made first: with the [select] and seed of that last one, else with those of curate.toml; and also where
    flags ask for another one. Nothing stands at `out` before it is complete.

    Args:
        workspace: where the selection is.
        out: a folder that does not exist or is empty.
        format: a name of `curation.writers.WRITERS`.
        overwrite: replace what is at `out`, if that is an export.

    Raises:
        ExportError: `out` is a URL or in use, or an image has changed since it was ingested.
        NothingLeft: the selection is empty.
        CurateError: nothing is selected, and no budget is known.
    """
    start = time.monotonic()
    chosen = writer(format)
    if is_url(str(out)):
        raise ExportError(f"{out} is a URL; export to a folder of this machine, and copy it there")
    target = Path(os.path.abspath(Path(out).expanduser()))  # noqa: PTH100  # links stay: it is the user's name for it
    _check_target(workspace, target, overwrite)
    selection = _selected(workspace)
    with locked(workspace.store.root, "curate export"), workspace.store.snapshot():
        context = context_of(workspace, selection)
        if not context.counts["n_selected"]:
            raise NothingLeft("nothing is selected, so there is nothing to export; `curate select` says why")
        _check_space(workspace.store, target, chosen)
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        _clear(target)
        try:
            partial.mkdir(parents=True)
            with workspace.progress.bar(f"export {format}", context.counts["n_selected"], "samples") as bar:
                written = chosen.write(partial, _counted(Kept(workspace.store).batches(), bar), context)
            put(partial / SUMMARY, _summary(context, format, written))
            size = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
            _move(partial, target)
        except OSError as error:
            raise ExportError(f"{target} could not be written: {error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return {
        "format": format,
        "out": str(target),
        "n_kept": context.counts["n_selected"],
        "n_images": context.n_images,
        **written,
        "bytes": size,
        "seconds": round(time.monotonic() - start, 2),
    }


def _selected(workspace: Pipeline) -> Manifest:
    """The selection to export, made where it is missing, not of these tables, or not as the flags say."""
    store = workspace.store
    held = store.find("selection")
    asked = {
        name: value
        for name, value in workspace.overrides.items()
        if value is not None and (name == "run.seed" or not name.startswith("run."))
    }
    last = settings(held.stage["params"]) if held else {}
    if held and _is_current(store, held) and _is_of(remembered(store), last, asked):
        return held
    chosen = {**last, **asked}
    for name in LISTS:
        held_list = held and held.stage["params"].get(name)
        if held_list and f"select.{name}" not in chosen and getattr(workspace.config.select, name) is None:
            flag = f"--{name.replace('_', '-')}"
            raise ExportError(
                f"the last selection was made with {flag} and is out of date: select again, then export"
            )
    if chosen.get("select.budget") is None and workspace.config.select.budget is None:
        raise WorkspaceError("nothing is selected yet; choose a subset first: `curate select --budget 30%`")
    workspace.with_settings(chosen).run("select")
    return store.manifest("selection")


def _is_of(config: Config | None, last: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Was the last selection made as flags ask? Its own settings are known in any case."""
    if config is None:
        return all(value == last.get(name) for name, value in asked.items())
    wished = config.override(asked)
    sections = (name for name in type(config).model_fields if name != "run")
    same = all(getattr(wished, name) == getattr(config, name) for name in sections)
    return same and wished.run.seed == config.run.seed


def _is_current(store: Store, selection: Manifest) -> bool:
    """Was `selection` decided on the tables as they are now, and is its file there?"""
    stage = Select.again(selection.stage["params"])
    if any(store.find(table) is None for table in stage.reads):
        return False
    keys = keys_of(stage, store)["selection"]
    return [shard.key for shard in selection.shards] == keys and keys[0] in store.committed(
        "selection", keys
    )[0]


def context_of(workspace: Pipeline, selection: Manifest) -> ExportFacts:
    """What a writer is told of the kept rows as a whole."""
    store = workspace.store
    # Paths stay as curate.toml spells them: absolute ones would tell readers of the card about this machine.
    config = shareable(remembered(store) or workspace.config).override(settings(selection.stage["params"]))
    kept = store.read("selection", ["keep"])["keep"]
    n_images = pc.sum(store.read("checked", ["n_images"])["n_images"].filter(kept)).as_py() or 0
    found = counts(store, config, "select")
    return ExportFacts(
        store, config, found, n_images, Kept(store).schema(), _image_roots(workspace), _made_by(store)
    )


def _image_roots(workspace: Pipeline) -> dict[str, list[str]]:
    """The absolute folders in which each dataset's image paths are looked up: by default, beside the data."""
    found = {}
    for name, dataset in workspace.config.datasets.items():
        data = resolved(workspace.base, dataset.path)
        roots = [resolved(workspace.base, root) for root in dataset.images]
        found[name] = [str(root) for root in roots or [data if data.is_dir() else data.parent]]
    return found


def _made_by(store: Store) -> dict[str, Any]:
    """The stages with their parameters, the model, and versions of what reads and writes."""
    stages = {}
    for table in store.tables():
        stages[table] = dict(store.manifest(table).stage)
    model = stages.get("image_vectors", {}).get("params", {}).get("model", {})
    own = packages_distributions().get("curation", [])
    packages = ["datasets", "pillow", "pyarrow"]
    versions = {"curate": version(own[0])} if own else {}
    versions |= {"python": platform.python_version(), **{name: version(name) for name in packages}}
    environment, identity = model.get("environment", {}), model.get("identity", {})
    versions |= {name: value for name, value in environment.items() if name not in {**versions, **identity}}
    return {"stages": stages, "model": model, "versions": versions}


def _summary(context: ExportFacts, format: str, written: dict[str, Any]) -> bytes:
    """curate.json: everything that decided what is in the folder. No time stamp: equal exports are equal."""
    tree = {
        "format": format,
        "config": context.config.model_dump(mode="json"),
        "counts": context.counts,
        "n_kept": context.counts["n_selected"],
        "n_kept_images": context.n_images,
        "written": written,
        **context.made_by,
    }
    return (json.dumps(tree, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _counted(batches: Iterator[pa.RecordBatch], bar: Bar) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch
        bar.advance(len(batch))


def _check_target(workspace: Pipeline, target: Path, overwrite: bool) -> None:
    """Refuse to write over anything but an earlier export."""
    if target.exists() and not target.is_dir():
        raise ExportError(f"{target} is a file; give a folder that does not exist yet")
    if not target.exists() or not any(target.iterdir()):
        return
    if not overwrite:
        raise ExportError(f"{target} is not empty; choose another folder, or replace it with --overwrite")
    inputs = [dataset.path for dataset in workspace.config.datasets.values()]
    inputs += [root for roots in _image_roots(workspace).values() for root in roots]
    if isinstance(workspace.base, Path):
        inputs.append(".")
    paths = (resolved(workspace.base, path) for path in inputs)
    held = next((path for path in paths if path.is_relative_to(target.resolve())), None)
    if held is not None:
        raise ExportError(f"{target} holds {held}, which the export is made of; choose another folder")
    if not (target / SUMMARY).is_file():
        raise ExportError(
            f"{target} is no earlier export (it has no {SUMMARY}); remove it, or choose another folder"
        )


def _check_space(store: Store, target: Path, writer: Writer) -> None:
    """Fail before the work rather than after it, where every image is copied."""
    if not writer.copies_images:
        return
    kept = store.read("selection", ["keep"])["keep"]
    needed = pc.sum(store.read("checked", ["image_bytes"])["image_bytes"].filter(kept)).as_py() or 0
    there = next(folder for folder in target.parents if folder.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise ExportError(f"the images need {needed / 1e9:.1f} GB and {there} has {free / 1e9:.1f} GB left")


def _move(partial: Path, target: Path) -> None:
    """Put the finished folder in its place; what is there goes away only then."""
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.is_dir():
        target.rename(old)
    try:
        partial.rename(target)
    except OSError:
        if old.is_dir():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _clear(target: Path) -> None:
    """Remove what killed exports to `target` left beside it. The lock says that none is running."""
    if not target.parent.is_dir():
        return
    for path in target.parent.iterdir():
        before, _, number = path.stem.rpartition(".")
        if path.suffix not in (".partial", ".old") or before != f".{target.name}" or not number.isdigit():
            continue
        if path.suffix == ".old" and not target.exists():
            path.rename(target)  # killed after it was moved away, and before another took its place
        else:
            shutil.rmtree(path, ignore_errors=True)
