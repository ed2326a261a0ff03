"""Coverage: equal-width strata of a score, and rows that take turns between them. Arrays only.

The stratified sampler of CCS (arXiv 2210.15809), which Adapt-infinity uses inside its clusters: uniform
water-filling over 50 equal-width bins. Both published ones miss their totals; here a row's place in its bin
decides, so every total is met, and a smaller one is a prefix.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.selectors.order import places_in

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BINS = 50


def percentiles(
    groups: Ints, values: Floats, n_groups: int, low: float, high: float
) -> tuple[Floats, Floats]:
    """The values at the shares `low` and `high` of each group's ranking: (g,) and (g,), NaN without values.

    Rows of the group, not interpolated: at least a share `low` of its rows lies at or below the first one,
    and as many at or above the second one.
    """
    order = np.lexsort((values, groups))
    valued = order[~np.isnan(values[order])]
    sizes = np.bincount(groups[valued], minlength=n_groups)
    starts = np.cumsum(sizes) - sizes
    out = (np.full(n_groups, np.nan), np.full(n_groups, np.nan))
    some = sizes > 0
    last = np.maximum(sizes - 1, 0)
    at_low, at_high = np.floor(low * last).astype(np.int64), np.ceil(high * last).astype(np.int64)
    out[0][some] = values[valued[(starts + at_low)[some]]]
    out[1][some] = values[valued[(starts + at_high)[some]]]
    return out


def equal_width(groups: Ints, values: Floats, low: Floats, high: Floats, bins: int = BINS) -> Ints:
    """The bin of each row in [0, bins), equal-width over its group's [low, high].

    A row without a value is in bin `bins`, one more. A value outside is in `bins` + 1: the tails.
    """
    width = high - low
    spread = np.where(width > 0, width, 1.0)[groups]
    with np.errstate(invalid="ignore"):
        share = (values - low[groups]) / spread
        number = np.minimum(np.floor(np.nan_to_num(share) * bins), bins - 1).astype(np.int64)
        outside = (values < low[groups]) | (values > high[groups])
    number = np.where(outside, bins + 1, number)
    return np.where(np.isnan(values), bins, number)


def coverage_order(groups: Ints, bins: Ints, order: Ints, n_bins: int = BINS) -> Ints:
    """The rows group by group; in each the bins take turns, by `order` inside a bin, and the tails come last.

    Its first k rows of a group are a stratified sample of k: uniform water-filling over the bins.
    """
    cells = groups * (n_bins + 2) + bins
    places = places_in(np.unique(cells, return_inverse=True)[1].reshape(-1), order)
    tails = bins[order] == n_bins + 1
    return order[np.lexsort((places, tails, groups[order]))]
