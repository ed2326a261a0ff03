"""Image registration: where one picture lies on another. Planes of pixels in, places out.

A place is (scale, shift) of x and of y: the point (u, v) of the left picture, both in [0, 1], lies at
(place[0] u + place[1], place[2] v + place[3]) of the right one. All sums are those of numpy in a fixed order:
equal pictures give equal bits, whatever the threads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Place = NDArray[np.float64]

ON_IT: Place = np.array([1.0, 0.0, 1.0, 0.0])  # the whole of one picture on the whole of the other
ALIGNED_PIXELS = 70_000  # up to which a step of the fit is cheap
COARSEST = 40  # pixels of the shorter side, under which a picture is not halved again
# A picture whose middle is another one's whole: where the search for the best place starts, and ends.
STARTS, SURE_CORRELATION = (1.0, 0.9, 0.8, 1 / 0.9, 1 / 0.8), 0.98
# Of 395 copies of the shared mixture none correlated less than 0.91 at any of its levels; of two receipts
# half are below 0.3 at some level.
HOPELESS = 0.85


def aligned(left: Plane, right: Plane) -> tuple[Place, float]:
    """The place of the left picture on the right one, and how well they correlate there, in [-1, 1].

    Gauss-Newton steps from coarse to fine (Lucas and Kanade, An iterative image registration technique,
    IJCAI 1981), with gain and offset of the light.

    Args:
        left: pixels [height, width], levels of 256.
        right: likewise.
    """
    levels = list(zip(*_pyramids(left, right), strict=True))
    coarse, other_coarse = (smooth(smooth(smooth(plane))) for plane in levels[0])
    found = []
    for start in STARTS:
        middle = np.array([start, (1 - start) / 2, start, (1 - start) / 2])
        place = _fitted(coarse, other_coarse, middle, 4)
        found.append((correlation_at(coarse, other_coarse, place), place))
        if found[-1][0] >= SURE_CORRELATION:
            break
    place = _fitted(coarse, other_coarse, max(found, key=lambda each: each[0])[1], 12)
    correlation = correlation_at(coarse, other_coarse, place)
    if correlation < HOPELESS:
        return place, correlation
    for one, other in levels:
        steps = 6 if one.size <= ALIGNED_PIXELS else 3
        one, other = smooth(one), smooth(other)
        place = _fitted(one, other, place, steps)
        correlation = correlation_at(one, other, place)
        if correlation < HOPELESS:
            break
    return place, correlation


def _pyramids(left: Plane, right: Plane) -> tuple[list[Plane], list[Plane]]:
    """Both pictures, halved as often as both can be, the smallest first."""
    pyramids = []
    for plane in (left, right):
        levels = [plane]
        while min(levels[-1].shape) >= COARSEST:
            levels.append(halved(smooth(levels[-1])))
        pyramids.append(levels)
    n = min(map(len, pyramids))
    one, other = (levels[:n][::-1] for levels in pyramids)
    return one, other


def _fitted(left: Plane, right: Plane, place: Place, steps: int) -> Place:
    height, width = left.shape
    u, v = _middles(width)[None, :], _middles(height)[:, None]
    for _ in range(steps):
        moved, rows, columns = moved_onto(right, place, left.shape)
        if min(rows.stop - rows.start, columns.stop - columns.start) < 8:
            return place
        down, along = (np.gradient(moved, axis=axis)[rows, columns] for axis in (0, 1))
        along, down = along * width / place[0], down * height / place[2]
        light = moved[rows, columns]
        ones = np.ones_like(light)
        slopes = np.stack([along * u[:, columns], along, down * v[rows], down, light, ones]).reshape(6, -1)
        normal = np.einsum("in,jn->ij", slopes, slopes).astype(np.float64)
        normal[np.diag_indices(6)] += 1e-5 * normal.diagonal() + 1e-3
        towards = np.einsum("in,n->i", slopes, left[rows, columns].ravel()).astype(np.float64)
        solved = np.linalg.solve(normal, towards)
        step = np.clip(solved[:4] / np.clip(solved[4], 0.3, 3.0), -0.05, 0.05)
        place = place + step
        place[[0, 2]] = np.clip(place[[0, 2]], 0.5, 2.0)
        if np.abs(step).max() < 1e-4:
            break
    return place


def moved_onto(right: Plane, place: Place, shape: tuple[int, ...]) -> tuple[Plane, slice, slice]:
    """The right picture on the grid of the left one, and the rows and columns where there is some of it."""
    (top, rows), (left, columns) = (
        _read_at(place[2 * axis] * _middles(n) + place[2 * axis + 1], size)
        for axis, n, size in ((1, shape[0], right.shape[0]), (0, shape[1], right.shape[1]))
    )
    (y, down), (x, along) = top, left
    between = right[y] * (1 - down[:, None]) + right[y + 1] * down[:, None]
    moved = between[:, x] * (1 - along[None, :]) + between[:, x + 1] * along[None, :]
    return moved.astype(np.float32, copy=False), rows, columns


def _read_at(points: Plane, size: int) -> tuple[tuple[NDArray[np.int64], Plane], slice]:
    """Of points of an axis of `size` pixels the pixel before, the way past it, and which lie inside."""
    at = (points * size - 0.5).astype(np.float32)
    inside = np.flatnonzero((at >= 0) & (at <= size - 1))
    held = np.clip(at, 0, size - 1.001)
    before = held.astype(np.int64)
    within = slice(int(inside[0]) + 1, int(inside[-1])) if len(inside) > 2 else slice(0, 0)
    return (before, (held - before).astype(np.float32)), within


def _middles(n: int) -> Plane:
    """Where the middles of n pixels lie in [0, 1]."""
    return ((np.arange(n) + 0.5) / n).astype(np.float32)


def smooth(plane: Plane) -> Plane:
    """Each pixel with its neighbours, 1:2:1 along both axes."""
    for axis in (0, 1):
        wide = np.pad(plane, [(1, 1) if each == axis else (0, 0) for each in (0, 1)], mode="edge")
        before, here, after = (
            np.take(wide, np.arange(start, start + plane.shape[axis]), axis) for start in range(3)
        )
        plane = ((before + 2 * here + after) / 4).astype(np.float32, copy=False)
    return plane


def halved(plane: Plane) -> Plane:
    """Each two by two pixels as their mean."""
    height, width = plane.shape
    even = plane[: height // 2 * 2, : width // 2 * 2]
    halved = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
    return halved.astype(np.float32, copy=False)


def correlation_at(left: Plane, right: Plane, place: Place) -> float:
    """How well both correlate where they overlap, in [-1, 1]; 0.0 if they hardly do."""
    moved, rows, columns = moved_onto(right, place, left.shape)
    if min(rows.stop - rows.start, columns.stop - columns.start) < 8:
        return 0.0
    one, other = left[rows, columns].astype(np.float64), moved[rows, columns].astype(np.float64)
    return correlation_of(one, other)


def correlation_of(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Of equally many values (Pearson), in [-1, 1]; 0.0 if either does not vary."""
    one, other = one - one.mean(), other - other.mean()
    length = float(np.sqrt((one * one).sum() * (other * other).sum()))
    return float((one * other).sum()) / length if length else 0.0


def inverse(place: Place) -> Place:
    """The place of the right picture on the left one."""
    return np.array([1 / place[0], -place[1] / place[0], 1 / place[2], -place[3] / place[2]])
