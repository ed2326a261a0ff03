"""Unit rows as small integers, whose products and sums are exact. Arrays only.

A float32 matrix product has last bits that depend on threads, on the shapes of blocks and on the library. A
product of integers has not: as long as no sum leaves the type it is held in, it is the same everywhere, and
any kernel may compute it. So k-means looks at rows to 8 bits, on which processors multiply eight times as
fast as on float32, and adds rows up to 16 bits. Where torch has a kernel for 8 bits that is exact here, that
one is taken; else float32, which holds sums of 1,024 such products exactly. The bits are the same.
"""

from __future__ import annotations

import math
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from clustering.vectors import checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

# Rows are multiples of 1 / ONE, digits multiples of a row's largest number / MOST.
ONE = 32767
MOST = 127
# Products of digits that float32 adds up without rounding: 1,024 * 127^2 < 2^24.
EXACT_COLUMNS = 1024
# What products of rows and centroids stay below: half of int32, for what rounding adds.
LARGEST = 2.0**30
# Multiplications from which on it pays to import torch.
WORTH_TORCH = 4e11
# Numbers of a block of products: 4 MB stay in the cache.
BLOCK = 1 << 20


@dataclass(frozen=True)
class Rows:
    """Unit rows in fixed point, twice.

    Args:
        fixed: (n, d) int16, multiples of 1 / 32,767: what sums are made of.
        digits: (n, d) int8, the same directions over each row's largest number: what products are made of.
        lengths: (n,) float64 lengths of the digit rows; 0 for a zero row.
    """

    fixed: NDArray[np.int16]
    digits: NDArray[np.int8]
    lengths: NDArray[np.float64]

    @classmethod
    def empty(cls, n: int, d: int) -> Rows:
        """`n` zero rows, to be filled by `put`: 3 bytes a number."""
        return cls(np.zeros((n, d), np.int16), np.zeros((n, d), np.int8), np.zeros(n))

    @classmethod
    def of(cls, vectors: NDArray[np.floating], chunk: int = 4096) -> Rows:
        """(n, d) unit rows.

        Raises:
            ValueError: a row is neither a unit row nor zero.
        """
        made = cls.empty(*vectors.shape)
        for start in range(0, len(vectors), chunk):
            made.put(np.arange(start, min(start + chunk, len(vectors))), vectors[start : start + chunk])
        return made

    def put(self, places: NDArray[np.int64], vectors: NDArray[np.floating]) -> None:
        """Write unit rows to `places`."""
        fixed = np.rint(checked(vectors, "vectors") * np.float32(ONE)).astype(np.int16)
        self.fixed[places] = fixed
        self.digits[places] = digits = _digits(fixed)
        wide = digits.astype(np.int32)
        self.lengths[places] = np.sqrt(np.einsum("ij,ij->i", wide, wide).astype(np.float64))

    def take(self, places: NDArray[np.int64]) -> Rows:
        """Some of the rows, copied."""
        return Rows(self.fixed[places], self.digits[places], self.lengths[places])

    def __len__(self) -> int:
        return len(self.fixed)

    @property
    def width(self) -> int:
        return int(self.fixed.shape[1])


def _digits(fixed: NDArray[np.int16]) -> NDArray[np.int8]:
    peaks = np.abs(fixed).max(axis=1, initial=0, keepdims=True).astype(np.float32)
    scales = np.float32(MOST) / np.where(peaks > 0, peaks, np.float32(1))
    digits: NDArray[np.int8] = np.rint(fixed * scales).astype(np.int8)
    return digits


@dataclass(frozen=True)
class Centres:
    """Centroids less their mean, to 15 bits of one common scale, in two digits.

    What all centroids have in common decides nothing about which of them is nearest, and a few numbers that
    are large in all of them, as embeddings have, would leave the others no bits.

    Args:
        digits: (2 k, d) int8: the first digits of all centroids, then the second ones.
        shift: a first digit is worth 2 ** shift second ones: 7, less where products would leave int32.
    """

    digits: NDArray[np.int8]
    shift: int

    @classmethod
    def of(cls, centroids: NDArray[np.float64], longest: float) -> Centres:
        """(k, d) centroids, to be multiplied with rows of at most `longest` digits' length."""
        centred = centroids - centroids.mean(axis=0)
        peak = np.abs(centred).max(initial=0.0)
        if peak == 0:
            return cls(np.zeros((2 * len(centred), centred.shape[1]), np.int8), 0)
        scaled = centred * (MOST / peak)
        bound = max(longest * float(np.linalg.norm(scaled, axis=1).max()), 1.0)
        shift = min(max(int(math.log2(LARGEST / bound)), 0), 7)
        whole = np.rint(scaled * 2**shift).astype(np.int32)
        first = np.rint(whole / 2**shift).astype(np.int32)
        return cls(np.concatenate([first, whole - (first << shift)]).astype(np.int8), shift)

    def products(self, rows: NDArray[np.int8], crew: Crew) -> NDArray[np.int32]:
        """(n, k) products with digit rows; of each row the largest is that of the nearest centroid."""
        both = crew.product(rows, self.digits)
        first, second = both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]
        np.left_shift(first, self.shift, out=first)
        return np.add(first, second, out=first)


@dataclass(frozen=True)
class Crew:
    """Threads that each work through blocks of rows alone, and the exact product that they call."""

    pool: ThreadPoolExecutor
    product: Callable[[NDArray[np.int8], NDArray[np.int8]], NDArray[np.int32]]

    def blocks(self, n: int, width: int, work: Callable[[slice], Any]) -> list[Any]:
        """`work` on slices of range(n), in order; a slice times `width` numbers stays in the cache."""
        step = min(max(BLOCK // max(width, 1), 128), 4096)
        return list(self.pool.map(work, [slice(start, start + step) for start in range(0, n, step)]))


@contextmanager
def crew(multiplications: float) -> Iterator[Crew]:
    """Threads for about as many multiplications; torch is imported only where it is worth it."""
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    if not (("torch" in sys.modules or multiplications > WORTH_TORCH) and torch_is_exact()):
        with ThreadPoolExecutor(threads) as pool:
            yield Crew(pool, by_float32)
        return
    import torch

    before = torch.get_num_threads()
    try:
        # Each thread multiplies alone: torch counts the threads of a product by the thread that calls it.
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield Crew(pool, by_torch)
    finally:
        torch.set_num_threads(before)


def by_torch(left: NDArray[np.int8], right: NDArray[np.int8]) -> NDArray[np.int32]:
    """(n, d), (k, d) int8 -> (n, k) int32 products, by the processor's own instructions for 8 bits."""
    import torch

    found: NDArray[np.int32] = torch._int_mm(torch.from_numpy(left), torch.from_numpy(right).t()).numpy()
    return found


def by_float32(left: NDArray[np.int8], right: NDArray[np.int8]) -> NDArray[np.int32]:
    """The same, by float32 products of so few columns that none is rounded."""
    found = np.zeros((len(left), len(right)), np.int32)
    for start in range(0, left.shape[1], EXACT_COLUMNS):
        part = slice(start, start + EXACT_COLUMNS)
        found += (left[:, part].astype(np.float32) @ right[:, part].astype(np.float32).T).astype(np.int32)
    return found


@cache
def torch_is_exact() -> bool:
    """Whether torch multiplies the largest digits without saturating: without VNNI some kernels do."""
    try:
        import torch
    except ImportError:
        return False
    if not hasattr(torch, "_int_mm"):
        return False
    signs = np.where(np.arange(64 * 256).reshape(64, 256) % 7 < 3, -1, 1)
    extremes = np.concatenate([signs * MOST, np.full((8, 256), MOST), np.full((8, 256), -MOST)])
    rows = np.ascontiguousarray(extremes, np.int8)
    try:
        found = by_torch(rows, rows)
    except RuntimeError:
        return False
    return bool((found == by_float32(rows, rows)).all())
