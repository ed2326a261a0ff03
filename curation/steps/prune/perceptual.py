"""Decide which samples show pictures that look the same: perceptual hashes, no text, no vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clustering.hamming import collapse, near_tuples
from clustering.runs import runs
from curation.storage.ids import first_equal, mixed
from curation.storage.rows import places
from schemas.stages import Output, Pool

Ints = NDArray[np.int64]
Codes = NDArray[np.uint8]
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
# Hashes of 64 bits that are held against each other besides: of pictures in two frames, of one that was
# framed and may have a margin of its own, of one that was cut at its sides, of one cut and one framed.
VIEWS = (
    ("phash_inner", "phash_inner"),
    ("phash", "phash_unframed"),
    ("phash", "phash_inner"),
    ("phash", "phash_centre"),
    ("phash", "phash_core"),
    ("phash", "phash_inner_centre"),
)
TELLING = ("phash", "contrast", "border", "error")
# As `curation.steps.select.filters.DEFAULTS`: under it an image is one tone, its hash that of rounding
# errors.
LEAST_CONTRAST = 0.01
# A median sets 32 of 64 bits. Where far fewer are set most coefficients are equal: the image varies in one
# direction alone, and all such images have hashes that differ in 8 bits at most.
LEAST_SET = 24
# Where the texts are equal and a second look decides, some of these are worth it.
LEAST_SET_WITH_TEXT = 12
# Of more tuples whose hashes are equal not all pairs are looked at.
CROWD = 8


@dataclass(frozen=True)
class LookAlikes:
    """`look_alikes`: pairs of samples whose images, one by one in order, are near by a hash.

    Two samples are compared if they have equally many images, one at least, and all are telling (`telling`).
    Each tuple of images counts once, as the first sample that shows it: samples with the very same images,
    such as many questions about one, are no pairs here. Where `by_text`, each tuple counts once with each
    text, and only tuples with one text (case, space and punctuation aside) are pairs.

    Images are near by the hash of the whole, by that inside their borders, or where one is near what the
    other's frame holds, or its middle (VIEWS); `bits` is the least of these. Mirrored pictures have a hash of
    64 bits only: `flipped` pairs are those within `radius` * 64 / `bits` by it that are not near as they are.
    """

    radius: int  # bits
    bits: int = 64
    flip: bool = False
    by_text: bool = False
    textless: int | None = None  # bits for samples without a text, of which nothing else tells; None: radius

    name: ClassVar[str] = "look_alikes"
    version: ClassVar[int] = 6
    reads: ClassVar[tuple[str, ...]] = ("checked", "image_places", "images")
    writes: ClassVar[dict[str, pa.Schema]] = {"look_alikes": LOOK_ALIKES}

    def __post_init__(self) -> None:
        if self.bits not in HASHES:
            raise ValueError(f"hashes have {' or '.join(map(str, HASHES))} bits, not {self.bits}")

    def params(self) -> dict[str, Any]:
        return dict(vars(self))

    def run(self, pool: Pool) -> Iterator[Output]:
        whole = HASHES[self.bits]
        named = [name for pair in VIEWS for name in pair]
        images = pool.read("images", list(dict.fromkeys([*TELLING, whole, *named, "phash_flip"])))
        checked = pool.read("checked", ["uid", "words_hash", "error"])
        told = telling(images)
        shows = telling(images, LEAST_SET_WITH_TEXT) if self.by_text else told
        samples = Shown.of(pool, checked["error"].is_null().to_numpy(), shows)
        texts = numbered(checked["words_hash"]) if self.by_text else np.zeros(len(checked), np.int64)
        codes = {name: bytes_of(images[name], 8) for name in {*named, "phash", "phash_flip"}}
        codes[whole] = bytes_of(images[whole], self.bits // 8)
        rows, turned = [_none()], [_none()]
        has_text = checked["words_hash"].is_valid().to_numpy()
        for sample, shown, text, radius in self._groups(samples, texts, has_text, told):
            near = _near(codes, shown, text, whole, radius, radius * 64 // self.bits)
            rows.append((sample[near[0]], sample[near[1]], near[2]))
            if self.flip:
                sides = _with_text(codes["phash"][shown], text), _with_text(codes["phash_flip"][shown], text)
                flipped = _once([_expanded(*sides, radius * 64 // self.bits)], len(shown), near)
                turned.append((sample[flipped[0]], sample[flipped[1]], flipped[2]))
        left, right, bits = (np.concatenate(column) for column in zip(*rows, *turned, strict=True))
        flipped_rows = np.arange(len(left)) >= sum(len(each[0]) for each in rows)
        order = np.lexsort((right, left))
        uid = checked["uid"].combine_chunks()
        columns = [
            uid.take(pa.array(left[order])),
            uid.take(pa.array(right[order])),
            pa.array(bits[order], pa.int32()),
            pa.array(flipped_rows[order]),
        ]
        yield Output("look_alikes", pa.record_batch(columns, schema=LOOK_ALIKES))

    def _groups(
        self, samples: Shown, texts: Ints, has_text: NDArray[np.bool_], told: NDArray[np.bool_]
    ) -> Iterator[tuple[Ints, Ints, Ints, int]]:
        """What `Shown.by_length` yields, with the radius that it is compared in."""
        for sample, shown, text in samples.by_length(texts):
            if self.textless is None:
                yield sample, shown, text, self.radius
                continue
            alone = ~has_text[sample] & told[shown].all(axis=1)
            for kind, radius in ((has_text[sample], self.radius), (alone, self.textless)):
                if kind.any():
                    yield sample[kind], shown[kind], text[kind], radius


def telling(images: pa.Table, least_set: int = LEAST_SET) -> NDArray[np.bool_]:
    """(n,) Whether the hash of each of `images` (rows of that table, TELLING at least) says what it shows.

    It does not where there is none, and of blank images and those that vary in one direction alone: what
    they share is that they show nothing.
    """
    contrast, border = (images[name].fill_null(0).to_numpy() for name in ("contrast", "border"))
    n_set = np.bitwise_count(bytes_of(images["phash"], 8)).sum(axis=1)
    readable = images["error"].is_null().to_numpy()
    found: NDArray[np.bool_] = readable & (contrast > LEAST_CONTRAST) & (border < 1) & (n_set >= least_set)
    return found


def bytes_of(column: pa.ChunkedArray, width: int) -> Codes:
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
    def of(cls, pool: Pool, readable: NDArray[np.bool_], telling: NDArray[np.bool_] | None = None) -> Shown:
        """Those that are `readable` and show images, all of them `telling` where that is given."""
        offsets, shards, rows = places(pool.read("image_places", ["places"])["places"].combine_chunks())
        sizes = [shard.rows for shard in pool.manifest("images").shards]
        image = (np.cumsum([0, *sizes])[shards] + rows).astype(np.int64)
        count = np.diff(offsets)
        shows = readable & (count > 0)
        if telling is not None:
            n_telling = np.concatenate([[0], np.cumsum(telling[image])])
            shows &= np.diff(n_telling[offsets]) == count
        kept = np.flatnonzero(shows)
        return cls(kept, offsets[kept], count[kept], image)

    def by_length(self, texts: Ints) -> Iterator[tuple[Ints, Ints, Ints]]:
        """For each number of images k the first samples of distinct tuples with a text.

        `texts` has a number for the text of each sample of the pool. Yields these samples (t,), the images
        of each (t, k), and its text (t,).
        """
        for k in np.unique(self.count):
            alike = np.flatnonzero(self.count == k)
            images = self.image[self.offsets[alike][:, None] + np.arange(k)]
            text = texts[self.sample[alike]]
            first, _ = collapse(np.concatenate([images, text[:, None]], axis=1).view(np.uint8))
            if len(first):
                yield self.sample[alike[first]], images[first], text[first]


def numbered(hashes: pa.ChunkedArray) -> Ints:
    """(n,) one number for equal hashes of 16 bytes; null equals null."""
    return first_equal([hashes.fill_null(pa.scalar(bytes(16), pa.binary(16)))])


def _near(
    codes: dict[str, Codes], shown: Ints, text: Ints, whole: str, radius: int, inner_radius: int
) -> Rows:
    """Pairs of the tuples `shown` (t, k) that are near by some view and have one text (t,)."""
    whole_codes = _with_text(codes[whole][shown], text)
    found = [_expanded(whole_codes, whole_codes, radius)]
    for one, other in VIEWS:
        sides = _with_text(codes[one][shown], text), _with_text(codes[other][shown], text)
        found.append(_expanded(*sides, inner_radius))
    return _once(found, len(shown))


def _with_text(codes: Codes, text: Ints) -> Codes:
    """(t, k, bytes) codes, each with its text (t,) mixed to 64 bits: of other texts they are far apart."""
    if (text == text[:1]).all():
        return codes  # tables are of no use where half of each code is equal
    bits = mixed(text.astype(np.uint64)).view(np.uint8).reshape(len(text), 1, 8)
    return np.concatenate([codes, np.broadcast_to(bits, (*codes.shape[:2], 8))], axis=2)


def _expanded(codes: Codes, others: Codes, radius: int) -> Rows:
    """Pairs of tuples within a radius: row of `codes`, row of `others`, bits.

    A row is paired with the first CROWD of equal others, and with the next CROWD that are equal to it.
    """
    (first, group), (other_first, other_group) = (
        collapse(side.reshape(len(side), -1)) for side in (codes, others)
    )
    one, two, bits = near_tuples(codes[first], radius, others[other_first])
    sizes, crowd = np.bincount(group), np.minimum(np.bincount(other_group), CROWD)
    rows, other_rows = (np.argsort(each, kind="stable") for each in (group, other_group))
    starts, other_starts = (np.cumsum(n) - n for n in (sizes, np.bincount(other_group)))
    pair = np.repeat(np.arange(len(one)), sizes[one])
    left, right = rows[runs(starts[one], sizes[one])], two[pair]
    times = crowd[right]
    found = np.repeat(left, times), other_rows[runs(other_starts[right], times)], np.repeat(bits[pair], times)
    after = [_after(rows, group[rows], step) for step in range(1, CROWD + 1)]
    one, two, bits = (np.concatenate(column) for column in zip(found, *after, strict=True))
    return one, two, bits


def _after(rows: Ints, group: Ints, step: int) -> Rows:
    """Rows of one group that stand so many places apart; `group` is that of each, sorted."""
    equal = np.flatnonzero(group[:-step] == group[step:])
    return rows[equal], rows[equal + step], np.zeros(len(equal), np.int32)


def _once(found: list[Rows], n: int, known: Rows | None = None) -> Rows:
    """Each pair of n rows once, the lower one left, with its fewest bits; not with itself, nor `known`."""
    one, two, bits = (np.concatenate(column) for column in zip(*found, strict=True))
    left, right = np.minimum(one, two), np.maximum(one, two)
    order = np.lexsort((bits, right, left))
    order = order[left[order] < right[order]]
    pair = left * n + right
    order = order[np.flatnonzero(np.diff(pair[order], prepend=-1))]
    if known is not None:
        order = order[~np.isin(pair[order], known[0] * n + known[1])]
    return left[order], right[order], bits[order]


def _none() -> Rows:
    return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int32)
