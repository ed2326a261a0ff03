"""Shares of a whole in whole numbers: largest remainders, with caps. Exact."""

from __future__ import annotations

from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


def apportion(weights: ArrayLike, caps: ArrayLike, total: int) -> NDArray[np.int64]:
    """Split `total` over c groups in proportion to their weights, none above its cap.

    The shares are min(cap, level * weight) with the level at which they sum to the total (water-filling);
    rounded down, and what is left goes one by one to the largest remainders, ties to the smaller index
    (Hamilton's method). Groups of weight 0 get something only when all the others are full, and then equally.
    Computed in rational numbers: no rounding. O(c log c).

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
