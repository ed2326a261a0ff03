"""How evenly a score spreads inside each group: the entropy of its binned z-scores. Arrays only.

Adapt-infinity (arXiv 2410.10636) lets each cluster use the score whose distribution has the highest entropy.
Its code standardises the scores and then takes bin edges from the raw deviation, so that a score's unit
decides; here the edges are fixed at -4 … 4, and only the shape counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 49
REACH = 4.0


def sorted_by_group(
    groups: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Both, sorted by (group, value), without NaN: sums over them do not depend on the order of the rows."""
    valued = np.flatnonzero(~np.isnan(values))
    order = valued[np.lexsort((values[valued], groups[valued]))]
    return groups[order], values[order]


def standardised(
    groups: NDArray[np.int64], values: NDArray[np.float64], n_groups: int
) -> NDArray[np.float64]:
    """z-scores inside each group: (n,), 0 where a group's values are all equal, NaN where there is none."""
    ids, ordered = sorted_by_group(groups, values)
    starts = np.flatnonzero(np.diff(ids, prepend=-1))
    counts = np.maximum(np.bincount(ids, minlength=n_groups), 1)
    # The smallest value of a group is taken off first: a large offset would cost the digits that differ.
    least, largest = np.zeros(n_groups), np.zeros(n_groups)
    least[ids[starts]] = ordered[starts]
    largest[ids[starts]] = np.maximum.reduceat(np.abs(ordered), starts) if len(starts) else 0.0
    mean = np.bincount(ids, ordered - least[ids], minlength=n_groups) / counts
    squares = (ordered - least[ids] - mean[ids]) ** 2
    deviation = np.sqrt(np.bincount(ids, squares, minlength=n_groups) / counts)
    # What is left of equal values is rounding.
    deviation[deviation <= largest * 1e-12] = 0.0
    scale = np.where(deviation > 0, deviation, np.inf)
    z: NDArray[np.float64] = (values - least[groups] - mean[groups]) / scale[groups]
    return z


def entropies(groups: NDArray[np.int64], values: NDArray[np.float64], n_groups: int) -> NDArray[np.float64]:
    """Bits of the binned distribution of `values` in each group, in [0, log2 49 = 5.61]: (g,) float64.

    49 equal bins over z in [-4, 4]; what lies outside counts in the outermost ones. Times the share of the
    group's rows that have a value, so that a score that is mostly absent does not win. Unchanged by
    a * values + b for a > 0, up to rounding.
    """
    z = standardised(groups, values, n_groups)
    valued = ~np.isnan(z)
    bins = np.clip(np.floor((z[valued] + REACH) * (BINS / (2 * REACH))), 0, BINS - 1).astype(np.int64)
    counts = np.bincount(groups[valued] * BINS + bins, minlength=n_groups * BINS).reshape(n_groups, BINS)
    held = counts.sum(axis=1)
    share = counts / np.maximum(held, 1)[:, None]
    logs = np.log2(share, out=np.zeros_like(share), where=counts > 0)
    bits = np.maximum(-(share * logs).sum(axis=1), 0.0)
    weighed: NDArray[np.float64] = bits * held / np.maximum(np.bincount(groups, minlength=n_groups), 1)
    return weighed


def means(groups: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each group's values, 0 where there is none: (n,), (n,) -> (g,). NaN is left out."""
    n_groups = int(groups.max(initial=-1)) + 1
    ids, ordered = sorted_by_group(groups, values)
    counts = np.maximum(np.bincount(ids, minlength=n_groups), 1)
    found: NDArray[np.float64] = np.bincount(ids, ordered, minlength=n_groups) / counts
    return found
