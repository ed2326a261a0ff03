"""Tables as shards with keys: files named by their checksum, a ledger of commits, and manifests.

    shards/TABLE/CHECKSUM.parquet      written first; nothing refers to it yet
    ledger/TABLE/KEY-CHECKSUM.json     one atomic PUT, written last: from now on the shard exists
    tables/TABLE.json                  the manifest: what readers see

A shard's key is a hash of everything that it follows from, so a key that is in the ledger is never computed
again. Killed at any moment, the worst that is left is a file that nothing refers to (`gc` removes it).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.columns import conform
from schemas.errors import WorkspaceError
from schemas.protocols import ShardRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

# Rows a row group. Fixed, because it is part of the bytes; small, because gathers read single groups.
ROW_GROUP = 128


def key_of(parts: object) -> str:
    """32 hex digits over the canonical JSON of `parts`."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """What a table consists of. `stage` is the part of the shards' keys that does not vary between shards."""

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
    def fingerprint(self) -> str:
        """Changes when, and only when, the bytes of the table change."""
        return key_of([shard.checksum for shard in self.shards])


@dataclass(frozen=True)
class Store:
    """The folder `.curate`. Holds no state: what is true is what the files say."""

    root: Path

    # --- shards ----------------------------------------------------------------------------------------

    def shard_path(self, table: str, checksum: str) -> Path:
        return self.root / "shards" / table / f"{checksum}.parquet"

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
        if not path.exists():
            put(path, data)
        ref = ShardRef(0, key, checksum, rows, errors, tuple(links))
        entry = asdict(ref)
        del entry["number"]
        put(self.root / "ledger" / table / f"{key}-{checksum}.json", _json(entry))
        self.log("commit", table=table, key=key, checksum=checksum, rows=rows)
        return ref

    def committed(self, table: str, keys: Sequence[str]) -> tuple[dict[str, ShardRef], list[str]]:
        """The shards of `table` that exist for `keys`, and the keys that have two entries."""
        known = {shard.key: shard for shard in self._known(table)}
        found = {key: known[key] for key in keys if key in known}
        wanted = set(keys) - set(found)
        entries: dict[str, list[str]] = {}
        if wanted:
            for name in sorted(_names(self.root / "ledger" / table)):
                key = name.partition("-")[0]
                if key in wanted:
                    entries.setdefault(key, []).append(name)
        for key, names in entries.items():
            entry = json.loads((self.root / "ledger" / table / names[0]).read_text())
            ref = ShardRef(0, key, entry["checksum"], entry["rows"], entry["errors"], tuple(entry["links"]))
            if self.shard_path(table, ref.checksum).exists():
                found[key] = ref
        return found, [key for key, names in entries.items() if len(names) > 1]

    def _known(self, table: str) -> tuple[ShardRef, ...]:
        manifest = self.manifest(table)
        if manifest is None:
            return ()
        files = set(_names(self.root / "shards" / table))
        return tuple(shard for shard in manifest.shards if f"{shard.checksum}.parquet" in files)

    # --- tables ----------------------------------------------------------------------------------------

    def manifest(self, table: str) -> Manifest | None:
        """The table as it stands, or None where it was never finished."""
        path = self.root / "tables" / f"{table}.json"
        try:
            tree = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        except json.JSONDecodeError as error:
            raise WorkspaceError(
                f"{path} is damaged ({error}); delete it and run the command again"
            ) from None
        shards = tuple(
            ShardRef(n, s["key"], s["checksum"], s["rows"], s["errors"], tuple(s["links"]))
            for n, s in enumerate(tree["shards"])
        )
        return Manifest(table, tree["stage"], shards)

    def publish(self, table: str, stage: dict[str, Any], shards: Sequence[ShardRef]) -> Manifest:
        """Make `shards`, in this order, the table that readers see."""
        numbered = tuple(replace(shard, number=n) for n, shard in enumerate(shards))
        rows = [{name: value for name, value in asdict(s).items() if name != "number"} for s in numbered]
        put(self.root / "tables" / f"{table}.json", _json({"table": table, "stage": stage, "shards": rows}))
        return Manifest(table, stage, numbered)

    def tables(self) -> list[str]:
        return sorted(
            name.removesuffix(".json") for name in _names(self.root / "tables") if name.endswith(".json")
        )

    def read(self, table: str, columns: Sequence[str] | None = None, number: int | None = None) -> pa.Table:
        """Rows of one shard, or of the whole table: ask for narrow columns.

        Raises:
            WorkspaceError: the table does not exist, or a shard's file is gone.
        """
        manifest = self.manifest(table)
        if manifest is None:
            raise WorkspaceError(f"table {table} does not exist in {self.root}")
        shards = manifest.shards if number is None else (manifest.shards[number],)
        return pa.concat_tables([self._read_shard(table, shard, columns) for shard in shards])

    def iterate(self, table: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """One table a shard, in order."""
        manifest = self.manifest(table)
        for shard in manifest.shards if manifest else ():
            yield self._read_shard(table, shard, columns)

    def _read_shard(self, table: str, shard: ShardRef, columns: Sequence[str] | None) -> pa.Table:
        path = self.shard_path(table, shard.checksum)
        if not path.exists():
            raise WorkspaceError(f"{path} is gone; run the command again to compute it anew")
        return read_shard(str(path), columns)

    # --- the log ---------------------------------------------------------------------------------------

    def log(self, event: str, **details: object) -> None:
        """Append one line to log.jsonl: what was computed and when. Never read to decide anything."""
        self.root.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"time": round(time.time(), 3), "pid": os.getpid(), "event": event, **details})
        with (self.root / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def read_shard(
    path: str, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None
) -> pa.Table:
    """Columns of one shard file; only the row groups `groups` where they are given."""
    with pq.ParquetFile(path, memory_map=True) as file:
        names = list(columns) if columns is not None else None
        if groups is None:
            return file.read(columns=names, use_threads=False)
        return file.read_row_groups(list(groups), columns=names, use_threads=False)


def put(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    partial.write_bytes(data)
    partial.replace(path)


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


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return []


def _json(tree: object) -> bytes:
    return (json.dumps(tree, indent=1, sort_keys=True) + "\n").encode()
