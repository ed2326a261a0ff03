"""Tables as shards with keys: files named by their checksum, a ledger of commits, and manifests.

    shards/TABLE/CHECKSUM.parquet      written first; nothing refers to it yet
    ledger/TABLE/KEY-CHECKSUM.json     one atomic PUT, written last: from now on the shard exists
    tables/TABLE.json                  the manifest: what readers see

A shard's key is a hash of everything that it follows from, so a key that is in the ledger is never computed
again. Killed at any moment, the worst that is left is a file that nothing refers to (`gc` removes it).
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.storage import journal
from curation.storage.files import Location, Remote, each, names, opened, put, walk
from schemas.columns import conform
from schemas.errors import WorkspaceError
from schemas.tables import Manifest, ShardRef

# Rows a row group. Fixed, because it is part of the bytes; small, because gathers read single groups.
ROW_GROUP = 128
# The manifests of the stores at a URL that this process has a snapshot of.
_SNAPSHOTS: dict[Location, dict[str, Manifest | None]] = {}


@dataclass(frozen=True)
class Store:
    """The folder `.curate`, here or at a URL. What is true is what the files say; see `snapshot`."""

    root: Location

    @property
    def _remote(self) -> bool:
        return isinstance(self.root, Remote)

    def shard_path(self, table: str, checksum: str) -> Location:
        """Where a shard lies; `str` of it is what tasks carry and `read_shard` takes."""
        return self.root / "shards" / table / f"{checksum}.parquet"

    def sizes(self, table: str) -> dict[str, int]:
        """Bytes of every shard file of a table, by checksum, of this version of the table or not."""
        found = walk(self.root / "shards" / table)
        return {path.name.removesuffix(".parquet"): size for path, size in found}

    def commit(
        self,
        table: str,
        key: str,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        *,
        links: Sequence[int] = (),
    ) -> ShardRef:
        """Write one shard and enter it in the ledger. Its number is set when a manifest takes it up."""
        data, rows, errors = _encode(table, schema, batches)
        checksum = hashlib.blake2b(data, digest_size=16).hexdigest()
        path = self.shard_path(table, checksum)
        # At a URL asking costs as much as writing, and writes the same bytes.
        if self._remote or not path.exists():
            put(path, data)
        ref = ShardRef(0, key, checksum, rows, errors, tuple(links))
        put(self.root / "ledger" / table / f"{key}-{checksum}.json", _json(ref.tree))
        self.log("commit", table=table, key=key, checksum=checksum, rows=rows)
        return ref

    def committed(self, table: str, keys: Sequence[str]) -> tuple[dict[str, ShardRef], list[str]]:
        """The shards of `table` that exist for `keys`, and the keys that have two entries."""
        files = set(names(self.root / "shards" / table))
        manifest = self.find(table)
        shards = manifest.shards if manifest else ()
        known = {shard.key: shard for shard in shards if f"{shard.checksum}.parquet" in files}
        found = {key: known[key] for key in keys if key in known}
        wanted = set(keys) - set(found)
        entries: dict[str, list[str]] = {}
        if wanted:
            for name in sorted(names(self.root / "ledger" / table)):
                key = name.partition("-")[0]
                if key in wanted:
                    entries.setdefault(key, []).append(name)
        # The smallest entry of a key wins.
        paths = [self.root / "ledger" / table / held[0] for held in entries.values()]
        for path, text in zip(paths, each(_text, paths, remote=self._remote), strict=True):
            ref = ShardRef.of(json.loads(text))
            if f"{ref.checksum}.parquet" in files:
                found[path.name.partition("-")[0]] = ref
        return found, [key for key, held in entries.items() if len(held) > 1]

    def manifest(self, table: str) -> Manifest:
        """The table as it stands.

        Raises:
            WorkspaceError: it was never finished.
        """
        found = self.find(table)
        if found is None:
            raise WorkspaceError(
                f"table {table} does not exist in {self.root}; `curate select` makes whatever is missing"
            )
        return found

    def demand_ingested(self) -> None:
        """Raise WorkspaceError where nothing is ingested yet."""
        if self.find("samples") is None:
            raise WorkspaceError(
                "nothing is ingested yet; run `curate ingest`, or `curate select --budget 30%`"
            )

    def find(self, table: str) -> Manifest | None:
        """The table as it stands, or None where it was never finished."""
        held = _SNAPSHOTS.get(self.root)
        if held is None:
            return self._manifest(table)
        if table not in held:
            held[table] = self._manifest(table)
        return held[table]

    def _manifest(self, table: str) -> Manifest | None:
        path = self.root / "tables" / f"{table}.json"
        try:
            tree = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        except json.JSONDecodeError as error:
            raise WorkspaceError(
                f"{path} is damaged ({error}); delete it and run the command again"
            ) from None
        return Manifest(table, tree["stage"], tuple(map(ShardRef.of, tree["shards"], itertools.count())))

    def publish(self, table: str, stage: dict[str, Any], shards: Sequence[ShardRef]) -> Manifest:
        """Make `shards`, in this order, the table that readers see."""
        numbered = tuple(replace(shard, number=n) for n, shard in enumerate(shards))
        rows = [shard.tree for shard in numbered]
        put(self.root / "tables" / f"{table}.json", _json({"table": table, "stage": stage, "shards": rows}))
        published = Manifest(table, stage, numbered)
        if self.root in _SNAPSHOTS:
            _SNAPSHOTS[self.root][table] = published
        return published

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within it, every manifest of a store at a URL is fetched once, and all that there are at the start.

        What others publish meanwhile is not seen. While this process holds the lock, nobody does.
        """
        if not self._remote or self.root in _SNAPSHOTS:
            yield
            return
        tables = self.tables()
        _SNAPSHOTS[self.root] = dict(zip(tables, each(self._manifest, tables, remote=True), strict=True))
        try:
            yield
        finally:
            del _SNAPSHOTS[self.root]

    def tables(self) -> list[str]:
        return sorted(
            name.removesuffix(".json") for name in names(self.root / "tables") if name.endswith(".json")
        )

    def read(self, table: str, columns: Sequence[str] | None = None, number: int | None = None) -> pa.Table:
        """Rows of one shard, or of the whole table: ask for narrow columns.

        Raises:
            WorkspaceError: the table does not exist, or a shard's file is gone.
        """
        manifest = self.manifest(table)
        shards = manifest.shards if number is None else (manifest.shards[number],)
        return pa.concat_tables(list(self._read_shards(table, shards, columns)))

    def iterate(self, table: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """One table a shard, in order."""
        manifest = self.find(table)
        yield from self._read_shards(table, manifest.shards if manifest else (), columns)

    def _read_shards(
        self, table: str, shards: Sequence[ShardRef], columns: Sequence[str] | None
    ) -> Iterator[pa.Table]:
        def read(shard: ShardRef) -> pa.Table:
            path = self.shard_path(table, shard.checksum)
            try:
                return read_shard(str(path), columns)
            except FileNotFoundError:
                raise WorkspaceError(f"{path} is gone; run the command again to compute it anew") from None

        return each(read, shards, remote=self._remote)

    def schema(self, table: str) -> pa.Schema:
        """The columns of a table that has shards."""
        return read_schema(self.paths(table)[0])

    def paths(self, table: str) -> list[str]:
        """The files of a table's shards, in order."""
        return [str(self.shard_path(table, shard.checksum)) for shard in self.manifest(table).shards]

    def log(self, event: str, **details: object) -> None:
        """Note what was computed and when. Never read to decide anything."""
        journal.note(self.root, event, details)


def read_shard(
    path: str, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None
) -> pa.Table:
    """Columns of the shard file at a path or URL; only the row groups `groups` where they are given."""
    with (
        opened(path) as source,
        # Of what is not in memory, runs of bytes that lie close together are fetched by one request.
        pq.ParquetFile(source, memory_map=True, pre_buffer=isinstance(source, pa.PythonFile)) as file,
    ):
        wanted = list(columns) if columns is not None else None
        if groups is None:
            return file.read(columns=wanted, use_threads=False)
        return file.read_row_groups(list(groups), columns=wanted, use_threads=False)


def read_schema(path: str) -> pa.Schema:
    """The columns of the shard file at a path or URL."""
    with opened(path) as source:
        return pq.read_schema(source)


def _encode(table: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> tuple[bytes, int, int]:
    """Parquet bytes that follow from the rows alone, however they are cut into batches."""
    rows = pa.Table.from_batches([conform(batch, schema, stage=table) for batch in batches], schema=schema)
    rows = rows.combine_chunks()
    sink = pa.BufferOutputStream()
    plain = [field.name for field in schema if not pa.types.is_fixed_size_list(field.type)]
    with pq.ParquetWriter(
        sink, schema, compression="zstd", use_dictionary=plain, write_statistics=False
    ) as writer:
        writer.write_table(rows, row_group_size=ROW_GROUP)
    errors = len(rows) - rows["error"].null_count if "error" in schema.names else 0
    return sink.getvalue().to_pybytes(), len(rows), errors


def _text(path: Location) -> str:
    return path.read_text()


def _json(tree: object) -> bytes:
    return (json.dumps(tree, indent=1, sort_keys=True) + "\n").encode()
