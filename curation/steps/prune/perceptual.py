"""Decide which samples show pictures that look the same: perceptual hashes, no text, no vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clustering.hamming import collapse, near_tuples
from curation.storage.ids import first_equal
from curation.storage.rows import places
from schemas.stages import Output, Pool

Ints = NDArray[np.int64]
Rows = tuple[Ints, Ints, NDArray[np.int32]]  # left, right, bits

LOOK_ALIKES = pa.schema(
    [
        pa.field("left", pa.binary(16), nullable=False),  # the earlier one in the pool
        pa.field("right", pa.binary(16), nullable=False),
        pa.field("bits", pa.int32(), nullable=False),  # the largest distance over the images, in order
        pa.field("flipped", pa.bool_(), nullable=False),  # near only where one is mirrored
    ]
)
HASHES = {64: "phash", 256: "phash256"}
TELLING = ("phash", "contrast", "border", "error")
# As `curation.steps.select.filters.DEFAULTS`: under it an image is one tone, its hash that of rounding
# errors.
LEAST_CONTRAST = 0.01
# A median sets 32 of 64 bits. Where far fewer are set most coefficients are equal: the image varies in one
# direction alone, and all such images have hashes that differ in 8 bits at most.
LEAST_SET = 24


@dataclass(frozen=True)
class LookAlikes:
    """`look_alikes`: pairs of samples whose images, one by one in order, are near by their hash.

    Two samples are compared if they have equally many images, one at least, and all are telling (`telling`).
    Each tuple of images counts once, as the first sample that shows it: samples with the very same images,
    such as many questions about one, are no pairs here. Of tuples with equal hashes each is paired with the
    first (bits 0), and that first one alone with other hashes; so n such tuples make n - 1 rows.

    Where `by_text`, only tuples count that some sample shows with a text that another tuple is shown with, as
    only samples with equal texts will be duplicates: of a pool whose texts differ they are few.

    Mirrored pictures have a hash of 64 bits only: `flipped` pairs are those within `radius` * 64 / `bits` by
    it that are not near as they are.
    """

    radius: int  # bits
    bits: int = 64
    flip: bool = False
    by_text: bool = False

    name: ClassVar[str] = "look_alikes"
    version: ClassVar[int] = 3
    reads: ClassVar[tuple[str, ...]] = ("checked", "image_places", "images")
    writes: ClassVar[dict[str, pa.Schema]] = {"look_alikes": LOOK_ALIKES}

    def __post_init__(self) -> None:
        if self.bits not in HASHES:
            raise ValueError(f"hashes have {' or '.join(map(str, HASHES))} bits, not {self.bits}")

    def params(self) -> dict[str, Any]:
        return dict(vars(self))

    def run(self, pool: Pool) -> Iterator[Output]:
        name = HASHES[self.bits]
        images = pool.read("images", list(dict.fromkeys([*TELLING, name, "phash_flip"])))
        checked = pool.read("checked", ["uid", "text_hash", "error"])
        samples = Shown.of(pool, checked["error"].is_null().to_numpy(), telling(images))
        codes, mirrored = bytes_of(images[name], self.bits // 8), bytes_of(images["phash_flip"], 8)
        single = codes if self.bits == 64 else bytes_of(images["phash"], 8)
        rows = [_none()]
        flipped = [np.zeros(0, bool)]
        texts = text_numbers(checked["text_hash"]) if self.by_text else None
        for sample, shown in samples.by_length(texts):
            first, group = collapse(codes[shown].reshape(len(shown), -1))
            alike = _alike(codes[shown], first, group, self.radius)
            rows.append((sample[alike[0]], sample[alike[1]], alike[2]))
            flipped.append(np.zeros(len(alike[0]), bool))
            if self.flip:
                turned = _mirrored(
                    single[shown], mirrored[shown], first, self.radius * 64 // self.bits, alike
                )
                rows.append((sample[turned[0]], sample[turned[1]], turned[2]))
                flipped.append(np.ones(len(turned[0]), bool))
        left, right, bits = (np.concatenate(column) for column in zip(*rows, strict=True))
        order = np.lexsort((right, left))
        uid = checked["uid"].combine_chunks()
        columns = [
            uid.take(pa.array(left[order])),
            uid.take(pa.array(right[order])),
            pa.array(bits[order], pa.int32()),
            pa.array(np.concatenate(flipped)[order]),
        ]
        yield Output("look_alikes", pa.record_batch(columns, schema=LOOK_ALIKES))


def telling(images: pa.Table) -> NDArray[np.bool_]:
    """(n,) Whether the hash of each of `images` (rows of that table, TELLING at least) says what it shows.

    It does not where there is none, and of blank images and those that vary in one direction alone: what
    they share is that they show nothing.
    """
    contrast, border = (images[name].fill_null(0).to_numpy() for name in ("contrast", "border"))
    n_set = np.bitwise_count(bytes_of(images["phash"], 8)).sum(axis=1)
    readable = images["error"].is_null().to_numpy()
    found: NDArray[np.bool_] = readable & (contrast > LEAST_CONTRAST) & (border < 1) & (n_set >= LEAST_SET)
    return found


def bytes_of(column: pa.ChunkedArray, width: int) -> NDArray[np.uint8]:
    """A column of binary values as (n, width) bytes, zeros for null."""
    filled = column.fill_null(pa.scalar(bytes(width), pa.binary(width))).combine_chunks()
    data = np.frombuffer(filled.buffers()[1] or b"", np.uint8)
    return data[filled.offset * width : (filled.offset + len(filled)) * width].reshape(-1, width)


@dataclass(frozen=True)
class Shown:
    """The samples that can be compared, and their images as rows of the whole table `images`."""

    sample: Ints  # (n,) positions in the pool
    offsets: Ints  # (n,) where its images begin in `image`
    count: Ints  # (n,)
    image: Ints

    @classmethod
    def of(cls, pool: Pool, readable: NDArray[np.bool_], telling: NDArray[np.bool_]) -> Shown:
        offsets, shards, rows = places(pool.read("image_places", ["places"])["places"].combine_chunks())
        sizes = [shard.rows for shard in pool.manifest("images").shards]
        image = (np.cumsum([0, *sizes])[shards] + rows).astype(np.int64)
        n_telling = np.concatenate([[0], np.cumsum(telling[image])])
        count = np.diff(offsets)
        kept = np.flatnonzero(readable & (count > 0) & (np.diff(n_telling[offsets]) == count))
        return cls(kept, offsets[kept], count[kept], image)

    def by_length(self, texts: Ints | None) -> Iterator[tuple[Ints, Ints]]:
        """For each number of images k: the first samples of distinct tuples (t,), and these (t, k).

        Given the text of each sample of the pool, only tuples that share one with another.
        """
        for k in np.unique(self.count):
            alike = np.flatnonzero(self.count == k)
            images = self.image[self.offsets[alike][:, None] + np.arange(k)]
            first, shown = collapse(images.view(np.uint8))
            if texts is not None:
                first = first[_sharing(shown, texts[self.sample[alike]])]
            if len(first):
                yield self.sample[alike[first]], images[first]


def text_numbers(text_hash: pa.ChunkedArray) -> Ints:
    """(n,) a number for each text; samples without one have the same."""
    return first_equal([text_hash.fill_null(pa.scalar(bytes(16), pa.binary(16)))])


def _sharing(shown: Ints, text: Ints) -> Ints:
    """Which of the values of `shown` have a text that another value has: (n,) and (n,) -> (s,), ascending."""
    pairs = np.unique(np.stack([text, shown], axis=1), axis=0)
    _, at, count = np.unique(pairs[:, 0], return_inverse=True, return_counts=True)
    found: Ints = np.unique(pairs[count[at] > 1, 1])
    return found


def _alike(codes: NDArray[np.uint8], first: Ints, group: Ints, radius: int) -> Rows:
    """Pairs of tuples of hashes, (t, k, bytes), which collapse so: stars of equal ones, and other pairs."""
    rest = np.flatnonzero(first[group] != np.arange(len(group)))
    left, right, bits = near_tuples(codes[first], radius)
    return (
        np.concatenate([first[group[rest]], first[left]]),
        np.concatenate([rest, first[right]]),
        np.concatenate([np.zeros(len(rest), np.int32), bits]),
    )


def _mirrored(
    codes: NDArray[np.uint8], mirrored: NDArray[np.uint8], first: Ints, radius: int, alike: Rows
) -> Rows:
    """Pairs of tuples of which one is near the other's mirror image, and that are not `alike` anyway.

    Of tuples that are equal there, only the `first` are looked at.
    """
    one, two, bits = near_tuples(codes[first], radius, mirrored[first])
    one, two = first[one], first[two]
    left, right = np.minimum(one, two), np.maximum(one, two)
    # A picture is near its own mirror image where it is symmetric; a pair is found from both of its ends.
    order = np.lexsort((bits, right, left))
    order = order[left[order] < right[order]]
    pair = left * len(codes) + right
    order = order[np.flatnonzero(np.diff(pair[order], prepend=-1))]
    order = order[~np.isin(pair[order], alike[0] * len(codes) + alike[1])]
    return left[order], right[order], bits[order]


def _none() -> Rows:
    return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int32)
