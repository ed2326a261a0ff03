"""What a table consists of: shards, each with a key that hashes everything it follows from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import accumulate
from typing import Any


def key_of(parts: object) -> str:
    """32 hex digits over the canonical JSON of `parts`."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class ShardRef:
    """One committed shard of a table: its place in the manifest, and the checksum that names its file."""

    number: int
    key: str
    checksum: str
    rows: int
    errors: int = 0
    links: tuple[int, ...] = ()  # numbers of the shards of another table that its rows point into

    @classmethod
    def of(cls, tree: dict[str, Any], number: int = 0) -> ShardRef:
        """From what `tree` says."""
        return cls(number, tree["key"], tree["checksum"], tree["rows"], tree["errors"], tuple(tree["links"]))

    @property
    def tree(self) -> dict[str, Any]:
        """As ledger and manifest hold it: without the number, which follows from its place."""
        return {name: value for name, value in vars(self).items() if name != "number"}


@dataclass(frozen=True)
class Manifest:
    """The shards of a table. `stage` is the part of their keys that does not vary between them."""

    table: str
    stage: dict[str, Any]
    shards: tuple[ShardRef, ...]

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)

    @property
    def errors(self) -> int:
        return sum(shard.errors for shard in self.shards)

    @property
    def sizes(self) -> list[int]:
        """Rows of each shard, in order."""
        return [shard.rows for shard in self.shards]

    @property
    def slices(self) -> list[slice]:
        """Where the rows of each shard stand in the table, in order."""
        ends = accumulate(self.sizes)
        return [slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the bytes of the table change."""
        return key_of([shard.checksum for shard in self.shards])
