"""Shares of a whole in whole numbers: largest remainders, with caps. Exact."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm

import numpy as np
from numpy.typing import ArrayLike, NDArray


def apportion(weights: ArrayLike, caps: ArrayLike, total: int) -> NDArray[np.int64]:
    """Split `total` over c groups in proportion to their weights, none above its cap.

    The shares are min(cap, level * weight) with the level at which they sum to the total (water-filling);
    rounded down, and what is left goes one by one to the largest remainders, ties to the smaller index
    (Hamilton's method). Groups of weight 0 get something only when all the others are full, and then equally.
    Computed in rational numbers: no rounding. O(c log c).

    >>> apportion([6, 3, 1], caps=[4, 9, 9], total=10)
    array([4, 5, 1])

    Args:
        weights: (c,) finite numbers >= 0.
        caps: (c,) whole numbers >= 0.
        total: >= 0.

    Returns:
        (c,) int64 quotas, 0 <= quota <= cap, which sum to min(total, sum of caps).

    Raises:
        ValueError: lengths differ, or a number is negative or not finite.
    """
    shares, limits = _whole(np.asarray(weights).tolist()), [int(cap) for cap in np.asarray(caps).tolist()]
    if len(shares) != len(limits):
        raise ValueError(f"{len(shares)} weights and {len(limits)} caps; give one of each for every group")
    if total < 0 or min(shares, default=0) < 0 or min(limits, default=0) < 0:
        raise ValueError("weights, caps and the total must not be negative")
    quotas = np.zeros(len(shares), np.int64)
    weighted = [group for group, share in enumerate(shares) if share]
    _water_fill(quotas, weighted, shares, limits, total)
    left = total - int(quotas.sum())
    if left:
        rest = [group for group, share in enumerate(shares) if not share]
        _water_fill(quotas, rest, [1] * len(shares), limits, left)
    return quotas


def nearest(
    wish: NDArray[np.float64], least: NDArray[np.float64], most: NDArray[np.float64], total: float
) -> NDArray[np.float64]:
    """The point nearest to `wish` with least <= x <= most and sum total: min |x - wish|^2, solved exactly.

    x = clip(wish - shift, least, most) (the conditions of Karush, Kuhn and Tucker); the sum falls with the
    shift, piecewise linearly, with corners at wish - least and wish - most. O(c log c).

    Raises:
        ValueError: no point meets the bounds.
    """
    if not least.sum() <= total <= most.sum() or (least > most).any():
        raise ValueError(f"the bounds sum to {least.sum():g} and {most.sum():g}; they cannot meet {total:g}")
    corners = np.unique(np.concatenate([wish - least, wish - most]))

    def at(shift: float) -> NDArray[np.float64]:
        return np.clip(wish - shift, least, most)

    low, high = 0, len(corners) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(corners[middle]).sum() >= total else (low, middle)
    above, below = at(corners[low]).sum(), at(corners[high]).sum()
    part = (above - total) / (above - below) if above > below else 0.0
    return at(corners[low] + part * (corners[high] - corners[low]))


def whole_shares(
    shares: NDArray[np.float64], least: NDArray[np.int64], most: NDArray[np.int64], total: int
) -> NDArray[np.int64]:
    """Whole numbers near `shares` with least <= x <= most and sum total: floors, then largest remainders.

    Raises:
        ValueError: no whole numbers meet the bounds.
    """
    if not least.sum() <= total <= most.sum() or (least > most).any():
        raise ValueError(f"the bounds sum to {least.sum()} and {most.sum()}; they cannot meet {total}")
    # What rounding leaves of a whole number is that number.
    floors = np.clip(np.floor(shares + 1e-9).astype(np.int64), least, most)
    # More than one step in either direction is needed only where bounds cut the floors.
    while (missing := total - int(floors.sum())) != 0:
        step = 1 if missing > 0 else -1
        open_ = np.flatnonzero(floors < most if step > 0 else floors > least)
        gain = step * (shares - floors)[open_]
        floors[open_[np.argsort(-gain, kind="stable")][: abs(missing)]] += step
    return floors


def _water_fill(
    quotas: NDArray[np.int64], groups: list[int], weights: Sequence[int], caps: Sequence[int], total: int
) -> None:
    """Enter the quotas of `groups`, whose weights are positive."""
    left, weight = total, sum(weights[group] for group in groups)
    # The groups that fill up first are those with the smallest cap for their weight.
    order = sorted(groups, key=lambda group: (Fraction(caps[group], weights[group]), group))
    full = 0
    for group in order:
        if caps[group] * weight > weights[group] * left:
            break
        quotas[group] = caps[group]
        left -= caps[group]
        weight -= weights[group]
        full += 1
    remainders = []
    spare = left
    for group in order[full:]:
        quotas[group], remainder = divmod(weights[group] * left, weight)
        spare -= int(quotas[group])
        remainders.append((-remainder, group))
    # The share of each of these is below its cap, so one more still fits.
    for _, group in sorted(remainders)[:spare]:
        quotas[group] += 1


def _whole(weights: list[float]) -> list[int]:
    """Whole numbers in the same proportions. Exact: a float is a fraction."""
    try:
        fractions = [Fraction(weight) for weight in weights]
    except (ValueError, OverflowError) as error:
        raise ValueError(f"a weight is not a finite number: {error}") from None
    common = lcm(*(fraction.denominator for fraction in fractions))
    return [int(fraction * common) for fraction in fractions]
