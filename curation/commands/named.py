"""Samples by name, and their pictures: a uid in hex, a record's id, or a frame with a column of uids."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.pipeline.pipeline import Pipeline
from curation.readers.images import as_ingested, fetch, picture_of
from curation.report.records import positions_of
from curation.storage.rows import gather, located
from curation.storage.store import Store
from schemas.errors import ConfigError
from schemas.flags import several

if TYPE_CHECKING:
    import polars as pl
    from PIL import Image

    Names: TypeAlias = str | Iterable[str] | pl.Series | pl.DataFrame | pl.LazyFrame

Ints = NDArray[np.int64]
UID_DIGITS = 32
AT_ONCE = 64  # samples whose images are fetched together


def images(workspace: Pipeline, names: Names) -> dict[str, list[Image.Image | None]]:
    """The pictures of samples in RGB, by uid in hex, in the order asked; None where one cannot be decoded.

    Raises:
        ConfigError: no sample is called so.
        ReadError: a picture is not what was ingested.
    """
    limit = workspace.config.images.max_pixels
    return {
        uid: [picture_of(ref, data, max_pixels=limit) if ref["sha256"] else None for ref, data in pairs]
        for uid, pairs in _fetched(workspace.store, names)
    }


def image_bytes(workspace: Pipeline, names: Names) -> dict[str, list[bytes | None]]:
    """The same as the bytes of their files; None where there was none when it was ingested.

    Raises:
        ConfigError: no sample is called so.
        ReadError: a picture is not what was ingested.
    """
    return {
        uid: [as_ingested(ref, data) if ref["sha256"] else None for ref, data in pairs]
        for uid, pairs in _fetched(workspace.store, names)
    }


def places(store: Store, names: Names) -> Ints:
    """Where the samples stand in the pool, in the order asked; all that share an id, each once.

    Raises:
        ConfigError: no sample is called so.
        WorkspaceError: nothing is ingested yet.
    """
    store.demand_ingested()
    wanted = names_of(names)
    by_uid = [name for name in wanted if _is_uid(name)]
    uids = pa.array([bytes.fromhex(name) for name in by_uid], pa.binary(16))
    found = {
        name: [at] for name, at in zip(by_uid, positions_of(store, uids).tolist(), strict=True) if at >= 0
    }
    others = [name for name in wanted if name not in found]
    for name, at in _by_id(store, others):
        found.setdefault(name, []).append(at)
    absent = [name for name in wanted if name not in found]
    if absent:
        more = f", nor by {len(absent) - 1:,} more" if len(absent) > 1 else ""
        raise ConfigError(f"no sample has the uid or id {absent[0]!r}{more}; `curate scores` lists them")
    return np.array(list(dict.fromkeys(at for name in wanted for at in found[name])), np.int64)


def names_of(names: Names) -> list[str]:
    """The names as texts.

    Raises:
        ConfigError: a frame has no column of them, or one is no text.
    """
    import polars as pl

    if isinstance(names, pl.LazyFrame):
        names = names.collect()
    if isinstance(names, pl.DataFrame):
        column = next((name for name in ("uid", "id") if name in names.columns), None)
        if column is None:
            raise ConfigError(f"this frame has no column uid; it has {', '.join(names.columns)}")
        names = names[column]
    found = [name.hex() if isinstance(name, bytes) else name for name in several(names)]
    wrong = next((name for name in found if not isinstance(name, str)), None)
    if wrong is not None or None in found:
        raise ConfigError(f"samples are named by uid (in hex) or id, which are texts, not by {wrong!r}")
    return found


def _is_uid(name: str) -> bool:
    try:
        return len(bytes.fromhex(name)) == UID_DIGITS // 2 == len(name) // 2
    except ValueError:
        return False


def _by_id(store: Store, names: list[str]) -> Iterable[tuple[str, int]]:
    if not names:
        return
    wanted, start = pa.array(names, pa.string()), 0
    for shard in store.iterate("samples", ["record_id"]):
        met = pc.indices_nonzero(pc.is_in(shard["record_id"], value_set=wanted))
        yield from (
            (name, start + row)
            for name, row in zip(shard["record_id"].take(met).to_pylist(), met.to_pylist(), strict=True)
        )
        start += len(shard)


def _fetched(store: Store, names: Names) -> Iterable[tuple[str, list[tuple[dict[str, Any], Any]]]]:
    """Of each sample its uid in hex, and its references to images with what was fetched for each."""
    at = places(store, names)
    paths, sizes = store.paths("samples"), store.manifest("samples").sizes
    for start in range(0, len(at), AT_ONCE):
        rows = gather(paths, *located(sizes, at[start : start + AT_ONCE]), ["uid", "images"]).to_pylist()
        refs = [ref for row in rows for ref in row["images"]]
        data = iter(fetch(refs))
        for row in rows:
            yield row["uid"].hex(), [(ref, next(data)) for ref in row["images"]]
