"""Pairs of samples that may be copies, and the pairs of pictures that must be for them to be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clustering.runs import runs
from curation.steps.prune.perceptual import Shown, bytes_of, numbered
from curation.storage.ids import positions
from schemas.stages import Pool

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

FINE_HASHES, FINE = ("phash256", "phash256_inner"), 24  # bits of 256


@dataclass(frozen=True)
class SamplePairs:
    """Pairs of samples that may be copies, by their positions in the pool, and whether one is mirrored."""

    left: Ints
    right: Ints
    flipped: Flags

    @classmethod
    def near(
        cls, pool: Pool, pairs: pa.Table, eps: float, text_eps: float | None
    ) -> tuple[SamplePairs, Ints]:
        """Of rows of `neighbours` those within `eps`, and which they are: (m,).

        Given `text_eps`, those that say the same: with equal words (case, space and punctuation aside), or
        with texts so near and the same telling words (`scorers.wording.telling`).
        """
        at = np.flatnonzero(pairs["similarity"].to_numpy() >= np.float32(1 - eps))
        checked = pool.read("checked", ["uid", "words_hash", "telling_hash"])
        left, right = (positions(pairs[name], checked["uid"])[at] for name in ("uid", "other"))
        if text_eps is not None:
            near = pairs["text"].fill_null(1).to_numpy()[at] >= np.float32(1 - text_eps)
            same = _equal(checked, "words_hash", left, right)
            same |= near & _equal(checked, "telling_hash", left, right)
            left, right, at = left[same], right[same], at[same]
        return cls(left, right, np.zeros(len(at), bool)), at

    @classmethod
    def alike(cls, pool: Pool, pairs: pa.Table) -> SamplePairs:
        """The rows of `look_alikes`."""
        uid = pool.read("checked", ["uid"])["uid"]
        left, right = (positions(pairs[name], uid) for name in ("left", "right"))
        return cls(left, right, pairs["flipped"].to_numpy())

    def oddness(self, pool: Pool) -> NDArray[np.float32]:
        """(m,) The greatest oddness of each pair's pictures: 0 where all are equal, inf where they part."""
        images = self.images(pool)
        looks = pool.read("looks", ["left", "right", "flipped", "oddness"])
        known = pair_numbers(*(looks[name].to_numpy() for name in ("left", "right", "flipped")))
        found = np.zeros(len(self.left), np.float32)
        if len(images.pair):
            odd = dict(zip(known.tolist(), looks["oddness"].fill_null(np.inf).to_pylist(), strict=True))
            # What was not worth a look is no copy either.
            seen = [odd.get(number, np.inf) for number in images.numbers.tolist()]
            np.maximum.at(found, images.pair, np.asarray(seen, np.float32))
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

        Of copies that are not cut 95 % have hashes of 256 bits within FINE, of the whole or of the inside;
        of the other pictures that look alike in 64 bits, most have not.
        """
        has_text = pool.read("checked", ["words_hash"])["words_hash"].is_valid().to_numpy()
        told = has_text[pairs.left[self.pair]] & by_text
        images = pool.read("images", list(FINE_HASHES))
        near = told | self.flipped
        for name in FINE_HASHES:
            codes = bytes_of(images[name], 32)
            near |= np.bitwise_count(codes[self.left] ^ codes[self.right]).sum(axis=1) <= FINE
        return ImagePairs(self.pair[near], self.left[near], self.right[near], self.flipped[near])

    @property
    def numbers(self) -> Ints:
        """(n,) one for each pair of pictures."""
        return pair_numbers(self.left, self.right, self.flipped)


def pair_numbers(left: Ints, right: Ints, flipped: Flags) -> Ints:
    """One number for each pair: 31 bits of either picture, and one for the mirror."""
    return left << 32 | right << 1 | flipped
