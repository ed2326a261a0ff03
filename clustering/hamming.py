"""All pairs of binary codes within a Hamming radius: exact, and linear in codes that are equal. Arrays only.

faiss compares every code with every other, fast. Above some ten thousand codes it is cheaper to look up only
what can be near: of two codes within `radius` bits, cut into k blocks, one block differs in at most
`radius // k` bits (pigeonhole; Norouzi et al., Fast search in Hamming space with multi-index hashing, CVPR
2012). faiss has that too, as IndexBinaryMultiHash, but for 100,000 codes of 64 bits it takes 37 seconds where
comparing everything takes 6 and the tables here 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from clustering.runs import runs

Codes = NDArray[np.uint8]
Ints = NDArray[np.int64]

Found: TypeAlias = "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]"
Blocks: TypeAlias = "list[tuple[int, int, int]]"  # first bit, bits, how many of them may differ

BLOCK = 4096  # codes that faiss searches for at once
MOST_PROPOSED = 1 << 20  # pairs held at once
KEY_BITS = 22  # of a block at most: its table has 2^22 places
FLIPS = 3  # bits of a block at most that may differ: 1,794 look-ups a code
# Nanoseconds, measured on one core: a pair in faiss, a look-up in a table, a pair that it proposes.
COMPARE, LOOK_UP, PROPOSED = 1.0, 30.0, 150.0
WORTH_A_TABLE = 2e9  # nanoseconds


def collapse(codes: Codes) -> tuple[Ints, Ints]:
    """Groups of equal codes: (n, bytes) -> (first, group).

    first (g,): the first row of each group, ascending. group (n,): which group a row is in. The pairs of a
    group are not listed: it is a star, each row beside the group's first.

    >>> collapse(np.array([[7], [9], [7]], np.uint8))
    (array([0, 1]), array([0, 1, 0]))
    """
    if not len(codes):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    whole = np.ascontiguousarray(codes).view(np.dtype((np.void, codes.shape[1])))[:, 0]
    _, first, group = np.unique(whole, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return first[order].astype(np.int64), rank[group.reshape(-1)]


def near_codes(codes: Codes, radius: int, among: Codes | None = None) -> Found:
    """Every pair of rows at most `radius` bits apart: (n, bytes) -> left (m,), right (m,), bits (m,) int32.

    Sorted by (left, right). Among the rows themselves each pair once, left < right; collapse equal rows first
    (`collapse`), else a group of n has n^2 / 2 pairs here. With `among` (k, bytes), left are rows of `codes`
    and right are rows of `among`.

    Raises:
        ValueError: codes are no two-dimensional bytes, differ in their width, or the radius is negative.
    """
    others = codes if among is None else among
    for side in (codes, others):
        if side.ndim != 2 or side.dtype != np.uint8 or side.shape[1] != codes.shape[1]:
            raise ValueError(
                f"codes are {side.dtype} of shape {side.shape}; give (n, bytes) uint8, all as wide"
            )
    if radius < 0:
        raise ValueError(f"radius is {radius}; it is a number of bits")
    if not len(codes) or not len(others):
        return _sorted([])
    blocks = _tables(codes, others, radius)
    if _pays(codes, others, blocks):
        parts = _looked_up(codes, others, radius, blocks)
    else:
        parts = _compared(codes, others, radius)
    return _sorted([part if among is not None else _once(part) for part in parts])


def near_tuples(codes: Codes, radius: int, among: Codes | None = None) -> Found:
    """As `near_codes` of tuples of codes, (n, k, bytes): near where each is near the one in its place.

    bits is that of the place where they are farthest apart. The place with the most distinct codes proposes.

    Raises:
        ValueError: as `near_codes`.
    """
    others = codes if among is None else among
    if codes.shape[1] == 1:
        return near_codes(codes[:, 0], radius, None if among is None else among[:, 0])
    place = max(range(codes.shape[1]), key=lambda place: len(collapse(codes[:, place])[0]))
    (first, group), (other_first, other_group) = collapse(codes[:, place]), collapse(others[:, place])
    one, two, _ = near_codes(codes[first, place], radius, others[other_first, place])
    rows, sizes, starts = _members(group)
    other_rows, other_sizes, other_starts = _members(other_group)
    left = rows[runs(starts[one], sizes[one])]
    right = np.repeat(two, sizes[one])
    found = []
    for part in _cut(other_sizes[right]):
        at = right[part]
        i, j = np.repeat(left[part], other_sizes[at]), other_rows[runs(other_starts[at], other_sizes[at])]
        bits = np.bitwise_count(codes[i] ^ others[j]).sum(axis=2, dtype=np.int32).max(axis=1)
        near = bits <= radius
        kept = i[near], j[near], bits[near]
        found.append(kept if among is not None else _once(kept))
    return _sorted(found)


def _members(group: Ints) -> tuple[Ints, NDArray[np.int32], NDArray[np.int32]]:
    """The rows group by group, and each group's size and start."""
    sizes = np.bincount(group).astype(np.int32)
    return np.argsort(group, kind="stable"), sizes, np.cumsum(sizes, dtype=np.int32) - sizes


def _sorted(parts: list[Found]) -> Found:
    empty = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32))
    left, right, bits = (np.concatenate(columns) for columns in zip(empty, *parts, strict=True))
    order = np.lexsort((right, left))
    return left[order], right[order], bits[order]


def _once(pairs: Found) -> Found:
    """Of pairs among the same rows each once, and no row with itself."""
    kept = pairs[0] < pairs[1]
    return pairs[0][kept], pairs[1][kept], pairs[2][kept]


def _compared(codes: Codes, among: Codes, radius: int) -> Iterator[Found]:
    import faiss

    index = faiss.IndexBinaryFlat(codes.shape[1] * 8)
    index.add(np.ascontiguousarray(among))
    for start in range(0, len(codes), BLOCK):
        block = np.ascontiguousarray(codes[start : start + BLOCK])
        limits, distances, rows = index.range_search(block, radius + 1)  # faiss means less than
        counts = (limits[1:] - limits[:-1]).astype(np.int64)
        left = np.repeat(np.arange(start, start + len(block)), counts)
        yield left, rows.astype(np.int64), distances.astype(np.int32)


def _tables(codes: Codes, among: Codes, radius: int) -> Blocks:
    """The blocks that codes are cut into: as many as would be cheapest if codes were uniform."""
    width = codes.shape[1] * 8
    cuts = [_cuts(width, n, radius) for n in range(-(-width // KEY_BITS), width // 8 + 1)]
    return min(
        cuts,
        key=lambda blocks: _cost(len(codes), [len(among) / (1 << bits) for _, bits, _ in blocks], blocks),
    )


def _cuts(width: int, n: int, radius: int) -> Blocks:
    edges = [width * number // n for number in range(n + 1)]
    return [(edges[i], edges[i + 1] - edges[i], radius // n) for i in range(n)]


def _cost(n: int, proposed: Sequence[float], blocks: Blocks) -> float:
    """Nanoseconds that the tables of `blocks` take for n codes, if a look-up proposes so many for each."""
    return sum(
        _n_masks(bits, most) * n * (LOOK_UP + PROPOSED * many)
        for (_, bits, most), many in zip(blocks, proposed, strict=True)
    )


def _n_masks(bits: int, most: int) -> int:
    return sum(comb(bits, count) for count in range(most + 1))


def _masks(bits: int, most: int) -> list[int]:
    """Every number of `bits` bits with at most `most` of them set."""
    return [
        sum(1 << place for place in places)
        for count in range(most + 1)
        for places in combinations(range(bits), count)
    ]


def _pays(codes: Codes, among: Codes, blocks: Blocks) -> bool:
    """Whether tables beat comparing everything. Codes are not uniform, so what tables propose is counted."""
    everything = COMPARE * len(codes) * len(among)
    if blocks[0][2] > FLIPS or everything < WORTH_A_TABLE:
        return False
    proposed = []
    itself = codes is among  # a code meets itself in one look-up of all
    for first, bits, _ in blocks:
        sizes = np.bincount(_keys(among, first, bits), minlength=1 << bits)
        proposed.append(float(sizes[_keys(codes, first, bits)].mean()) - itself)
    return _cost(len(codes), proposed, blocks) < everything


def _looked_up(codes: Codes, among: Codes, radius: int, blocks: Blocks) -> Iterator[Found]:
    for number, (first, bits, most) in enumerate(blocks):
        keys = _keys(among, first, bits)
        order = np.argsort(keys, kind="stable")
        sizes = np.bincount(keys, minlength=1 << bits).astype(np.int32)
        ends = np.cumsum(sizes, dtype=np.int32)
        # In the order of the keys, neighbouring look-ups lie close together in the table.
        rows = np.argsort(_keys(codes, first, bits), kind="stable")
        wanted = _keys(codes[rows], first, bits).astype(np.int32)
        for mask in _masks(bits, most):
            hit = np.flatnonzero(sizes[wanted ^ mask])
            places = wanted[hit] ^ mask
            for part in _cut(sizes[places]):
                at = places[part]
                left = np.repeat(rows[hit[part]], sizes[at])
                right = order[runs(ends[at] - sizes[at], sizes[at])]
                yield _near(codes, among, left, right, radius, blocks[:number])


def _cut(counts: NDArray[np.int32]) -> Iterator[slice]:
    """Runs of look-ups that propose at most MOST_PROPOSED pairs, or one look-up."""
    ends = np.cumsum(counts, dtype=np.int64)
    start = 0
    while start < len(counts):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + MOST_PROPOSED, side="right")))
        yield slice(start, stop)
        start = stop


def _near(codes: Codes, among: Codes, left: Ints, right: Ints, radius: int, earlier: Blocks) -> Found:
    """Of proposed pairs those that are near, and that no earlier table has proposed."""
    differ = codes[left] ^ among[right]
    bits = np.bitwise_count(differ).sum(axis=1, dtype=np.int32)
    kept = bits <= radius
    left, right, bits, differ = left[kept], right[kept], bits[kept], differ[kept]
    for first, width, most in earlier:
        new = np.bitwise_count(_keys(differ, first, width)) > most
        left, right, bits, differ = left[new], right[new], bits[new], differ[new]
    return left, right, bits


def _keys(codes: Codes, first: int, bits: int) -> Ints:
    """(n,) the number in bits [first, first + bits) of each code; bit 0 is the highest of byte 0."""
    low, high = first // 8, -(-(first + bits) // 8)
    keys = np.zeros(len(codes), np.int64)
    for byte in range(low, high):
        keys = keys << 8 | codes[:, byte]
    return keys >> (high * 8 - first - bits) & ((1 << bits) - 1)
