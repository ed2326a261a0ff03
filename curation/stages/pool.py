"""What a fit or decide stage sees: whole tables, read narrowly; and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from curation.store import Manifest, Store


@dataclass(frozen=True)
class Output:
    """One shard of an output table. Shards of a table are numbered in the order in which they come."""

    table: str
    batch: pa.RecordBatch
    links: Sequence[int] = field(default=())


@dataclass(frozen=True)
class Pool:
    """Read access to finished tables."""

    store: Store

    def manifest(self, table: str) -> Manifest:
        found = self.store.manifest(table)
        assert found is not None, f"{table} is read before it is written"
        return found

    def paths(self, table: str) -> list[str]:
        """The files of a table's shards, in order."""
        return [str(self.store.shard_path(table, shard.checksum)) for shard in self.manifest(table).shards]

    def read(self, table: str, columns: Sequence[str]) -> pa.Table:
        return self.store.read(table, columns)

    def iterate(self, table: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        return self.store.iterate(table, columns)
