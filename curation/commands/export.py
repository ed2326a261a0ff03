"""`curate export`: the selected samples in a folder that is there whole or not at all."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.executor.keys import keys_of
from curation.pipeline.counts import counts
from curation.pipeline.made_by import made_by, shown
from curation.pipeline.pipeline import Pipeline
from curation.pipeline.remembered import remembered, shareable
from curation.readers.sources import image_roots, resolved
from curation.steps.select.select import LISTS, Select, settings
from curation.storage.files import Location, is_url, put
from curation.storage.lock import locked
from curation.storage.store import Store
from curation.writers import writer
from curation.writers.card import CardFacts, card
from curation.writers.destination import (
    SUMMARY,
    check_target,
    deliver,
    held_at,
    push_to_hub,
    scratch_of,
    target_of,
    unfinished,
)
from curation.writers.facts import Facts, Splits
from curation.writers.kept import Kept
from curation.writers.pictures import BYTES, COPY, PATHS, Pictures, way
from curation.writers.shuffle import shuffled
from curation.writers.sidecar import write_sidecar
from curation.writers.splits import TRAIN, assign, parse_shares
from schemas.config import Config
from schemas.errors import ExportError, NothingLeft, WorkspaceError
from schemas.protocols import Writer
from schemas.tables import Manifest, key_of

CARD = "README.md"
SIDECAR = "selection.parquet"


@dataclass(frozen=True)
class Asked:
    """How the samples are written.

    Args:
        format: a name of `curation.writers.WRITERS`.
        images: link, copy, paths or bytes; None is what the format does first.
        scores: whether the scores of samples leave with them; None is what the format does.
        raw: records that were the format's own leave byte for byte, even if trainers crash on them.
        shuffle: the seed of the order; None is the order of the pool.
        split: shares, as `train=0.98,val=0.02`.
        license: as the Hub names it.
    """

    format: str = "hf"
    images: str | None = None
    scores: bool | None = None
    raw: bool = False
    shuffle: int | None = None
    split: str | None = None
    license: str | None = None


def export(
    workspace: Pipeline, out: Path | str, asked: Asked, *, overwrite: bool = False, push: str | None = None
) -> dict[str, Any]:
    """Write the kept samples under `out`, in bounded memory; the counts come back.

    The selection that was made last is exported. Where there is none, or its inputs have changed since, it is
    made first: with the [select] and seed of that last one, else with those of curate.toml; and also where
    flags ask for another one. Nothing stands at `out` before it is complete. An export that was interrupted
    goes on, and one that is there already is left as it is.

    Args:
        workspace: where the selection is.
        out: a folder that does not exist or is empty, or a URL.
        asked: the format, and how.
        overwrite: replace what is at `out`, if that is an export.
        push: a dataset of the Hub (ORG/NAME) that gets the folder as well.

    Raises:
        ExportError: `out` is in use, the format cannot do what is asked, or an image has changed since it was
            ingested.
        NothingLeft: the selection is empty.
        CurateError: nothing is selected, and no budget is known.
    """
    start = time.monotonic()
    chosen = writer(asked.format)
    how = way(chosen, asked.images)
    shares = parse_shares(asked.split) if asked.split else {TRAIN: 1.0}
    target = target_of(out)
    check_target(target, _inputs(workspace), overwrite=overwrite)
    selection = _selected(workspace)
    with locked(workspace.store.root, "curate export"), workspace.store.snapshot():
        plan = _plan(workspace, selection, asked, chosen, how, target)
        if not plan.counts["n_selected"]:
            raise NothingLeft("nothing is selected, so there is nothing to export; `curate select` says why")
        held = held_at(target)
        if held is not None and held["key"] == plan.key:
            return _told(plan, held["written"], held["bytes"], start)
        if held is not None and not overwrite:
            raise ExportError(f"{target} is not empty; choose another folder, or replace it with --overwrite")
        _check_space(plan, target)
        try:
            with unfinished(target, plan.key) as partial:
                written = _write(workspace, plan, partial, shares)
                size = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
                put(partial / SUMMARY, _summary(plan, written, size))
                deliver(partial, target, workspace.progress)
                if push:
                    push_to_hub(target if isinstance(target, Path) else partial, push)
        except OSError as error:
            raise ExportError(f"{target} could not be written: {error}") from error
    return _told(plan, written, size, start)


@dataclass(frozen=True)
class _Plan:
    """What is going to be written."""

    store: Store
    config: Config  # of the selection, without what is of this machine
    counts: dict[str, Any]
    n_images: int
    made_by: dict[str, Any]
    asked: Asked
    writer: Writer
    how: str
    scores: pa.Schema
    roots: dict[str, tuple[str, ...]]
    target: Location
    tables: tuple[str, ...]  # fingerprints of what the rows follow from

    @property
    def tree(self) -> dict[str, Any]:
        """Everything that decides what is in the folder. No time stamp: equal exports are equal."""
        return {
            "export": {**asdict(self.asked), "images": self.how, "scores": bool(self.scores.names)},
            "format": self.asked.format,
            "config": self.config.model_dump(mode="json"),
            "counts": self.counts,
            "n_kept": self.counts["n_selected"],
            "n_kept_images": self.n_images,
            **self.made_by,
        }

    @property
    def key(self) -> str:
        """32 hex digits: equal exports have equal ones."""
        absolute = str(self.target) if self.asked.format == "open_clip" else ""
        return key_of([self.tree, self.tables, absolute, self.roots if self.how == PATHS else None])


def _plan(
    workspace: Pipeline, selection: Manifest, asked: Asked, chosen: Writer, how: str, target: Location
) -> _Plan:
    store = workspace.store
    config = shown(shareable(remembered(store) or workspace.config))
    config = config.override(settings(selection.stage["params"]))
    kept = store.read("selection", ["keep"])["keep"]
    n_images = pc.sum(store.read("checked", ["n_images"])["n_images"].filter(kept)).as_py() or 0
    scored = chosen.scored if asked.scores is None else asked.scores
    return _Plan(
        store=store,
        config=config,
        counts=counts(store, config, "select"),
        n_images=n_images,
        made_by=made_by(store),
        asked=asked,
        writer=chosen,
        how=how,
        scores=Kept(store).schema() if scored else pa.schema([]),
        roots=_image_roots(workspace),
        target=target,
        tables=(store.manifest("samples").fingerprint, selection.fingerprint),
    )


def _write(workspace: Pipeline, plan: _Plan, folder: Path, shares: Mapping[str, float]) -> dict[str, Any]:
    """Everything but curate.json."""
    pictures = Pictures(folder, plan.how, plan.roots)
    facts = Facts(pictures, plan.scores, plan.key, str(plan.target), plan.asked.raw)
    masks = _masks(plan, shares)
    sizes = {name: int(mask.sum()) for name, mask in masks.items()}
    with workspace.progress.bar(f"export {plan.asked.format}", sum(sizes.values()), "samples") as bar:

        def counted(name: str) -> Iterator[pa.RecordBatch]:
            batches = Kept(plan.store, masks[name]).batches()
            if plan.asked.shuffle is not None:
                batches = shuffled(batches, sizes[name], plan.asked.shuffle, folder / ".order")
            for batch in batches:
                yield batch
                bar.advance(len(batch))

        splits: Splits = {name: counted(name) for name in masks}
        written = plan.writer.write(folder, splits, facts)
    write_sidecar(plan.store, folder / SIDECAR)
    told = CardFacts(
        plan.store,
        plan.config,
        plan.counts,
        plan.n_images,
        plan.made_by,
        sizes,
        plan.how == PATHS,
        plan.asked.license,
        written.get("last", ""),
    )
    (folder / CARD).write_text(card(told, plan.writer), encoding="utf-8")
    split = {"splits": sizes} if len(sizes) > 1 else {}
    where = {"image_roots": plan.roots} if plan.how == PATHS else {}
    return {"images": plan.how, **written, **split, **where}


def _masks(plan: _Plan, shares: Mapping[str, float]) -> dict[str, NDArray[np.bool_]]:
    """(rows of the pool,) of each split, which of the kept samples are in it."""
    if len(shares) > 1:
        return assign(plan.store, shares, plan.config.run.seed)
    keep = plan.store.read("selection", ["keep"])["keep"].to_numpy()
    return dict.fromkeys(shares, np.asarray(keep))


def _told(plan: _Plan, written: dict[str, Any], size: int, start: float) -> dict[str, Any]:
    return {
        "format": plan.asked.format,
        "out": str(plan.target),
        "n_kept": plan.counts["n_selected"],
        "n_images": plan.n_images,
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


def _image_roots(workspace: Pipeline) -> dict[str, tuple[str, ...]]:
    """The absolute folders in which each dataset's image paths are looked up."""
    datasets = workspace.config.datasets
    return {name: image_roots(name, dataset, workspace.base) for name, dataset in datasets.items()}


def _inputs(workspace: Pipeline) -> list[Path]:
    """What an export must not replace."""
    given = [dataset.path for dataset in workspace.config.datasets.values()]
    given += [root for roots in _image_roots(workspace).values() for root in roots]
    if isinstance(workspace.base, Path):
        given.append(".")
    return [resolved(workspace.base, path) for path in given if not is_url(path)]


def _summary(plan: _Plan, written: dict[str, Any], size: int) -> bytes:
    """curate.json: what decided what is in the folder. Where images stay, the paths are this machine's."""
    shared = {name: value for name, value in written.items() if name != "image_roots"}
    tree = {**plan.tree, "key": plan.key, "written": shared, "bytes": size}
    return (json.dumps(tree, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _check_space(plan: _Plan, target: Location) -> None:
    """Fail before the work rather than after it, where every image is written again."""
    if plan.how not in (COPY, BYTES):
        return
    kept = plan.store.read("selection", ["keep"])["keep"]
    needed = pc.sum(plan.store.read("checked", ["image_bytes"])["image_bytes"].filter(kept)).as_py() or 0
    there = next(folder for folder in scratch_of(target).parents if folder.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise ExportError(f"the images need {needed / 1e9:.1f} GB and {there} has {free / 1e9:.1f} GB left")
