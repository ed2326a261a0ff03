"""How similar the encoder finds copies of the pool's own pictures: a bounded sample of them, copied here."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.generate.copies import COPIES
from curation.models.resolved import Model
from curation.readers.images import fetch, picture_of
from curation.steps.cluster.groups import group_of, groups_of_clusters
from curation.steps.prune.pairs import image_refs
from curation.steps.prune.perceptual import bytes_of
from curation.storage.ids import mixed
from curation.storage.rows import side_by_side
from schemas.columns import IMAGE_REF
from schemas.stages import Aligned, Input, Output, Pool, Task

if TYPE_CHECKING:
    from PIL import Image

# Column: which copy it is of. A re-encoded, a scaled, a cropped, a bordered and a brightened one.
KINDS = {
    "recompressed": "jpeg_40",
    "resized": "resized_0.5",
    "cropped": "cropped_10",
    "letterboxed": "letterboxed",
    "brightened": "brightened",
}
OF_A_GROUP = 4  # pictures, each copied in five ways; for a group with fewer all of the pool speak
FEWEST_COPIED = 64  # pictures of a pool: a share of their copies has a standard error of 0.06 at most
SIDE = 448  # px that a picture is scaled down to first: encoders see less than that
AT_ONCE = 32
GROUP = pa.field("group", pa.int32(), nullable=False)
SAMPLE = pa.schema([GROUP, pa.field("image", IMAGE_REF)])
# Cosine in [-1, 1] of the copy's vector to the picture's own; null where that cannot be read.
COSINES = pa.schema([GROUP, *(pa.field(kind, pa.float32()) for kind in KINDS)])


@dataclass(frozen=True)
class CopySample:
    """`copy_sample`: OF_A_GROUP pictures for each group, and FEWEST_COPIED at least while there are some.

    As many of each group while it has some, those with the smallest hashes. The group is that of the first
    sample that shows the picture; see `groups_of_clusters`.
    """

    name: ClassVar[str] = "copy_sample"
    version: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...]] = ("nearest", "centroids", "images", "distinct_images", "samples")
    writes: ClassVar[dict[str, pa.Schema]] = {"copy_sample": SAMPLE}

    def params(self) -> dict[str, Any]:
        return {"of_a_group": OF_A_GROUP, "fewest": FEWEST_COPIED}

    def run(self, pool: Pool) -> Iterator[Output]:
        groups = groups_of_clusters(pool)
        of_sample = []
        tables = (("distinct_images", ["sample_row"]), ("nearest", ["centroid"]))
        for index, nearest in zip(*(pool.iterate(*table) for table in tables), strict=True):
            of_sample.append(group_of(groups, nearest["centroid"].take(index["sample_row"])))
        group = np.concatenate(of_sample)
        images = pool.read("images", ["sha256", "error"])
        # The same in whatever pool.
        hashes = mixed(np.ascontiguousarray(bytes_of(images["sha256"], 32)[:, :8]).view("<u8")[:, 0])
        usable = images["error"].is_null().to_numpy() & (group >= 0)
        picked = _spread(group, hashes, usable)
        refs = image_refs(pool, [shard.rows for shard in pool.manifest("images").shards], picked)
        rows = pa.record_batch([pa.array(group[picked], pa.int32()), refs], schema=SAMPLE)
        yield Output("copy_sample", rows)


def _spread(
    group: NDArray[np.int32], hashes: NDArray[np.uint64], usable: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The rows to copy, in order: the first by hash of each group, then the second, and so on."""
    rows = np.flatnonzero(usable)
    rows = rows[np.lexsort((hashes[rows], group[rows]))]
    starts = np.flatnonzero(np.diff(group[rows], prepend=-1))
    rank = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
    n = max(OF_A_GROUP * len(starts), FEWEST_COPIED)
    return np.sort(rows[np.lexsort((hashes[rows], rank))][:n])


@dataclass(frozen=True)
class Sampled:
    """A row of `copy_sample`, and its picture; None where it cannot be decoded."""

    group: int
    image: Image.Image | None


@dataclass(frozen=True)
class SampledImages:
    """Source: the pictures of `copy_sample`, decoded one by one."""

    max_pixels: int

    inputs: ClassVar[tuple[Input, ...]] = (Aligned("copy_sample"),)

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        yield from side_by_side(task, {"copy_sample": None}, AT_ONCE)

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[Sampled]:
        refs = rows["image"].to_pylist()
        for group, ref, data in zip(rows["group"].to_pylist(), refs, fetch(refs), strict=True):
            yield Sampled(group, picture_of(ref, data, max_pixels=self.max_pixels))

    def failed(self, piece: Sampled, error: Exception) -> Sampled:
        """A picture that a copy cannot be made of says nothing."""
        return Sampled(piece.group, None)


@dataclass(frozen=True)
class CopyCosines:
    """`copy_cosines`: how similar a picture and each of its copies (KINDS) are to the encoder."""

    source: SampledImages
    model: Model
    batch: int

    name: ClassVar[str] = "copy_cosines"
    version: ClassVar[int] = 1
    writes: ClassVar[pa.Schema] = COSINES

    def params(self) -> dict[str, Any]:
        return {"model": self.model.key, "batch": self.batch, "max_pixels": self.source.max_pixels}

    def prepare(self, piece: Sampled) -> tuple[int, NDArray[np.uint8] | None]:
        """Its group, and the pixels of the picture and of its copies: (1 + kinds, 3, height, width)."""
        if piece.image is None:
            return piece.group, None
        picture = piece.image.copy()
        picture.thumbnail((SIDE, SIDE))
        shown = [picture, *(_copied(picture, COPIES[name]) for name in KINDS.values())]
        return piece.group, np.stack([self.model.encoder().preprocess(each) for each in shown])

    def finish(
        self, rows: pa.RecordBatch, prepared: list[tuple[int, NDArray[np.uint8] | None]]
    ) -> pa.RecordBatch:
        known = [row for row, (_, pixels) in enumerate(prepared) if pixels is not None]
        cosines = np.full((len(prepared), len(KINDS)), np.nan, np.float32)
        if known:
            stacked = np.concatenate([prepared[row][1] for row in known])
            vectors = self._encoded(stacked).reshape(len(known), 1 + len(KINDS), -1)
            cosines[known] = np.einsum("nkd,nd->nk", vectors[:, 1:], vectors[:, 0])
        groups = pa.array([group for group, _ in prepared], pa.int32())
        columns = [pa.array(column, pa.float32(), mask=np.isnan(column)) for column in cosines.T]
        return pa.record_batch([groups, *columns], schema=COSINES)

    def _encoded(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, d) unit vectors; batches always have one shape, as another may change the bits of a row."""
        encoder = self.model.encoder()
        whole = -(-len(pixels) // self.batch) * self.batch
        padded = np.concatenate([pixels, np.zeros((whole - len(pixels), *pixels.shape[1:]), np.uint8)])
        parts = [encoder.encode_images(padded[at : at + self.batch]) for at in range(0, whole, self.batch)]
        return np.concatenate([np.asarray(part, np.float32) for part in parts])[: len(pixels)]


def _copied(picture: Image.Image, copy: Any) -> Image.Image:
    from PIL import Image

    with Image.open(io.BytesIO(copy.of(picture))) as again:
        return again.convert("RGB")
