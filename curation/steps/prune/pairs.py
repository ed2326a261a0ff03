"""Pairs of samples that may be copies, and the pairs of pictures that must be for them to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clustering.runs import begins_run, place_in_run, runs
from curation.steps.prune.perceptual import VIEWS, Shown, bytes_of, numbered
from curation.storage.ids import positions
from curation.storage.rows import gather, located
from schemas.columns import IMAGE_REF
from schemas.stages import Pool

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

FINE = 24  # bits of 256
CLOSEST = 2  # others that each sample or picture is looked at with in any case, where no text tells
EPS = 0.08  # where nothing can be measured: of texts, and of vectors
PAIR_COLUMNS = ("left", "right", "flipped")  # of tables with a row a pair of pictures
MOST_ODD = 1.0  # of two pictures that are copies; see `scorers.second_look.Look`


@dataclass(frozen=True)
class SamplePairs:
    """Pairs of samples that may be copies, by their positions in the pool, and whether one is mirrored.

    `closest` are those of which one has hardly any other as near: they are worth a look however far that is.
    """

    left: Ints
    right: Ints
    flipped: Flags
    closest: Flags

    @classmethod
    def near(
        cls,
        pool: Pool,
        pairs: pa.Table,
        least: NDArray[np.float32],
        text_eps: float | None,
        closest: int = 0,
    ) -> tuple[SamplePairs, Ints]:
        """Of rows of `neighbours` those that are similar enough, and which they are: (m,).

        `least` is (n,) how similar another sample must be to each of the pool; both of a pair must agree.
        Where no text tells, the `closest` most similar of each sample are, too.
        Given `text_eps`, those that say the same: with equal words (case, space and punctuation aside), or
        with texts so near and the same telling words (`scorers.wording.telling`).
        """
        checked = pool.read("checked", ["uid", "words_hash", "telling_hash"])
        left, right = (positions(pairs[name], checked["uid"]) for name in ("uid", "other"))
        similarity = pairs["similarity"].to_numpy()
        told = checked["words_hash"].is_valid().to_numpy()[left] & (text_eps is not None)
        nearest = ~told & closest_of(left, right, -similarity, closest)
        at = np.flatnonzero(nearest | (similarity >= np.maximum(least[left], least[right])))
        left, right = left[at], right[at]
        if text_eps is not None:
            near = pairs["text"].fill_null(1).to_numpy()[at] >= np.float32(1 - text_eps)
            same = _equal(checked, "words_hash", left, right)
            same |= near & _equal(checked, "telling_hash", left, right)
            left, right, at = left[same], right[same], at[same]
        return cls(left, right, np.zeros(len(at), bool), nearest[at]), at

    @classmethod
    def alike(cls, pool: Pool, pairs: pa.Table) -> SamplePairs:
        """The rows of `look_alikes`."""
        uid = pool.read("checked", ["uid"])["uid"]
        left, right = (positions(pairs[name], uid) for name in ("left", "right"))
        return cls(left, right, pairs["flipped"].to_numpy(), np.zeros(len(left), bool))

    def oddness(self, pool: Pool, tables: Sequence[str]) -> NDArray[np.float32]:
        """(m,) The greatest oddness of each pair's pictures: 0 where all are equal, inf where they part.

        `tables` are those that say what was seen of a pair of pictures.
        """
        images = self.images(pool)
        found = np.zeros(len(self.left), np.float32)
        if len(images.pair):
            looks = [pool.read(table, [*PAIR_COLUMNS, "oddness"]) for table in tables]
            known = np.concatenate([np.zeros(0, np.int64), *map(numbers_of, looks)])
            odd = np.concatenate(
                [np.zeros(0, np.float32), *(each["oddness"].fill_null(np.inf).to_numpy() for each in looks)]
            )
            order = np.argsort(known)
            # What was not worth a look is no copy either: behind all that are known lies one at infinity.
            at = np.searchsorted(known, images.numbers, sorter=order)
            at = np.append(order, len(known))[at]
            same = np.append(known, -1)[at] == images.numbers
            seen = np.where(same, np.append(odd, np.float32(np.inf))[at], np.float32(np.inf))
            np.maximum.at(found, images.pair, seen)
        return found

    def images(self, pool: Pool) -> ImagePairs:
        """The pictures that must be copies for the samples to be: image by image, in order."""
        shown = Shown.of(pool, np.ones(pool.manifest("checked").rows, bool))
        at = np.full(pool.manifest("checked").rows, -1)
        at[shown.sample] = np.arange(len(shown.sample))
        left, right = at[self.left], at[self.right]
        pair = np.flatnonzero((left >= 0) & (right >= 0))
        count = shown.count[left[pair]]
        place = runs(np.zeros_like(count), count)
        pair = np.repeat(pair, count)
        one, two = (shown.image[shown.offsets[side[pair]] + place] for side in (left, right))
        pixels = numbered(pool.read("images", ["pixels_hash"])["pixels_hash"])
        flipped = self.flipped[pair]
        other = flipped | (pixels[one] != pixels[two])
        return ImagePairs(
            pair[other], np.minimum(one, two)[other], np.maximum(one, two)[other], flipped[other]
        )


def looks_of(*, by_look: bool, by_hash: bool, semantic: bool) -> tuple[str, ...]:
    """The tables of what was seen of pictures that may be copies."""
    return ("looks",) * by_hash + ("near_looks",) * semantic if by_look else ()


def _equal(checked: pa.Table, name: str, left: Ints, right: Ints) -> Flags:
    """Which pairs of samples have one hash; null, without text, equals null."""
    number = numbered(checked[name])
    equal: Flags = number[left] == number[right]
    return equal


@dataclass(frozen=True)
class ImagePairs:
    """Pairs of pictures that are not equal, and the pair of samples that each belongs to."""

    pair: Ints
    left: Ints
    right: Ints
    flipped: Flags

    def worth_a_look(self, pool: Pool, pairs: SamplePairs, *, by_text: bool) -> ImagePairs:
        """Without those whose finer hashes part, where samples have no text that tells them apart.

        Of copies 92 % have hashes of 256 bits within FINE by some view, but those that are cut at one side
        alone; of the other pictures that look alike in 64 bits, most have not. What is among the CLOSEST of
        either picture is looked at in any case.
        """
        has_text = pool.read("checked", ["words_hash"])["words_hash"].is_valid().to_numpy()
        told = has_text[pairs.left[self.pair]] & by_text
        bits = self._fine_bits(pool)
        near = told | self.flipped | pairs.closest[self.pair] | (bits <= FINE)
        alone = np.flatnonzero(~told & ~self.flipped)
        near[alone] |= closest_of(self.left[alone], self.right[alone], bits[alone], CLOSEST)
        return ImagePairs(self.pair[near], self.left[near], self.right[near], self.flipped[near])

    def _fine_bits(self, pool: Pool) -> NDArray[np.uint16]:
        """(n,) How many of 256 bits two pictures differ in: by the view in which they are nearest."""
        views = {(_fine(one), _fine(other)) for one, other in (("phash", "phash"), *VIEWS)}
        names = sorted({name for view in views for name in view})
        images = pool.read("images", names)
        codes = {name: bytes_of(images[name], 32) for name in names}
        bits = np.full(len(self.left), 256, np.uint16)
        for one, other in views | {view[::-1] for view in views}:
            apart = codes[one][self.left] ^ codes[other][self.right]
            np.minimum(bits, np.bitwise_count(apart).sum(axis=1, dtype=np.uint16), out=bits)
        return bits

    @property
    def numbers(self) -> Ints:
        """(n,) one for each pair of pictures."""
        return pair_numbers(self.left, self.right, self.flipped)


def _fine(name: str) -> str:
    """The hash of 256 bits of the same view as one of 64."""
    return name.replace("phash", "phash256")


def closest_of(left: Ints, right: Ints, distance: NDArray[Any], most: int) -> Flags:
    """(m,) Which pairs are among the `most` nearest of either side; ties go to the smaller number.

    A pair may stand there several times, either way round.
    """
    one, two = np.concatenate([left, right]), np.concatenate([right, left])
    order = np.lexsort((two, np.concatenate([distance, distance]), one))
    order = order[begins_run(one[order], two[order])]
    best = order[place_in_run(one[order]) < most] % max(len(left), 1)
    pair = np.minimum(left, right) << 32 | np.maximum(left, right)
    return np.isin(pair, pair[best])


def shows_pictures(pool: Pool) -> Flags:
    """(n,) Which samples have images."""
    shows: Flags = pool.read("checked", ["n_images"])["n_images"].fill_null(0).to_numpy() > 0
    return shows


def least_similarity(pool: Pool, eps: float | None) -> NDArray[np.float32]:
    """(n,) How similar another sample must be to be looked at: by `eps`, or by what each one's group has.

    Samples of text alone, of which no picture can be copied, have EPS.
    """
    if eps is not None:
        return np.full(pool.manifest("checked").rows, 1 - eps, np.float32)
    rows = pool.read("copy_eps", ["clusters", "eps"]).to_pylist()
    centroid = pool.read("nearest", ["centroid"])["centroid"]
    n = pool.manifest("centroids").rows
    least = np.full(n + 1, np.inf, np.float32)
    for row in rows:
        if row["eps"] is not None:
            least[row["clusters"]] = np.float32(1 - row["eps"])
    return np.where(shows_pictures(pool), least[centroid.fill_null(n).to_numpy()], np.float32(1 - EPS))


def image_refs(pool: Pool, sizes: list[int], images: Ints) -> pa.Array:
    """(n,) Where the files of rows of `images` are, whose shards have `sizes` rows."""
    if not len(images):
        return pa.nulls(0, IMAGE_REF)
    shards, rows = located(sizes, images)
    index = gather(pool.paths("distinct_images"), shards, rows, ["sample_row", "position"])
    samples = gather(pool.paths("samples"), shards, index["sample_row"].to_numpy(), ["images"])["images"]
    lists = samples.combine_chunks()
    at = lists.offsets.to_numpy()[:-1] + index["position"].to_numpy()
    return lists.values.take(pa.array(at))


def pair_numbers(left: Ints, right: Ints, flipped: Flags) -> Ints:
    """One number for each pair: 31 bits of either picture, and one for the mirror."""
    return left << 32 | right << 1 | flipped


def numbers_of(pairs: pa.Table) -> Ints:
    """(n,) those of the rows of a table with PAIR_COLUMNS."""
    return pair_numbers(*(pairs[name].to_numpy() for name in PAIR_COLUMNS))
