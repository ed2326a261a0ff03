"""Datasets of the Hugging Face hub: `hf://datasets/ORG/NAME[@REVISION][?config=NAME&split=NAME]`.

`datasets` streams the rows once, in its order, into Parquet files in the workspace, which are read from then
on. The revision is that of the first time. No code of a dataset is run: `datasets` 4 and later run none.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from curation.readers.inputs import Inputs
from curation.storage.files import put
from schemas.errors import ConfigError, ReadError
from schemas.protocols import Progress

if TYPE_CHECKING:
    import pyarrow as pa

_ID = re.compile(r"hf://datasets/(?P<id>[^/@?]+/[^/@?]+)(?:@(?P<revision>[^/?]+))?(?:\?(?P<query>.*))?")
_REVISION, _DONE = ".revision", ".done"
_ROWS = 256  # of a row group
_FILE_BYTES = 256 << 20  # of rows in memory; a file is the unit of going on where a run was stopped


@dataclass(frozen=True)
class HubDataset:
    """What `datasets.load_dataset` is asked for. `path` is an id of the hub, or a folder."""

    path: str
    config: str | None = None
    split: str | None = None
    revision: str | None = None


def is_dataset(url: str) -> bool:
    """Does `url` name a dataset of the hub as a whole, and no file of one?"""
    return _ID.fullmatch(url) is not None


def parsed(url: str) -> HubDataset:
    """What a URL asks for.

    Raises:
        ConfigError: it names no dataset, or asks for something else than a config and a split.
    """
    found = _ID.fullmatch(url)
    query = parse_qs(found["query"] or "", strict_parsing=bool(found["query"])) if found else {}
    if found is None or set(query) - {"config", "split"}:
        raise ConfigError(f"{url} names no dataset; write hf://datasets/ORG/NAME?config=NAME&split=NAME")
    config, split = (query.get(key, [None])[-1] for key in ("config", "split"))
    return HubDataset(found["id"], config, split, found["revision"])


def inputs_of(url: str, into: Path, progress: Progress) -> Inputs:
    """The rows of the dataset at `url`, as Parquet files in a folder of its own below `into`.

    Raises:
        ReadError: the hub cannot be reached, there is no such dataset, or it needs code to be loaded.
    """
    folder = into / hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
    if not (folder / _DONE).is_file():
        asked = parsed(url)
        try:
            stream(replace(asked, revision=_pinned(asked, folder)), folder, progress)
        except Exception as error:  # the hub's client, and every builder of `datasets`, have their own
            raise ReadError(f"{url} cannot be loaded: {type(error).__name__}: {error}") from None
    return Inputs(folder, (folder,))


def stream(asked: HubDataset, folder: Path, progress: Progress) -> None:
    """Write the rows of a dataset to `folder`/SPLIT-NNNNN.parquet, behind the files that are there."""
    import datasets

    found = datasets.load_dataset(
        asked.path, asked.config, split=asked.split, revision=asked.revision, streaming=True
    )
    splits = found if isinstance(found, dict) else {asked.split or "train": found}
    rows = {}
    for name, split in splits.items():
        title = re.sub(r"\W+", "_", str(name))
        with progress.bar(f"stream {asked.path} {name}", 0, "rows") as bar:
            rows[title] = 0
            for n in _write(split, folder, title):
                rows[title] += n
                bar.advance(n)
    put(folder / _DONE, json.dumps(rows).encode())


def _pinned(asked: HubDataset, folder: Path) -> str:
    """The commit that is read, the same after a stop."""
    kept = folder / _REVISION
    if not kept.is_file():
        from huggingface_hub import HfApi

        put(kept, str(HfApi().dataset_info(asked.path, revision=asked.revision).sha).encode())
    return kept.read_text("utf-8")


def _write(split: Any, folder: Path, title: str) -> Iterator[int]:
    """Write what of a split is missing, and yield the rows of each file."""
    import pyarrow.parquet as pq

    there = [pq.read_metadata(file).num_rows for file in sorted(folder.glob(f"{title}-*.parquet"))]
    yield from there
    tables = _tables(split, sum(there))
    number, first = len(there), next(tables, None)
    while first is not None:
        file = folder / f"{title}-{number:05d}.parquet"
        yield _fill(file, first, tables)
        number, first = number + 1, next(tables, None)


def _tables(split: Any, skip: int) -> Iterator[pa.Table]:
    """Rows from `skip` on, images as their bytes."""
    from datasets.table import embed_table_storage, table_cast

    if split.features is None:
        split = split._resolve_features()
    schema = split.decode(False).features.arrow_schema
    rows = split.decode(False).skip(skip) if skip else split.decode(False)
    for table in rows.with_format("arrow").iter(batch_size=_ROWS):
        yield embed_table_storage(table_cast(table, schema))


def _fill(file: Path, first: pa.Table, more: Iterator[pa.Table]) -> int:
    """Write rows until the file is large enough; how many it has. It is there whole or not at all."""
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.part")
    rows = n_bytes = 0
    with pq.ParquetWriter(unfinished, first.schema) as out:
        for table in itertools.chain([first], more):
            out.write_table(table)
            rows, n_bytes = rows + table.num_rows, n_bytes + table.nbytes
            if n_bytes >= _FILE_BYTES:
                break
    unfinished.replace(file)
    return rows
