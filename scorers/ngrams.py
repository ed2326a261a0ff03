"""Word n-grams as numbers, and how much of one text another one repeats. Texts in, arrays out.

Texts are compared by their words alone: case, marks, white space and how a character is encoded do not count.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from scorers.quality.words import words

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

# Words of the shortest text that is compared: what is shorter recurs by chance.
LEAST_WORDS = 8
# An n-gram that more texts of a benchmark share is one of its templates (GPT-3, appendix C, has the number).
COMMON = 10
PLACEHOLDER = "<image>"
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no bit is lost


@dataclass(frozen=True)
class Text:
    """The words of some texts, one text after the other."""

    words: Hashes  # (w,)
    text: Ints  # (w,) which text each is of, ascending

    @classmethod
    def of(cls, texts: Sequence[str]) -> Text:
        """The words of each of `texts`, normalised."""
        found = [_words(text) for text in texts]
        counts = [len(of_text) for of_text in found]
        flat = np.fromiter((_hash(word) for of_text in found for word in of_text), np.uint64, sum(counts))
        return cls(flat, np.repeat(np.arange(len(found)), counts))

    def grams(self, n: int) -> tuple[Hashes, Ints]:
        """Every run of `n` words that lies in one text: its hash (m,), and the text (m,)."""
        m = len(self.words) - n + 1
        if m <= 0:
            return np.empty(0, np.uint64), np.empty(0, np.int64)
        hashes = np.full(m, n, np.uint64)
        for place in range(n):
            hashes = (hashes ^ self.words[place : place + m]) * _MULTIPLIER
            hashes ^= hashes >> np.uint64(29)
        inside = self.text[:m] == self.text[n - 1 :]
        return hashes[inside], self.text[:m][inside]


@dataclass(frozen=True)
class Phrases:
    """What tells the texts of a benchmark: their n-grams without those that many of them share."""

    lengths: tuple[int, ...]  # the n that occur
    grams: Hashes  # (g,) distinct, ascending
    starts: Ints  # (g + 1,) where the items of a gram begin in `items`
    items: Ints  # (m,) the items that hold each gram
    totals: Ints  # (k,) how many grams each item has; 0: it cannot be compared

    @classmethod
    def of(cls, turns: Sequence[Sequence[str]], n: int) -> Phrases:
        """The phrases of items, each some turns.

        Of a turn of `n` words and more the n-grams; one of fewer, LEAST_WORDS at least, is a gram as a whole.
        """
        text = Text.of([turn for of_item in turns for turn in of_item])
        item_of = np.repeat(np.arange(len(turns)), [len(of_item) for of_item in turns])
        size = np.bincount(text.text, minlength=len(item_of))
        grams, items, lengths = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], []
        for length in range(min(LEAST_WORDS, n), n + 1):
            chosen = size >= n if length == n else size == length
            found, of_text = text.grams(length)
            kept = chosen[of_text]
            if kept.any():
                lengths.append(length)
                grams.append(found[kept])
                items.append(item_of[of_text[kept]])
        pairs = np.unique(np.stack([np.concatenate(grams), np.concatenate(items).astype(np.uint64)]), axis=1)
        distinct, counts = np.unique(pairs[0], return_counts=True)
        rare = counts <= COMMON
        kept = np.repeat(rare, counts)
        held = pairs[1][kept].astype(np.int64)
        starts = np.concatenate([[0], np.cumsum(counts[rare])])
        return cls(tuple(lengths), distinct[rare], starts, held, np.bincount(held, minlength=len(turns)))

    def repeated(
        self, turns: Sequence[Sequence[str]], overlap: float
    ) -> tuple[Ints, Ints, NDArray[np.float32]]:
        """Which texts repeat which items: text (m,), item (m,), and the share of the item's grams in it.

        Those of at least `overlap`, sorted by (text, item). A share is a fraction in (0, 1].

        >>> benchmark = Phrases.of([["What is the colour of the small car on the left?"]], n=8)
        >>> benchmark.repeated([["So: WHAT IS the colour of the small car?"]], overlap=0.2)
        (array([0]), array([0]), array([0.25], dtype=float32))
        """
        text = Text.of([turn for of_text in turns for turn in of_text])
        text_of = np.repeat(np.arange(len(turns)), [len(of_text) for of_text in turns])
        places, texts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for length in self.lengths:
            found, of_turn = text.grams(length)
            at = np.searchsorted(self.grams, found)
            known = np.flatnonzero(at < len(self.grams))
            known = known[self.grams[at[known]] == found[known]]
            places.append(at[known])
            texts.append(text_of[of_turn[known]])
        pairs = np.unique(np.stack([np.concatenate(texts), np.concatenate(places)]), axis=1)
        counts = self.starts[pairs[1] + 1] - self.starts[pairs[1]]
        runs = np.arange(counts.sum()) + np.repeat(
            self.starts[pairs[1]] - (np.cumsum(counts) - counts), counts
        )
        both = np.stack([np.repeat(pairs[0], counts), self.items[runs]])
        (held, items), n_shared = np.unique(both, axis=1, return_counts=True)
        share = (n_shared / self.totals[items]).astype(np.float32)
        kept = share >= np.float32(overlap)
        return held[kept], items[kept], share[kept]


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text.replace(PLACEHOLDER, " ")).replace(
        "\N{RIGHT SINGLE QUOTATION MARK}", "'"
    )
    return words(plain)


@lru_cache(maxsize=1 << 18)
def _hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
