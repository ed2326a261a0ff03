"""Unit rows as small integers, whose products and sums are exact. Arrays only.

A float32 matrix product has last bits that depend on threads, on the shapes of blocks and on the library. A
product of integers has not: as long as no sum leaves the type it is held in, it is the same everywhere, and
any kernel may compute it. So k-means looks at rows to 8 bits, on which processors multiply eight times as
fast as on float32, and adds rows up to 16 bits. Where torch has a kernel for 8 bits that is exact here, that
one is taken; else float32, which holds sums of 1,024 such products exactly. The bits are the same.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustering.processor import n_threads
from clustering.vectors import checked

# Rows are multiples of 1 / ONE, digits multiples of a row's largest number / MOST.
ONE = 32767
MOST = 127
# Products of digits that float32 adds up without rounding: 1,024 * 127^2 < 2^24.
EXACT_COLUMNS = 1024
# What products of rows and centroids stay below, so that float32 holds them.
FLOAT32 = 2.0**24
# Multiplications from which on it pays to import torch.
WORTH_TORCH = 2e11
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
    """Centroids less their mean, to at most 15 bits of one common scale.

    What all centroids have in common decides nothing about which of them is nearest, and a few numbers that
    are large in all of them, as embeddings have, would leave the others no bits. The scale is as large as
    float32 holds products with rows without rounding: |sum of x_i c_i| <= |x| |c| < 2^24, in any order.

    Args:
        whole: (k, d) float32 whole numbers.
        digits: (2 k, d) int8: whole = 128 * the first k rows + the others.
    """

    whole: NDArray[np.float32]
    digits: NDArray[np.int8]

    @classmethod
    def of(cls, centroids: NDArray[np.float64], longest: float) -> Centres:
        """(k, d) centroids, to be multiplied with digit rows of at most `longest`."""
        centred = centroids - centroids.mean(axis=0)
        peak = np.abs(centred).max(initial=0.0)
        if peak > 0:
            length = float(np.linalg.norm(centred, axis=1).max())
            # Rounding makes a row longer by half the root of its width at most.
            room = FLOAT32 / longest - math.sqrt(centred.shape[1])
            centred *= min((MOST << 7) / peak, room / length)
        whole = np.rint(centred)
        first = np.rint(whole / 128)
        return cls(whole.astype(np.float32), np.concatenate([first, whole - 128 * first]).astype(np.int8))

    def products(self, rows: NDArray[np.int8], crew: Crew) -> NDArray[Any]:
        """(n, k) products with digit rows, whole numbers; the largest of a row is of its nearest centre."""
        if not crew.by_torch:
            return rows.astype(np.float32) @ self.whole.T
        both = by_torch(rows, self.digits)
        first, second = both[:, : len(self.whole)], both[:, len(self.whole) :]
        np.left_shift(first, 7, out=first)
        return np.add(first, second, out=first)


@dataclass(frozen=True)
class Crew:
    """Threads that each work through blocks of rows alone, and what they multiply with."""

    pool: ThreadPoolExecutor
    by_torch: bool

    def blocks(self, n: int, width: int, work: Callable[[slice], Any]) -> None:
        """`work` on slices of range(n); a slice times `width` numbers stays in the cache."""
        step = min(max(BLOCK // max(width, 1), 128), 4096)
        parts = [slice(start, start + step) for start in range(0, n, step)]
        if len(parts) == 1:
            work(parts[0])
            return
        for _ in self.pool.map(work, parts):
            pass

    def operand(self, digits: NDArray[np.int8]) -> NDArray[Any]:
        """Digits that `product` shall take many times, in its own type."""
        return digits if self.by_torch else digits.astype(np.float32)

    def product(self, left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
        """(n, d), (k, d) digits -> (n, k) exact products."""
        return by_torch(left, right) if self.by_torch else by_float32(left, right)


@contextmanager
def crew(multiplications: float) -> Iterator[Crew]:
    """Threads for about as many multiplications; torch is imported only where it is worth it."""
    threads = n_threads()
    if not (("torch" in sys.modules or multiplications > WORTH_TORCH) and torch_is_worth_it()):
        with ThreadPoolExecutor(threads) as pool:
            yield Crew(pool, by_torch=False)
        return
    import torch

    before = torch.get_num_threads()
    try:
        # Each thread multiplies alone: torch counts the threads of a product by the thread that calls it.
        torch.set_num_threads(1)
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield Crew(pool, by_torch=True)
    finally:
        torch.set_num_threads(before)


def by_torch(left: NDArray[np.int8], right: NDArray[np.int8]) -> NDArray[np.int32]:
    """(n, d), (k, d) int8 -> (n, k) int32 products, by the processor's own instructions for 8 bits."""
    import torch

    found: NDArray[np.int32] = torch._int_mm(torch.from_numpy(left), torch.from_numpy(right).t()).numpy()
    return found


def by_float32(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """The same of digits in any type, by float32 products of so few columns that none is rounded."""
    parts = [slice(start, start + EXACT_COLUMNS) for start in range(0, left.shape[1], EXACT_COLUMNS)]
    found = [
        left[:, part].astype(np.float32, copy=False) @ right[:, part].astype(np.float32, copy=False).T
        for part in parts
    ]
    return found[0] if len(found) == 1 else np.asarray(np.sum(found, axis=0, dtype=np.float64))


@cache
def torch_is_worth_it() -> bool:
    """Whether torch has a product of 8 bits here that is fast, by VNNI, and exact: some kernels saturate."""
    try:
        import torch
    except ImportError:
        return False
    has_vnni = getattr(torch.cpu, "_is_vnni_supported", lambda: False)
    if not (hasattr(torch, "_int_mm") and has_vnni()):
        return False
    signs = np.where(np.arange(64 * 256).reshape(64, 256) % 7 < 3, -1, 1)
    extremes = np.concatenate([signs * MOST, np.full((8, 256), MOST), np.full((8, 256), -MOST)])
    rows = np.ascontiguousarray(extremes, np.int8)
    try:
        found = by_torch(rows, rows)
    except RuntimeError:
        return False
    return bool((found == by_float32(rows, rows)).all())
