"""`answer_agreement`: does what the rest of the pool teaches lead to the answer that a sample gives?

A ridge learns the way from image and question to the answer on all folds of the pool but one, and is asked
the answers of that one: scores out of sample tell wrong labels (confident learning, arXiv 1911.00068, §3).
Nobody needs to show it a right answer, nor a model that knows the pictures: what is odd is so among its like.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from schemas.columns import figure
from schemas.grid import on_grid

FOLDS = 5
WORDS = 512  # numbers of a text's vector
MIXED = 512  # numbers in which image and question are multiplied
PENALTY = 3.0  # of the ridge, times the mean square of a feature; fixed on a split of its own
OTHERS = 64  # answers of its group that one is held against
FEWEST = 8  # answers of a group, without which nothing is said of it
FINE = 2.0**16  # weights are multiples of 1 / FINE: their products with features are exact
LONGEST = 512  # words of a text that count
BLOCK = 4096  # pairs that are multiplied at once
WRITES = pa.schema([figure("answer_agreement", "standard deviations", "(-inf, inf)", "higher")])
_WORD = re.compile(r"[^\W_]+|[^\w\s]", re.UNICODE)
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def text_vectors(texts: Sequence[str]) -> Floats:
    """(m, WORDS) the sum of the vectors of each text's words, of unit length, on the grid; zeros without any.

    A word's vector is WORDS signs that follow from its letters: those of two words are nearly orthogonal, in
    any language (random indexing; Kanerva et al. 2000).
    """
    out = np.zeros((len(texts), WORDS), np.float32)
    for at, text in enumerate(texts):
        words = _WORD.findall(text.lower())[:LONGEST]
        if words:
            out[at] = np.sum([_signs(word) for word in words], axis=0, dtype=np.float32)
    return on_grid(_unit(out))


@lru_cache(maxsize=1 << 15)
def _signs(word: str) -> NDArray[np.int8]:
    bits = hashlib.shake_128(word.encode("utf-8", "surrogatepass")).digest(WORDS // 8)
    return np.unpackbits(np.frombuffer(bits, np.uint8)).astype(np.int8) * np.int8(2) - np.int8(1)


def asked_and_told(turns: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Each answer of a conversation (role, text), and the question before it."""
    asked = ""
    for role, text in turns:
        said = text.replace("<image>", " ").strip()
        if role == "user":
            asked = said
        elif role == "assistant" and said:
            yield asked, said


def features(images: Floats, questions: Floats) -> Floats:
    """(m, d + WORDS + MIXED) what is seen: image, question, and products of both in random directions.

    `images` (m, d) unit rows or zeros, `questions` of `text_vectors`. On the grid.
    """
    seen = on_grid(images)
    mixed: Floats = (seen @ _directions(seen.shape[1])) * (questions @ _directions(WORDS))
    mixed /= np.float32(32)
    return np.hstack([seen, questions, on_grid(mixed)])


@lru_cache(maxsize=4)
def _directions(d: int) -> Floats:
    """(d, MIXED) signs."""
    drawn = np.random.default_rng(d).integers(0, 2, (d, MIXED))
    return (2 * drawn - 1).astype(np.float32)


@dataclass(frozen=True)
class Pairs:
    """m questions with their answers, of n samples."""

    images: Floats  # (n, d) the mean vector of a sample's images, zeros without any
    owner: Ints  # (m,) the sample of a pair
    questions: Floats  # (m, WORDS)
    answers: Floats  # (m, WORDS)
    fold: Ints  # (m,) below FOLDS

    def seen(self, rows: Ints) -> Floats:
        """The features of some of the pairs."""
        return features(self.images[self.owner[rows]], self.questions[rows])


@dataclass(frozen=True)
class Ridges:
    """A ridge a fold, which has learned from the others, and the mean answer."""

    weights: NDArray[np.float64]  # (FOLDS, p + 1, WORDS), the last row for the constant
    middle: Floats  # (WORDS,)

    def told(self, answers: Floats) -> Floats:
        """(m, WORDS) what is particular about `answers`: their directions from the mean one."""
        return on_grid(_unit(answers - self.middle))

    def expected(self, seen: Floats, fold: Ints) -> NDArray[np.float64]:
        """(m, WORDS) the answers that the others' ridges expect."""
        out = np.zeros((len(seen), WORDS))
        for number in range(FOLDS):
            rows = fold == number
            out[rows] = seen[rows].astype(np.float64) @ self.weights[number, :-1] + self.weights[number, -1]
        return out


def fitted(pairs: Pairs) -> Ridges:
    """Ridges of the pairs.

    Sums are exact, as all numbers are on the grid; the solver runs on one thread. So the bits follow from the
    pairs alone, on processors of one family.
    """
    middle = on_grid(pairs.answers.mean(axis=0, dtype=np.float64).astype(np.float32))
    bare = Ridges(np.zeros((FOLDS, pairs.images.shape[1] + WORDS + MIXED + 1, WORDS)), middle)
    sums = [_sums(pairs, np.flatnonzero(pairs.fold == number), bare) for number in range(FOLDS)]
    gram, cross = (np.sum(parts, axis=0) for parts in zip(*sums, strict=True))
    with threadpool_limits(1):
        for number, (own_gram, own_cross) in enumerate(sums):
            bare.weights[number] = _solved(gram - own_gram, cross - own_cross)
    return bare


def _sums(pairs: Pairs, rows: Ints, bare: Ridges) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of features and a constant one the products with each other, and with the answers."""
    p = bare.weights.shape[1]
    gram, cross = np.zeros((p, p)), np.zeros((p, WORDS))
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        seen = np.hstack([pairs.seen(part), np.ones((len(part), 1), np.float32)]).astype(np.float64)
        gram += seen.T @ seen
        cross += seen.T @ bare.told(pairs.answers[part])
    return gram, cross


def _solved(gram: NDArray[np.float64], cross: NDArray[np.float64]) -> NDArray[np.float64]:
    """(p + 1, w) the ridge on features of mean 0 and deviation 1, as weights of the features as they are."""
    n = max(gram[-1, -1], 1.0)
    mean = gram[-1, :-1] / n
    spread = np.sqrt(np.maximum(np.diag(gram)[:-1] / n - mean**2, 0)) + 1e-3
    centred = (gram[:-1, :-1] - n * np.outer(mean, mean)) / np.outer(spread, spread)
    centred[np.diag_indices(len(mean))] += PENALTY * n / len(mean)
    level = cross[-1] / n
    inner = np.linalg.solve(centred, (cross[:-1] - n * np.outer(mean, level)) / spread[:, None])
    weights = inner / spread[:, None]
    return np.rint(np.vstack([weights, level - mean @ weights]) * FINE) / FINE


def agreement(expected: NDArray[np.float64], told: Floats, others: Floats) -> NDArray[np.float64]:
    """(m,) how many deviations the answer given is nearer to the expected one than `others` (k, w) are.

    `expected` and `told` (m, w). 0 is no nearer than another answer of the group, higher is better; NaN where
    the others cannot be told apart.
    """
    near = np.einsum("mw,mw->m", expected, told)
    far = expected @ others.T.astype(np.float64)
    spread = far.std(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 1e-6, (near - far.mean(axis=1)) / spread, np.nan)


def told_apart(expected: NDArray[np.float64], told: Floats, others: Floats) -> tuple[float, float]:
    """How often the answer given is nearer than another one (the area under the ROC curve), and its error."""
    near = np.einsum("mw,mw->m", expected, told)[:, None]
    far = expected @ others.T.astype(np.float64)
    wins = (far < near).mean(axis=1) + 0.5 * (far == near).mean(axis=1)
    return float(wins.mean()), float(wins.std() / np.sqrt(len(wins)))


def _unit(rows: Floats) -> Floats:
    length = np.sqrt(np.einsum("mw,mw->m", rows, rows, dtype=np.float64))[:, None]
    unit: Floats = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return unit
