"""A second look at what may be a copy: which pairs of pictures, and what is seen of one on the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from curation.readers.images import BadImage, as_ingested, decode, fetch, to_rgb
from curation.steps.prune.pairs import Ints, SamplePairs
from curation.storage.rows import gather, located, side_by_side
from schemas.columns import IMAGE_REF
from schemas.stages import Aligned, Input, Output, Pool, Task
from scorers.second_look import look

if TYPE_CHECKING:
    from PIL import Image

# A row of `images` is named by its number in the whole table; `left` < `right`.
PAIR = (
    pa.field("left", pa.int64(), nullable=False),
    pa.field("right", pa.int64(), nullable=False),
    pa.field("flipped", pa.bool_(), nullable=False),  # the right one is looked at mirrored
)
SUSPECTS = pa.schema([*PAIR, pa.field("left_image", IMAGE_REF), pa.field("right_image", IMAGE_REF)])
LOOKS = pa.schema(
    [
        *PAIR,
        pa.field("correlation", pa.float32()),
        pa.field("cover", pa.float32()),
        pa.field("oddness", pa.float32()),  # null where the pictures cannot be laid on each other
    ]
)
LOOKED_AT_ONCE = 32


@dataclass(frozen=True)
class Suspect:
    """`suspects`: the pairs of pictures to look at again, each once, with where their files are.

    Those of samples that are near by cosine and say the same, and of those that look alike by their hashes.
    Shard n holds the pairs whose left picture is in shard n of `images`.
    """

    eps: float
    text_eps: float | None  # None where texts do not count
    semantic: bool
    by_hash: bool

    name: ClassVar[str] = "suspects"
    version: ClassVar[int] = 1
    writes: ClassVar[dict[str, pa.Schema]] = {"suspects": SUSPECTS}
    alike: ClassVar[str] = "images"

    @property
    def reads(self) -> tuple[str, ...]:
        proposed = ("neighbours",) * self.semantic + ("look_alikes",) * self.by_hash
        return ("checked", "image_places", "images", "distinct_images", "samples", *proposed)

    def params(self) -> dict[str, Any]:
        return dict(vars(self))

    def run(self, pool: Pool) -> Iterator[Output]:
        proposed = []
        if self.semantic:
            lists = pool.read("neighbours", ["uid", "other", "similarity", "text"])
            proposed.append(SamplePairs.near(pool, lists, self.eps, self.text_eps)[0])
        if self.by_hash:
            proposed.append(SamplePairs.alike(pool, pool.read("look_alikes")))
        by_text = self.text_eps is not None
        found = [pairs.images(pool).worth_a_look(pool, pairs, by_text=by_text) for pairs in proposed]
        numbers = np.unique(np.concatenate([each.numbers for each in found]))
        left, right, flipped = numbers >> 32, numbers >> 1 & (1 << 31) - 1, (numbers & 1).astype(bool)
        sizes = [shard.rows for shard in pool.manifest("images").shards]
        starts = np.searchsorted(left, np.cumsum([0, *sizes]))
        for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            part = slice(start, end)
            columns = [
                pa.array(left[part]),
                pa.array(right[part]),
                pa.array(flipped[part]),
                *(_refs(pool, sizes, side[part]) for side in (left, right)),
            ]
            yield Output("suspects", pa.record_batch(columns, schema=SUSPECTS))


def _refs(pool: Pool, sizes: list[int], images: Ints) -> pa.Array:
    """(n,) Where the files of rows of `images` are."""
    if not len(images):
        return pa.nulls(0, IMAGE_REF)
    shards, rows = located(sizes, images)
    index = gather(pool.paths("distinct_images"), shards, rows, ["sample_row", "position"])
    samples = gather(pool.paths("samples"), shards, index["sample_row"].to_numpy(), ["images"])["images"]
    lists = samples.combine_chunks()
    at = lists.offsets.to_numpy()[:-1] + index["position"].to_numpy()
    return lists.values.take(pa.array(at))


@dataclass(frozen=True)
class TwoPictures:
    """The pictures of a pair, the right one mirrored where that is asked; None for what cannot be decoded."""

    row: dict[str, Any]
    left: Image.Image | None
    right: Image.Image | None


@dataclass(frozen=True)
class SuspectImages:
    """Source: pairs of `suspects`, each picture of a batch decoded once."""

    max_pixels: int

    inputs: ClassVar[tuple[Input, ...]] = (Aligned("suspects"),)

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        yield from side_by_side(task, {"suspects": None}, LOOKED_AT_ONCE)

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[TwoPictures]:
        pairs = rows.to_pylist()
        refs = {row[side]: row[f"{side}_image"] for row in pairs for side in ("left", "right")}
        numbers = sorted(refs)
        data = fetch([refs[number] for number in numbers])
        images = {
            number: self._decoded(refs[number], each) for number, each in zip(numbers, data, strict=True)
        }
        for row in pairs:
            yield TwoPictures(row, images[row["left"]], _turned(images[row["right"]], flipped=row["flipped"]))

    def _decoded(self, ref: dict[str, Any], data: bytes | BadImage) -> Image.Image | None:
        try:
            return to_rgb(decode(as_ingested(ref, data), max_pixels=self.max_pixels))
        except BadImage:
            return None

    def failed(self, piece: TwoPictures, error: Exception) -> TwoPictures:
        """Pictures on which the look raised are no copies."""
        return TwoPictures(piece.row, None, None)


def _turned(image: Image.Image | None, *, flipped: bool) -> Image.Image | None:
    from PIL import ImageOps

    return ImageOps.mirror(image) if flipped and image is not None else image


@dataclass(frozen=True)
class LookAgain:
    """`looks`: what is seen when one picture of a pair lies on the other; see `scorers.second_look`."""

    source: SuspectImages

    name: ClassVar[str] = "looks"
    version: ClassVar[int] = 1
    writes: ClassVar[pa.Schema] = LOOKS

    def params(self) -> dict[str, Any]:
        return {"max_pixels": self.source.max_pixels}

    def prepare(self, piece: TwoPictures) -> dict[str, Any]:
        row = {name: piece.row[name] for name in ("left", "right", "flipped")}
        if piece.left is None or piece.right is None:
            return row
        seen = look(piece.left, piece.right)
        oddness = seen.oddness if np.isfinite(seen.oddness) else None
        return {**row, "correlation": seen.correlation, "cover": seen.cover, "oddness": oddness}

    def finish(self, rows: pa.RecordBatch, prepared: list[dict[str, Any]]) -> pa.RecordBatch:
        return pa.RecordBatch.from_pylist(prepared, schema=LOOKS)
