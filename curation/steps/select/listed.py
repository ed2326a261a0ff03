"""Lists of samples that must be kept or left out: files with an id a line."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

UID = re.compile(r"[0-9a-fA-F]{32}")


@dataclass(frozen=True)
class Listed:
    """A file of ids, and the checksum of its bytes, which stands in the key of what is made with it."""

    path: str
    checksum: str


def listed(path: str | None) -> Listed | None:
    """The file at `path`, as it is now.

    Raises:
        ConfigError: it cannot be read.
    """
    if path is None:
        return None
    return Listed(path, hashlib.blake2b(_bytes(path), digest_size=16).hexdigest())


def members(held: Listed | None, table: pl.DataFrame) -> NDArray[np.bool_]:
    """Which rows of `table` the list names, by uid in hex or by `record_id`, which several may share: (n,).

    Empty lines and lines that start with # are passed over.

    Raises:
        ConfigError: an id names no sample, or the file has changed since the command started.
    """
    import polars as pl

    if held is None:
        return np.zeros(len(table), bool)
    data = _bytes(held.path)
    if hashlib.blake2b(data, digest_size=16).hexdigest() != held.checksum:
        raise ConfigError(f"{held.path} has changed while it was used; run the command again")
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines()]
    idents = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    uids = [bytes.fromhex(ident) for ident in idents if UID.fullmatch(ident)]
    by_uid = table["uid"].is_in(pl.Series(uids, dtype=pl.Binary).implode())
    by_id = table["record_id"].is_in(pl.Series(idents, dtype=pl.String).implode()).fill_null(False)
    found = set(table["record_id"].filter(by_id)) | {uid.hex() for uid in table["uid"].filter(by_uid)}
    absent = [ident for ident in idents if ident not in found and ident.lower() not in found]
    if absent:
        more = f" and {len(absent) - 1:,} more" if len(absent) > 1 else ""
        raise ConfigError(f"{held.path} names {absent[0]!r}{more}, which no sample of the pool is called")
    return (by_uid | by_id).to_numpy()


def _bytes(path: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise ConfigError(f"the list {path} cannot be read: {error.strerror}") from None
