"""How well a score tells true pairs from mismatched ones, and where it may be cut. Arrays in, numbers out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TWO_SIDED = 1.959964  # normal quantile of a 95 % interval
SURE = 2.326348  # that of a bound which holds in 99 % of cases
HALVINGS = 60  # of [0, 1]: to the last digit of a float64
# Wrong pairs must show below this share of the mismatched scores. Higher up they are not told from the long
# left tail of right ones: at a quarter one of 13 clean groups of real data seemed to be 14 % wrong.
TENTH = 0.1
MOST_WRONG = 0.99


def area(true: Floats, wrong: Floats) -> float:
    """The area under the ROC curve: how often a true pair scores higher than a mismatched one, in [0, 1].

    P(true > wrong) + P(true = wrong) / 2 from ranks (Mann and Whitney 1947). The counts are whole numbers, so
    the order changes no bit.

    Args:
        true: (t,) scores of pairs as they are, t > 0.
        wrong: (w,) scores of mismatched pairs, w > 0.
    """
    wrong = np.sort(wrong)
    below, not_above = (np.searchsorted(wrong, true, side) for side in ("left", "right"))
    return (int(below.sum()) + int(not_above.sum())) / (2 * len(true) * len(wrong))


def interval(area: float, n: int) -> tuple[float, float]:
    """The 95 % interval of an area that was measured on n independent pairs of each kind, in [0, 1].

    Of two pairs that share an image only one is independent, and mismatched pairs share all of theirs.

    The standard error is that of Hanley and McNeil (Radiology 143:29, 1982, from Q1 and Q2), taken at the end
    of the interval and not at `area`: method 5 of Newcombe (Statistics in Medicine 25:559, 2006). So an area
    of 1 has an interval as well, which takes ten pairs to lie above 0.8.
    """
    return _end(area, n), 1 - _end(1 - area, n)


def _end(area: float, n: int) -> float:
    """The smallest value that `area` is no more than 1.96 standard errors above."""
    low, high = 0.0, area
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if area - middle > TWO_SIDED * standard_error(middle, n):
            low = middle
        else:
            high = middle
    return low


def standard_error(area: float, n: int) -> float:
    """Of an area that is measured on n true and n mismatched pairs (Hanley and McNeil 1982)."""
    q1, q2 = area / (2 - area), 2 * area * area / (1 + area)
    spread = area * (1 - area) + (n - 1) * (q1 + q2 - 2 * area * area)
    return math.sqrt(max(spread, 0.0)) / n


def wrong_share(true: Floats, wrong: Floats) -> float:
    """What share of `true` is wrong pairs, in [0, 1); 0 where it is not certain that some are.

    Scores of right pairs are taken to lie as far below their median as above it; what is low beyond that is
    wrong. It must be so among the lowest tenth of the mismatched scores, by Wilson bounds of 99 %; then it is
    estimated below their median, where there is most to count: of wrong pairs half lie there.
    """
    wrong = np.sort(wrong)
    low, middle = wrong[int(TENTH * len(wrong))], wrong[len(wrong) // 2]
    below, above = _both_ends(true, low)
    if _bound(below, len(true), -SURE) <= _bound(above, len(true), SURE):
        return 0.0
    (below, above), expected = _both_ends(true, middle), float((wrong < middle).mean())
    if above >= expected * len(true):
        return 0.0
    return min(max((below - above) / (expected * len(true) - above), 0.0), MOST_WRONG)


def _both_ends(scores: Floats, point: float) -> tuple[int, int]:
    """How many scores lie below a point, and how many above its mirror image in their median."""
    mirrored = 2 * float(np.median(scores)) - point
    return int((scores < point).sum()), int((scores > mirrored).sum())


def _bound(count: int, n: int, z: float) -> float:
    """One end of the interval of a share (Wilson, JASA 22:209, 1927)."""
    share, square = count / n, z * z
    root = math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return max((share + square / (2 * n) + z * root) / (1 + square / n), 0.0)


def threshold(scores: Floats, wrong: Floats, *, share: float, size: int, max_loss: float) -> float | None:
    """The highest score below which at most `max_loss` of the right pairs are expected; None: there is none.

    It is not above the median of the mismatched pairs. Scores are a mixture of `share` wrong pairs and the
    rest right ones, F = share F0 + (1 - share) F1, and F1 is what is bounded.

    Args:
        scores: (t,) of the pairs as they are; what will be compared with the threshold.
        wrong: (w,) of mismatched pairs.
        share: of wrong pairs among `scores`, from `wrong_share`.
        size: how many pairs `scores` is a sample of; of an unseen one it is known only between which two seen
            ones it lies, with equal chances (1 / (t + 1) each).
        max_loss: in [0, 1].
    """
    scores, wrong = np.sort(scores), np.sort(wrong)
    most = float(np.median(wrong))
    at = np.append(scores[scores <= most], most)
    n = len(scores)
    below = np.searchsorted(scores, at, "left")
    expected = (below + (size - n) * (below + 1) / (n + 1)) / size
    lost = (expected - share * np.searchsorted(wrong, at, "left") / len(wrong)) / (1 - share)
    allowed = at[lost <= max_loss]
    return float(allowed[-1]) if len(allowed) else None
