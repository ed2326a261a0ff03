"""`llava`: data.json for LLaVA's trainers. A record that was LLaVA's leaves byte for byte as it came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.readers.records import BadRecord, parse
from curation.storage.ids import positions, words
from curation.storage.store import Store
from curation.writers.card import card
from curation.writers.kept import ExportFacts, image_bytes, split
from curation.writers.rows import conversations, llava_record

# What a trainer reads, and what other formats call it; everything else of a record is carried along.
TURN_AND_IMAGE_KEYS = frozenset({"id", "image", "images", "conversations", "messages", "system"})
SIDECAR = pa.schema(
    [
        pa.field("uid", pa.string(), nullable=False),
        pa.field("id", pa.string()),
        pa.field("keep", pa.bool_(), nullable=False),
        pa.field("rank", pa.int64()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("kept_uid", pa.string()),
    ]
)
_EXTENSIONS = (
    (b"\xff\xd8", "jpg"),
    (b"\x89PNG", "png"),
    (b"RIFF", "webp"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tif"),
    (b"MM\0*", "tif"),
)


@dataclass(frozen=True)
class Llava:
    """A JSON array of records. Images on disk stay where they are; those inside containers are copied out."""

    name: ClassVar[str] = "llava"
    copies_images: ClassVar[bool] = False
    data_files: ClassVar[str] = "data.json"
    loading: ClassVar[str] = (
        'import json\n\nwith open("FOLDER/data.json") as file:\n    records = json.load(file)'
    )

    def write(self, out: Path, batches: Iterator[pa.RecordBatch], context: ExportFacts) -> dict[str, Any]:
        """Write data.json and its sidecars under `out`, and images/ where images lie inside containers."""
        records = _Records(out)
        uids = []
        with (out / "data.json").open("wb") as file:
            between = b"[\n"
            for batch in batches:
                uids.append(words(batch["uid"]))
                for record in records.of(batch):
                    file.write(between + record)
                    between = b",\n"
            file.write(b"\n]\n" if records.n else b"[]\n")
        np.save(out / "uids.npy", subset(uids))
        write_sidecar(context.store, out / "selection.parquet")
        (out / "README.md").write_text(card(context, self), encoding="utf-8")
        used = {name: roots for name, roots in context.image_roots.items() if name in records.on_disk}
        return {
            "n_converted": records.n_converted,
            "n_images_copied": len(records.copied),
            "image_roots": used,
        }


class _Records:
    """Turns kept rows into LLaVA records, and copies out the images that lie inside containers."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.copied: dict[bytes, str] = {}  # sha256 -> path under `out`
        self.on_disk: set[str] = set()  # datasets with images outside containers
        self.n = self.n_converted = 0

    def of(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        for part in split(batch):
            rows = part.to_pylist()
            self._copy([ref for row in rows for ref in row["images"] if _inside(ref)])
            for row in rows:
                self.n += 1
                if not all(_inside(ref) for ref in row["images"]):
                    self.on_disk.add(row["dataset"])
                if _is_llava(row):
                    yield row["record"]
                else:
                    self.n_converted += 1
                    yield self._convert(row)

    def _copy(self, refs: list[dict[str, Any]]) -> None:
        new = list({ref["sha256"]: ref for ref in refs if ref["sha256"] not in self.copied}.values())
        for ref, data in zip(new, image_bytes(new), strict=True):
            digest = ref["sha256"].hex()
            name = f"images/{digest[:2]}/{digest}.{_extension(data)}"
            path = self.out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            self.copied[ref["sha256"]] = name

    def _convert(self, row: dict[str, Any]) -> bytes:
        value = _object(row["record"])
        images = [self.copied[ref["sha256"]] if _inside(ref) else _spelled(ref) for ref in row["images"]]
        own = value.get("id")
        record: dict[str, Any] = {"id": (row["record_id"] or row["uid"].hex()) if own is None else own}
        if images:
            record["image"] = images[0] if len(images) == 1 else images
        record["conversations"] = conversations(row["record"], row["turns"], bool(row["repaired"]))
        record.update({name: item for name, item in value.items() if name not in TURN_AND_IMAGE_KEYS})
        return json.dumps(record, ensure_ascii=False).encode()


def _is_llava(row: dict[str, Any]) -> bool:
    """Can a trainer read the raw record as it is, and find its images by the paths in it?"""
    record = llava_record(row["record"])
    if record is None or row["repaired"] or any(_inside(ref) for ref in row["images"]):
        return False
    named = record.get("image") or []
    paths = [named] if isinstance(named, str) else named
    # A path may be another one than the record has: of a file beside the data in a folder below.
    return paths == [ref["name"] for ref in row["images"]] and not any(
        path.startswith("file://") for path in paths
    )


def _inside(ref: dict[str, Any]) -> bool:
    """Does the image lie in a tar, Parquet or Arrow file?"""
    return ref["column"] is not None or ref["length"] >= 0


def _spelled(ref: dict[str, Any]) -> str:
    """The image's path as the record has it; a file: address becomes a plain path."""
    name: str = ref["path"] if ref["name"].startswith("file://") else ref["name"]
    return name


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = parse(raw)
    except BadRecord:  # a caption of a WebDataset is no JSON
        return {}
    return value if isinstance(value, dict) else {}


def _extension(data: bytes) -> str:
    return next((name for magic, name in _EXTENSIONS if data.startswith(magic)), "img")


def subset(parts: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """(k,) sorted pairs of 64 bits, as datacomp's tools read a subset: the hex uid cut in the middle."""
    # Words are little-endian; hex, and so datacomp, is big-endian.
    halves = np.concatenate([np.zeros((0, 2), np.uint64), *parts]).byteswap()
    halves = halves[np.lexsort((halves[:, 1], halves[:, 0]))]
    pairs = np.zeros(len(halves), np.dtype("u8,u8"))
    pairs["f0"], pairs["f1"] = halves[:, 0], halves[:, 1]
    return pairs


def write_sidecar(store: Store, path: Path) -> None:
    """What became of every sample of the pool, and of a pruned one what is kept instead."""
    selection = store.read("selection", ["uid", "keep", "rank", "reason"])
    pruned = store.read("pruned", ["uid", "kept_uid"])
    instead = np.full(len(selection), -1, np.int64)
    instead[positions(pruned["uid"], selection["uid"])] = np.arange(len(pruned))
    start = 0
    with pq.ParquetWriter(path, SIDECAR, compression="zstd") as writer:
        for shard in store.iterate("checked", ["record_id"]):
            rows, at = selection.slice(start, len(shard)), instead[start : start + len(shard)]
            start += len(shard)
            kept = pruned["kept_uid"].take(pa.array(at, mask=at < 0))
            made = {"uid": _hex(rows["uid"]), "id": shard["record_id"], "kept_uid": _hex(kept)}
            columns = [made[name] if name in made else rows[name] for name in SIDECAR.names]
            writer.write_table(pa.Table.from_arrays(columns, schema=SIDECAR))


def _hex(uids: pa.ChunkedArray) -> pa.Array:
    return pa.array([uid if uid is None else uid.hex() for uid in uids.to_pylist()], pa.string())
