"""A second look at what may be a copy: which pairs of pictures, and what is seen of one on the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from curation.readers.images import fetch, picture_of
from curation.steps.prune.pairs import (
    CLOSEST,
    PAIR_COLUMNS,
    Ints,
    SamplePairs,
    image_refs,
    least_similarity,
    numbers_of,
)
from curation.storage.rows import side_by_side
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
class Suspect(ABC):
    """The pairs of pictures to look at again, each once, with where their files are.

    Shard n holds the pairs whose left picture is in shard n of `images`.
    """

    by_text: bool  # whether samples with other texts differ

    name: ClassVar[str]
    version: ClassVar[int] = 4
    alike: ClassVar[str] = "images"

    @property
    def writes(self) -> dict[str, pa.Schema]:
        return {self.name: SUSPECTS}

    @property
    def reads(self) -> tuple[str, ...]:
        return ("checked", "image_places", "images", "distinct_images", "samples")

    def params(self) -> dict[str, Any]:
        return dict(vars(self))

    @abstractmethod
    def proposed(self, pool: Pool) -> SamplePairs:
        """The pairs of samples that they are the pictures of."""

    def known(self, pool: Pool) -> Ints:
        """The numbers of pairs that are looked at elsewhere."""
        return np.zeros(0, np.int64)

    def run(self, pool: Pool) -> Iterator[Output]:
        pairs = self.proposed(pool)
        found = pairs.images(pool).worth_a_look(pool, pairs, by_text=self.by_text)
        numbers = np.setdiff1d(found.numbers, self.known(pool))
        left, right, flipped = numbers >> 32, numbers >> 1 & (1 << 31) - 1, (numbers & 1).astype(bool)
        sizes = [shard.rows for shard in pool.manifest("images").shards]
        starts = np.searchsorted(left, np.cumsum([0, *sizes]))
        for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            part = slice(start, end)
            columns = [
                pa.array(left[part]),
                pa.array(right[part]),
                pa.array(flipped[part]),
                *(image_refs(pool, sizes, side[part]) for side in (left, right)),
            ]
            yield Output(self.name, pa.record_batch(columns, schema=SUSPECTS))


@dataclass(frozen=True)
class SuspectByHash(Suspect):
    """`suspects`: of samples whose pictures look alike by their hashes."""

    name: ClassVar[str] = "suspects"

    @property
    def reads(self) -> tuple[str, ...]:
        return (*super().reads, "look_alikes")

    def proposed(self, pool: Pool) -> SamplePairs:
        return SamplePairs.alike(pool, pool.read("look_alikes"))


@dataclass(frozen=True)
class SuspectByCosine(Suspect):
    """`near_suspects`: of samples that say the same and are near by cosine; not those in `suspects`.

    Where eps is measured and no text tells, the CLOSEST most similar of each are near.
    """

    eps: float | None  # None: as measured in each group, see `MeasureEps`
    text_eps: float
    by_hash: bool  # whether there are `suspects`

    name: ClassVar[str] = "near_suspects"

    @property
    def reads(self) -> tuple[str, ...]:
        measured = ("copy_eps", "nearest", "centroids") if self.eps is None else ()
        return (*super().reads, "neighbours", *measured, *(("suspects",) if self.by_hash else ()))

    def proposed(self, pool: Pool) -> SamplePairs:
        lists = pool.read("neighbours", ["uid", "other", "similarity", "text"])
        text_eps = self.text_eps if self.by_text else None
        closest = CLOSEST if self.eps is None else 0
        return SamplePairs.near(pool, lists, least_similarity(pool, self.eps), text_eps, closest)[0]

    def known(self, pool: Pool) -> Ints:
        if not self.by_hash:
            return super().known(pool)
        return numbers_of(pool.read("suspects", list(PAIR_COLUMNS)))


@dataclass(frozen=True)
class TwoPictures:
    """The pictures of a pair, the right one mirrored where that is asked; None for what cannot be decoded."""

    row: dict[str, Any]
    left: Image.Image | None
    right: Image.Image | None


@dataclass(frozen=True)
class SuspectImages:
    """Source: pairs of `table`, each picture of a batch decoded once."""

    table: str
    max_pixels: int

    @property
    def inputs(self) -> tuple[Input, ...]:
        return (Aligned(self.table),)

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        yield from side_by_side(task, {self.table: None}, LOOKED_AT_ONCE)

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[TwoPictures]:
        pairs = rows.to_pylist()
        refs = {row[side]: row[f"{side}_image"] for row in pairs for side in ("left", "right")}
        numbers = sorted(refs)
        data = fetch([refs[number] for number in numbers])
        images = {
            number: picture_of(refs[number], each, max_pixels=self.max_pixels)
            for number, each in zip(numbers, data, strict=True)
        }
        for row in pairs:
            yield TwoPictures(row, images[row["left"]], _turned(images[row["right"]], flipped=row["flipped"]))

    def failed(self, piece: TwoPictures, error: Exception) -> TwoPictures:
        """Pictures on which the look raised are no copies."""
        return TwoPictures(piece.row, None, None)


def _turned(image: Image.Image | None, *, flipped: bool) -> Image.Image | None:
    from PIL import ImageOps

    return ImageOps.mirror(image) if flipped and image is not None else image


@dataclass(frozen=True)
class LookAgain:
    """`looks`, `near_looks`: what is seen of a pair, one picture on the other (`scorers.second_look`)."""

    source: SuspectImages
    name: str

    version: ClassVar[int] = 4
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
