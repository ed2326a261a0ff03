"""What is known of a sample once its images were decoded: `checked` (readable or why not) and `hygiene`."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.storage.rows import ShardRows, gather, places
from schemas import columns
from schemas.columns import CHECKED
from schemas.stages import Linked, Prepared, Task
from scorers.wording import wording

DERIVED = (
    "image_bytes",
    "images_hash",
    "pixels_hash",
    "shown_hash",
    "text_hash",
    "words_hash",
    "telling_hash",
)
SAMPLE_COLUMNS = (*(name for name in CHECKED.names if name not in DERIVED), "turns")
MARK = re.compile(r"\s*<image>\s*")


@dataclass(frozen=True)
class SampleImages:
    """Samples of a batch, and the figures of their images: image j of sample i is row offsets[i] + j."""

    rows: pa.RecordBatch
    offsets: NDArray[np.int64]  # (n + 1,)
    images: pa.Table


def images_of(task: Task, rows: pa.RecordBatch, names: Sequence[str]) -> tuple[NDArray[np.int64], pa.Table]:
    """Columns of `images` of the samples in `rows`, which have `places`: offsets (n + 1,) and the images."""
    offsets, shards, numbers = places(rows["places"])
    if not len(shards):
        return offsets, columns.IMAGES.empty_table().select(names)
    return offsets, gather(task.inputs["images"], shards, numbers, names)


def _with_images(task: Task, rows: pa.RecordBatch) -> SampleImages:
    return SampleImages(rows, *images_of(task, rows, columns.IMAGES.names))


SAMPLES_WITH_IMAGES = ShardRows(
    (("samples", SAMPLE_COLUMNS), ("image_places", ("places",))),
    1024,
    (Linked("images", through="image_places"),),
    _with_images,
)


@dataclass(frozen=True)
class Check(Prepared):
    """`checked`: the narrow facts of each sample, and its error: its own or that of its first bad image."""

    source: ClassVar[ShardRows] = SAMPLES_WITH_IMAGES
    name: ClassVar[str] = "checked"
    version: ClassVar[int] = 4
    writes: ClassVar[pa.Schema] = CHECKED

    def params(self) -> dict[str, Any]:
        return {}

    def prepare(self, piece: SampleImages) -> pa.RecordBatch:
        rows, offsets = piece.rows, piece.offsets
        sizes = np.concatenate([[0], np.cumsum(piece.images["n_bytes"].to_numpy())])
        image_bytes = (sizes[offsets[1:]] - sizes[offsets[:-1]]).astype(np.int64)
        error, message = _first_errors(piece)
        kept = {
            name: rows[name] for name in CHECKED.names if name not in {*DERIVED, "error", "error_message"}
        }
        pixels = _joined(piece, "pixels_hash")
        facts = {
            **kept,
            "image_bytes": pa.array(image_bytes),
            "images_hash": _hashes(_joined(piece, "sha256")),
            "pixels_hash": _hashes(pixels),
            "shown_hash": _hashes_of_all(rows, pixels),
            **_hashes_of_texts(rows["turns"]),
            "error": error,
            "error_message": message,
        }
        return pa.record_batch([facts[name] for name in CHECKED.names], schema=CHECKED)


def _joined(piece: SampleImages, column: str) -> list[bytes | None]:
    """Of each sample the hashes of its images, in order; None without images, or where one has no hash."""
    hashes = piece.images[column].to_pylist()
    own = [hashes[start:end] for start, end in itertools.pairwise(piece.offsets.tolist())]
    return [b"".join(each) if each and None not in each else None for each in own]


def _hashes(joined: list[bytes | None]) -> pa.Array:
    return pa.array([each and _digest(each) for each in joined], pa.binary(16))


def _hashes_of_all(rows: pa.RecordBatch, pixels: list[bytes | None]) -> pa.Array:
    """Null where a sample has an image and no pixels."""
    found = []
    for turns, n_images, shown in zip(
        rows["turns"].to_pylist(), rows["n_images"].to_pylist(), pixels, strict=True
    ):
        texts = json.dumps([(turn["role"], turn["text"]) for turn in turns], ensure_ascii=False)
        whole = texts.encode("utf-8", "surrogatepass") + b"\0" + (shown or b"")
        found.append(None if n_images and shown is None else _digest(whole))
    return pa.array(found, pa.binary(16))


def _hashes_of_texts(turns: pa.Array) -> dict[str, pa.Array]:
    """`text_hash`, `words_hash` and `telling_hash`; null without text."""
    found: dict[str, list[bytes | None]] = {"text_hash": [], "words_hash": [], "telling_hash": []}
    for each in turns.to_pylist():  # one after the other: words of many samples at once take a third longer
        texts = [(turn["role"], _unmarked(turn["text"])) for turn in each or ()]
        told = (texts, *wording(texts)) if any(text for _, text in texts) else (None, None, None)
        for hashes, what in zip(found.values(), told, strict=True):
            hashes.append(None if what is None else _said(what))
    return {name: pa.array(hashes, pa.binary(16)) for name, hashes in found.items()}


def _unmarked(text: str) -> str:
    return MARK.sub("", text) if "<image>" in text else text


def _said(what: Any) -> bytes:
    return _digest(json.dumps(what, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _first_errors(piece: SampleImages) -> tuple[pa.Array, pa.Array]:
    """Errors of the samples, with those of their first undecodable image filled in."""
    error, message = piece.rows["error"].to_pylist(), piece.rows["error_message"].to_pylist()
    bad = np.flatnonzero(~piece.images["error"].combine_chunks().is_null().to_numpy(zero_copy_only=False))
    # n: undecodable images of the batch. Backwards, so that the first of a sample wins.
    for row in bad[::-1]:
        sample = int(np.searchsorted(piece.offsets, row, side="right")) - 1
        nth = int(row - piece.offsets[sample]) + 1
        error[sample] = piece.images["error"][int(row)].as_py()
        message[sample] = f"image {nth}: {piece.images['error_message'][int(row)].as_py()}"
    return pa.array(error, pa.string()), pa.array(message, pa.string())
