"""The nearest rows of every row, by brute force over the upper triangle of blocks. Arrays only."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from clustering.processor import n_threads
from clustering.products import LOWEST, Coarse, Precision, Products, products
from clustering.runs import place_in_run
from clustering.vectors import DENSE_SHARE, checked, cosines, margin

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]
Codes: TypeAlias = NDArray[Any]
Entries: TypeAlias = tuple[Ints, Ints, Floats]  # row, other row, similarity

BLOCK = 1024
# Rows of the right that `across` prepares at once.
PANEL = 8192
# Entries that wait to be sorted into the lists before the first sorting.
WAITING = 1 << 18
# One in so many rows of a block is few: picked out they are compared faster than all of them.
FEW = 8
# How far the arc cosine of a float32 cosine can lie from the angle, at most, in radians.
ANGLE_ERROR = 0.02
NOTHING: Entries = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


@dataclass(frozen=True)
class Lists:
    """What is nearest to each row: entry by entry, sorted by (row, -similarity, other).

    Args:
        row: (m,) int64.
        other: (m,) int64, a row near it.
        similarity: (m,) float32 cosine in [-1, 1], higher is nearer.
    """

    row: Ints
    other: Ints
    similarity: Floats


def nearest(
    views: Sequence[Floats],
    floor: float,
    most: int = 64,
    *,
    visitors: int = 0,
    block: int = BLOCK,
    precision: Precision = "auto",
) -> Lists:
    """For each row the `most` rows most similar to it, of those that reach `floor`; and at least the best.

    A view is a modality, or an image position of multi-image samples: two samples are as similar as their
    least similar view, min over views of the cosine. Give groups of like samples (same modalities, equal
    numbers of images); a zero row is near nothing.

    The last `visitors` rows belong elsewhere: they are compared with the others and not among themselves,
    and for them only what reaches `floor` counts.

    Exact, no approximate index: a product in float32, or in bfloat16 where the processor has instructions
    for it, proposes, and what lies within its error of a decision is decided by exact cosines. A row with
    `most` entries may have had more. Ties go to the smaller `other`. Bit for bit the same for any `block`,
    any `precision` and any number of threads. n^2 / 2 * d multiplications a view; blocks are left out whose
    rows' angles to the mean row differ too much for any of their pairs to matter (angles are a metric:
    |a - b| <= angle between the rows). Memory: 6 * block^2 bytes a thread, 20 bytes an entry, and in bfloat16
    2 * d a row; never n x n.

    Args:
        views: one or more (n, d) float32 arrays of unit rows; d may differ from view to view.
        floor: cosine in (0, 1]; compared in float32, equal counts.
        most: entries a row, at least 1.
        visitors: how many of the last rows are visitors.
        block: rows a block; moves memory and speed, not the result.
        precision: of the products; neither does it move the result.

    Raises:
        ValueError: no view, views of different lengths, a row that is neither a unit row nor zero, a floor
            outside (0, 1], or a number out of range.
    """
    rows = [checked(view, f"view {number}") for number, view in enumerate(views)]
    if len({len(view) for view in rows}) != 1:
        raise ValueError(f"views have {[len(view) for view in rows]} rows; give one or more, equally long")
    if not 0.0 < floor <= 1.0:
        raise ValueError(f"floor is {floor}; it is a cosine in (0, 1]")
    n = len(rows[0])
    if most < 1 or block < 1 or not 0 <= visitors <= n:
        raise ValueError(f"most is {most}, block {block}, visitors {visitors} of {n} rows")
    # Blocks side by side, each product in one thread: faster than products that share the cores.
    with threadpool_limits(1):
        return _Search.of(rows, np.float32(floor), most, n - visitors, precision).run(block)


@dataclass
class _Search:
    """Rows in the order of their angle to the mean row, and what is known of each so far.

    `limits` are cosines below which nothing can matter any more to a row. Whatever they are, what reaches
    them holds all that belongs into the lists: so it does not matter in which order threads raise them, nor
    if one of two that do so at once is lost.
    """

    views: list[Floats]
    products: Products
    angles: Floats  # (n,) to the mean row of the first view, in radians
    names: Ints  # (n,) which row each was
    n_home: int
    floor: np.float32
    most: int
    limits: Floats
    entries: list[Entries] = field(default_factory=list)
    n_waiting: int = 0  # entries that came after the last sorting

    @classmethod
    def of(
        cls, views: list[Floats], floor: np.float32, most: int, n_home: int, precision: Precision
    ) -> _Search:
        middle = views[0][:n_home].sum(axis=0, dtype=np.float64)
        middle /= np.linalg.norm(middle) or 1.0
        angles = np.arccos(np.clip(views[0] @ middle.astype(np.float32), -1, 1))
        # A zero row is near nothing.
        there = np.logical_and.reduce([view.any(axis=1) for view in views])
        home, away = np.flatnonzero(there[:n_home]), n_home + np.flatnonzero(there[n_home:])
        order = np.concatenate([home[np.argsort(angles[home])], away[np.argsort(angles[away])]])
        limits = np.where(np.arange(len(order)) < len(home), LOWEST, floor).astype(np.float32)
        found = products(views, order, precision)
        return cls(views, found, angles[order], order, len(home), floor, most, limits)

    def run(self, block: int) -> Lists:
        """Blocks on the diagonal first: near angles are near rows, so that limits rise early."""
        threads = n_threads()
        alone = _alone if isinstance(self.products, Coarse) else None
        with ThreadPoolExecutor(threads, initializer=alone) as pool:
            under_way: deque[Future[Entries]] = deque()
            for at in self._blocks(block):
                under_way.append(pool.submit(self._pairs, at))
                if len(under_way) > threads:
                    self._enter(under_way.popleft().result())
            while under_way:
                self._enter(under_way.popleft().result())
        row, other, similarity = self._cut()
        row, other = self.names[row], self.names[other]
        order = np.lexsort((other, -similarity, row))
        return Lists(row[order], other[order], similarity[order])

    def _blocks(self, block: int) -> Iterator[tuple[slice, slice]]:
        home = _cuts(0, self.n_home, block)
        for gap in range(len(home)):
            yield from zip(home, home[gap:], strict=False)
        for visitors in _cuts(self.n_home, len(self.names), block):
            for top in home:
                yield top, visitors

    def _pairs(self, at: tuple[slice, slice]) -> Entries:
        """The pairs of a block that may belong into a list, each once, and their exact similarity."""
        top, left = at
        visited = left.start >= self.n_home
        down, across = self.limits[top].copy(), self.limits[left].copy()
        if visited:
            np.maximum(down, self.floor, out=down)
        if self._closest(top, left) < min(down.min(), across.min()):
            return NOTHING
        products = self.products.block(top, left)
        if top == left:
            products[np.tri(len(products), dtype=bool)] = self.products.nothing
        best = products.max(axis=1), products.max(axis=0)
        if not visited:
            self._raise(top, down, best[0])
            self._raise(left, across, best[1])
        i, j = self._reaching(products, best, down, across)
        if len(i) > self.most * (len(down) + len(across)):
            self._raise_crowded(down, products)
            self._raise_crowded(across, products.T)
            i, j = self._reaching(products, best, down, across)
        if not len(i):
            return NOTHING
        similarity = self._exact(self.names[top], self.names[left], i, j)
        i, j = i + top.start, j + left.start
        enough = np.minimum(similarity, self.floor)
        if not visited:
            np.maximum.at(self.limits, i, enough)
            np.maximum.at(self.limits, j, enough)
        kept = (enough == self.floor) | (not visited) & (enough >= np.minimum(self.limits[i], self.limits[j]))
        if np.count_nonzero(kept) > self.most * (len(down) + len(across)):
            kept &= self._strongest(i, j, similarity) | self._strongest(j, i, similarity)
        return i[kept], j[kept], similarity[kept]

    def _exact(self, top: Ints, left: Ints, i: Ints, j: Ints) -> Floats:
        """Cosines of the pairs top[i], left[j]."""
        if len(i) * DENSE_SHARE > len(top) * len(left):
            exact = [cosines(view[top], view[left], i, j) for view in self.views]
        else:
            exact = [cosines(view, view, top[i], left[j]) for view in self.views]
        least: Floats = np.minimum.reduce(exact).astype(np.float32)
        return least

    def _closest(self, top: slice, left: slice) -> float:
        """The highest cosine that rows of two parts can have, by their angles to the mean row."""
        one, two = self.angles[top], self.angles[left]
        gap = max(float(two.min() - one.max()), float(one.min() - two.max()), ANGLE_ERROR) - ANGLE_ERROR
        return float(np.cos(gap)) + float(margin(self.views[0].shape[1]))

    def _raise(self, part: slice, limits: Floats, best: Codes) -> None:
        """A row that has found `best` needs nothing that is surely less, unless it reaches the floor."""
        np.maximum(limits, np.minimum(self.products.surely(best), self.floor), out=limits)
        np.maximum(self.limits[part], limits, out=self.limits[part])

    def _raise_crowded(self, limits: Floats, products: Codes) -> None:
        """A row that finds more in one block than it can list needs only the strongest of them."""
        place = products.shape[1] - self.most
        if place <= 0:
            return
        close = products >= self.products.reaching(limits)[:, None]
        crowded = np.flatnonzero(close.sum(axis=1) > self.most)
        kth = np.partition(products[crowded], place, axis=1)[:, place]
        limits[crowded] = np.maximum(limits[crowded], self.products.surely(kth))

    def _reaching(
        self, products: Codes, best: tuple[Codes, Codes], down: Floats, across: Floats
    ) -> tuple[Ints, Ints]:
        """Where a product may reach the limit of its row or of its column."""
        return _reach(products, best, self.products.reaching(down), self.products.reaching(across))

    def _strongest(self, row: Ints, other: Ints, similarity: Floats) -> NDArray[np.bool_]:
        """Which entries are among the `most` of their row."""
        order = np.lexsort((self.names[other], -similarity, row))
        kept = np.zeros(len(row), bool)
        kept[order[place_in_run(row[order]) < self.most]] = True
        return kept

    def _enter(self, found: Entries) -> None:
        left, right, similarity = found
        if not len(left):
            return
        both = np.concatenate([left, right]), np.concatenate([right, left]), np.tile(similarity, 2)
        self.entries.append(both)
        self.n_waiting += 2 * len(left)
        # Sorting again from double the size on costs a constant an entry.
        if self.n_waiting <= max(WAITING, len(self.entries[0][0])):
            return
        row, other, similarity = self._cut()
        self.entries, self.n_waiting = [(row, other, similarity)], 0
        full = np.flatnonzero((place_in_run(row) == self.most - 1) & (similarity >= self.floor))
        self.limits[row[full]] = np.maximum(self.limits[row[full]], similarity[full])

    def _cut(self) -> Entries:
        """All entries so far, sorted, but those too far down, or below the floor and not the best."""
        row, other, similarity = (np.concatenate(parts) for parts in zip(NOTHING, *self.entries, strict=True))
        order = np.lexsort((self.names[other], -similarity, row))
        place = place_in_run(row[order])
        order = order[(place < self.most) & ((similarity[order] >= self.floor) | (place == 0))]
        return row[order], other[order], similarity[order]


def _alone() -> None:
    """Give the thread that calls it one thread of OpenMP, which torch multiplies in."""
    threadpool_limits(1, "openmp")


def _reach(products: Codes, best: tuple[Codes, Codes], down: Codes, across: Codes) -> tuple[Ints, Ints]:
    """Where a product reaches that of its row or of its column; `best` are the highest of each."""
    rows, columns = best[0] >= down, best[1] >= across
    n, width = products.shape
    close = np.zeros((n, width), bool)
    if FEW * np.count_nonzero(rows) < n:
        close[rows] = products[rows] >= down[rows, None]
    else:
        np.greater_equal(products, down[:, None], out=close)
    if FEW * np.count_nonzero(columns) < width:
        close[:, columns] |= products[:, columns] >= across[columns]
    else:
        close |= products >= across
    # Far faster than nonzero of two dimensions where few are set.
    return np.divmod(np.flatnonzero(close), width)


def across(
    left: Sequence[Floats],
    right: Sequence[Floats],
    floor: float,
    block: int = BLOCK,
    precision: Precision = "auto",
) -> Entries:
    """Every pair of a row on the left and one on the right whose cosine reaches `floor` in every view.

    (m,) int64 rows of the left, (m,) int64 rows of the right, (m,) float32 cosines; sorted by both. As exact,
    and as independent of `block` and `precision`, as `nearest`. Memory: 5 * block^2 bytes, 20 bytes a pair, a
    copy of the left and one of 8,192 rows of the right.

    Raises:
        ValueError: as `nearest`.
    """
    one = [checked(view, f"left view {number}") for number, view in enumerate(left)]
    two = [checked(view, f"right view {number}") for number, view in enumerate(right)]
    if len({len(view) for view in one}) != 1 or len({len(view) for view in two}) != 1 or len(one) != len(two):
        raise ValueError(
            f"{[len(view) for view in one]} rows are to be compared with {[len(view) for view in two]}"
        )
    found = [NOTHING]
    for part in _cuts(0, len(two[0]), PANEL):
        i, j, similarity = _across_panel(
            one, [view[part] for view in two], np.float32(floor), block, precision
        )
        found.append((i, j + part.start, similarity))
    i, j, similarity = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((j, i))
    return i[order], j[order], similarity[order]


def _across_panel(
    one: list[Floats], two: list[Floats], floor: np.float32, block: int, precision: Precision
) -> Entries:
    n, m = len(one[0]), len(two[0])
    both = [np.concatenate(pair) for pair in zip(one, two, strict=True)]
    proposed = products(both, np.arange(n + m), precision)
    least = proposed.reaching(np.array([floor]))
    found = [NOTHING]
    for top in _cuts(0, n, block):
        for left in _cuts(n, n + m, block):
            close = proposed.block(top, left) >= least
            i, j = np.divmod(np.flatnonzero(close), close.shape[1])
            exact = [cosines(view[top], view[left], i, j) for view in both]
            similarity = np.minimum.reduce(exact).astype(np.float32)
            kept = similarity >= floor
            found.append((i[kept] + top.start, j[kept] + left.start - n, similarity[kept]))
    i, j, similarity = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return i, j, similarity


def _cuts(start: int, stop: int, block: int) -> list[slice]:
    return [slice(at, min(at + block, stop)) for at in range(start, stop, block)]
