"""`curate train-scorer`: a light scorer of capabilities, fitted to labels of a part of the pool."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.commands.annotate import TABLE
from curation.commands.probe_fit import examples, train
from curation.models.probe import FOLDER, write_probe
from curation.pipeline.pipeline import Pipeline
from curation.readers.records import BadRecord, kind, parse, text_of
from curation.storage.store import Store
from schemas.errors import ConfigError
from scorers.probe import OUTPUTS

Labels = dict[bytes, NDArray[np.float32]]

RANGES = {name: 5.0 if name.startswith("cap_") else 1.0 for name in OUTPUTS}


def train_scorer(
    workspace: Pipeline, labels: Path | str | None = None, out: Path | str | None = None, *, folds: int = 5
) -> dict[str, Any]:
    """Fit a scorer to labels and store it; whatever embedding needs is run first.

    Args:
        workspace: the pool; the scorer works on the vectors of its `--model`.
        labels: a .parquet or .jsonl file with `uid` (hex or bytes) or `id` and some of the columns of
            `scorers.taxonomy.WRITES`; by default what `curate annotate` left in the workspace.
        out: a folder for the scorer; by default the one in the workspace that the backend `probe` takes.
        folds: parts for cross-validation.

    Returns:
        `n_labels`, `n_matched` (labelled samples of the pool), `out`, and the figures of
        `curation.commands.probe_fit.train`.

    Raises:
        ConfigError: there are no labels, too few, or a column holds something else.
    """
    start = time.monotonic()
    workspace.run("embed")
    store = workspace.store
    given, n_labels = _from_file(Path(labels), store) if labels is not None else _from_store(store)
    found = examples(store, given)
    trained = train(found, folds=folds, say=workspace.progress.note)
    folder = store.root / FOLDER if out is None else Path(out).resolve()
    source = "curate annotate" if labels is None else Path(labels).name
    about = {"labels": source, "cross_validation": trained.figures}
    model = workspace.model
    write_probe(folder, trained.weights, dict(model.identity), model.dim, about)
    return {
        "n_labels": n_labels,
        "n_matched": len(found.uids),
        "model": model.spec,
        "out": None if out is None else str(folder),
        **trained.figures,
        "seconds": round(time.monotonic() - start, 2),
    }


def _from_store(store: Store) -> tuple[Labels, int]:
    if store.find(TABLE) is None:
        raise ConfigError(
            "there are no labels yet; make some with `curate annotate --sample 2000`, or give --labels FILE"
        )
    table = store.read(TABLE)
    return _rows(table["uid"].to_pylist(), table), len(table)


def _from_file(path: Path, store: Store) -> tuple[Labels, int]:
    table = _read(path)
    columns = set(table.column_names)
    if not columns & set(OUTPUTS):
        raise ConfigError(f"{path} has no column of capabilities or styles, such as {OUTPUTS[0]}")
    if "uid" in columns:
        return _rows([_uid(value, path) for value in table["uid"].to_pylist()], table), len(table)
    if "id" not in columns:
        raise ConfigError(f"{path} has neither a column uid nor a column id")
    known = _by_id(store)
    names = [text_of(value) for value in table["id"].to_pylist()]
    return _rows([None if name is None else known.get(name) for name in names], table), len(table)


def _read(path: Path) -> pa.Table:
    """A file of labels.

    Raises:
        ConfigError: it is of another format, or cannot be read.
    """
    try:
        if path.suffix == ".parquet":
            return pq.read_table(path)
        if path.suffix in (".jsonl", ".ndjson"):
            return _read_lines(path)
    except (ValueError, pa.ArrowException) as error:
        raise ConfigError(f"{path}: {error}") from None
    raise ConfigError(f"{path}: labels are a .parquet or a .jsonl file")


def _read_lines(path: Path) -> pa.Table:
    """JSON Lines. Arrow's own reader takes the id "2024-01-01" for a time, and 1 beside 2.5 for 1.0."""
    rows = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    row = parse(line)
                except BadRecord as bad:
                    raise ValueError(f"line {number}: {bad.sentence}") from None
                if not isinstance(row, dict):
                    raise ValueError(f"line {number} should be an object and is {kind(row)}")
                rows.append(row)
    columns = {}
    for name in ("uid", "id", *OUTPUTS):
        if any(name in row for row in rows):
            values = [row.get(name) for row in rows]
            try:
                columns[name] = pa.array([text_of(v) for v in values] if name in ("uid", "id") else values)
            except (pa.ArrowException, OverflowError) as error:
                raise ValueError(f"column {name} of the labels holds no numbers: {error}") from None
    return pa.table(columns)


def _uid(value: object, path: Path) -> bytes:
    if isinstance(value, bytes) and len(value) == 16:
        return value
    try:
        uid = bytes.fromhex(str(value))
    except ValueError:
        uid = b""
    if len(uid) != 16:
        raise ConfigError(f"{path}: {value!r} is no uid; a uid has 32 hex digits")
    return uid


def _by_id(store: Store) -> dict[str, bytes]:
    """The uid of each record id that only one record has."""
    ids, uids = [], []
    for shard in store.iterate("samples", ["uid", "record_id"]):
        ids += shard["record_id"].to_pylist()
        uids += shard["uid"].to_pylist()
    often = Counter(ids)
    return {name: uid for name, uid in zip(ids, uids, strict=True) if name is not None and often[name] == 1}


def _rows(uids: Iterable[bytes | None], table: pa.Table) -> Labels:
    """(23,) labels by uid, NaN where a column is absent or null; rows without uid or label are left out.

    Raises:
        ConfigError: a label is outside its range.
    """
    labels = np.full((len(table), len(OUTPUTS)), np.nan, np.float32)
    for i, name in enumerate(OUTPUTS):
        if name in table.column_names:
            try:
                column = table[name].cast(pa.float32())
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise ConfigError(f"column {name} of the labels holds no numbers: {error}") from None
            labels[:, i] = column.to_numpy()
            wrong = labels[(labels[:, i] < 0) | (labels[:, i] > RANGES[name]), i]
            if len(wrong):
                raise ConfigError(f"column {name} holds {wrong[0]:g}; it must lie from 0 to {RANGES[name]:g}")
    known = [not np.isnan(row).all() for row in labels]
    return {uid: row for uid, row, some in zip(uids, labels, known, strict=True) if uid is not None and some}
