"""How well scores agree with labels: rank correlation, calibration, F1. Arrays in, numbers out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Thresholds that are tried for a style; one outside would rest on few rows.
THRESHOLDS = np.arange(0.3, 0.71, 0.05)


def spearman(scores: NDArray[np.floating], labels: NDArray[np.floating]) -> float | None:
    """Rank correlation in [-1, 1]; None where either side is constant."""
    from scipy.stats import spearmanr

    if min(len(np.unique(scores)), len(np.unique(labels))) < 2:
        return None
    return float(spearmanr(scores, labels).statistic)


def calibration(
    scores: NDArray[np.floating], labels: NDArray[np.floating], bins: int = 10
) -> tuple[float, float, list[tuple[float, float]]]:
    """How far the mean score is from the mean label, in the labels' unit.

    Returns:
        (error, bias, deciles): `deciles` are (mean score, mean label) of the rows cut into `bins` equal parts
        by score, lowest first; `error` is the mean over the rows of the distance in their part, `bias` the
        mean score less the mean label.
    """
    order = np.argsort(scores, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    means = [(float(scores[part].mean()), float(labels[part].mean())) for part in parts]
    error = sum(abs(score - label) * len(part) for (score, label), part in zip(means, parts, strict=True))
    return error / len(scores), float(scores.mean() - labels.mean()), means


def f1(said: NDArray[np.bool_], true: NDArray[np.bool_]) -> float | None:
    """F1 in [0, 1]; None where nothing is said and nothing is true."""
    total = int(said.sum() + true.sum())
    return 2 * int((said & true).sum()) / total if total else None


def best_threshold(chances: NDArray[np.floating], true: NDArray[np.bool_]) -> float:
    """The threshold of THRESHOLDS with the best F1, of equal ones the nearest to one half; `>=` is yes."""
    found = [(f1(chances >= t, true) or 0.0, -abs(t - 0.5), t) for t in THRESHOLDS]
    return float(max(found)[2])


def macro(figures: list[float | None]) -> float | None:
    """Mean of the figures there are."""
    known = [figure for figure in figures if figure is not None]
    return sum(known) / len(known) if known else None
