"""Fit a scorer of capabilities to labels, and say by cross-validation how well it keeps to them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.steps.score.probe import sampled
from curation.storage.store import Store
from schemas.errors import ConfigError
from scorers.agreement import best_threshold, calibration, f1, macro, spearman
from scorers.probe import N_CAPABILITIES, OUTPUTS, Weights, fit, present, rows_of
from scorers.taxonomy import CAPABILITY_COLUMNS, MOST, STYLE_COLUMNS

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)  # of the penalty; cross-validation decides
LEAST = 50  # labelled samples below which nothing is fitted
POSITIVES = 10  # samples of a style below which its threshold stays one half


@dataclass(frozen=True)
class Trained:
    """A fitted model, the scores that samples had from models fitted without them, and their figures."""

    weights: Weights
    held_out: NDArray[np.float32]  # (n, 23)
    figures: dict[str, Any]


def train(found: Examples, *, folds: int = 5, say: Callable[[str], None] = lambda text: None) -> Trained:
    """Fit to all examples; strength and thresholds by cross-validation over `folds` parts.

    Samples that share their first image are in one part. Equal examples give equal figures, and on one
    machine equal bytes.

    Raises:
        ConfigError: there are too few labels, or fewer images than parts.
    """
    if len(found.uids) < LEAST:
        raise ConfigError(
            f"{len(found.uids)} samples of the pool have labels; at least {LEAST} are needed "
            "(label more with `curate annotate --sample N`)"
        )
    parts = parts_of(found.groups, folds)
    if len(np.unique(parts)) < folds:
        raise ConfigError(f"too few different images for {folds} parts; take fewer --folds")
    tried = {}
    for strength in STRENGTHS:
        say(f"cross-validating with strength {strength:g}")
        tried[strength] = held_out(found, parts, strength)
    losses = {strength: loss(scores, found.labels) for strength, scores in tried.items()}
    strength = min(losses, key=lambda each: (losses[each], -each))
    thresholds = _thresholds(tried[strength], found.labels)
    weights = fit(found.rows, found.labels, strength).shifted(thresholds)
    scores = shifted(tried[strength], thresholds)
    about = {"n": len(found.uids), "folds": folds, "strength": strength, "thresholds": thresholds.tolist()}
    return Trained(weights, scores, {**about, **figures(scores, found.labels)})


def held_out(found: Examples, parts: NDArray[np.int64], strength: float) -> NDArray[np.float32]:
    """(n, 23) scores of each sample by a model that was fitted to the samples of the other parts."""
    scores = np.zeros(found.labels.shape, np.float32)
    for part in np.unique(parts):
        out = parts == part
        scores[out] = fit(found.rows[~out], found.labels[~out], strength).apply(found.rows[out])
    return scores


def parts_of(groups: Sequence[bytes], folds: int) -> NDArray[np.int64]:
    """(n,) numbers below `folds`, equal for equal groups: groups dealt out in the order of their hashes."""
    order = sorted(set(groups), key=lambda group: hashlib.blake2b(group, digest_size=8).digest())
    place = {group: i % folds for i, group in enumerate(order)}
    return np.array([place[group] for group in groups], np.int64)


def loss(scores: NDArray[np.float32], labels: NDArray[np.float32]) -> float:
    """Mean cross-entropy over outputs and known labels."""
    unit = np.ones(len(OUTPUTS))
    unit[:N_CAPABILITIES] = MOST
    chance = np.clip(scores / unit, 1e-6, 1 - 1e-6)
    target = labels / unit
    costs = -(target * np.log(chance) + (1 - target) * np.log(1 - chance))
    known = ~np.isnan(labels)
    return float(np.mean([costs[known[:, i], i].mean() for i in range(len(OUTPUTS)) if known[:, i].any()]))


def shifted(scores: NDArray[np.float32], thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scores with each style's threshold moved to one half, as `Weights.shifted` has them."""
    chances = np.clip(scores[:, N_CAPABILITIES:].astype(np.float64), 1e-9, 1 - 1e-9)
    odds = chances / (1 - chances) * (1 - thresholds) / thresholds
    return np.concatenate([scores[:, :N_CAPABILITIES], (odds / (1 + odds)).astype(np.float32)], axis=1)


def _thresholds(scores: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float64]:
    found = np.full(len(STYLE_COLUMNS), 0.5)
    for i in range(len(found)):
        said, true = scores[:, N_CAPABILITIES + i], labels[:, N_CAPABILITIES + i]
        known = ~np.isnan(true)
        if (true[known] > 0.5).sum() >= POSITIVES:
            found[i] = best_threshold(said[known], true[known] > 0.5)
    return found


def figures(scores: NDArray[np.float32], labels: NDArray[np.float32]) -> dict[str, Any]:
    """How well scores agree with labels, output by output.

    Returns:
        capabilities: by column `n`, `spearman` (None where labels are constant), `calibration_error` and
            `bias` in points, `deciles` (mean score, mean label).
        styles: by column `n`, `n_positive`, `f1` at one half (None where no label and no score has it).
        macro_f1, mean_spearman: means of those there are.
    """
    capabilities: dict[str, dict[str, Any]] = {}
    styles: dict[str, dict[str, Any]] = {}
    for i, column in enumerate(OUTPUTS):
        known = ~np.isnan(labels[:, i])
        said, true = scores[known, i], labels[known, i]
        if column in CAPABILITY_COLUMNS and known.any():
            error, bias, deciles = calibration(said, true)
            capabilities[column] = {
                "n": int(known.sum()),
                "spearman": _rounded(spearman(said, true)),
                "calibration_error": round(error, 4),
                "bias": round(bias, 4),
                "deciles": [[round(score, 3), round(label, 3)] for score, label in deciles],
            }
        elif known.any():
            positive = true > 0.5
            styles[column] = {
                "n": int(known.sum()),
                "n_positive": int(positive.sum()),
                "f1": _rounded(f1(said >= 0.5, positive)),
            }
    return {
        "capabilities": capabilities,
        "styles": styles,
        "mean_spearman": _rounded(macro([each["spearman"] for each in capabilities.values()])),
        "macro_f1": _rounded(macro([each["f1"] for each in styles.values()])),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


@dataclass(frozen=True)
class Examples:
    """Samples of a pool that have labels, as arrays."""

    uids: list[bytes]
    rows: NDArray[np.float32]  # (n, f) features
    labels: NDArray[np.float32]  # (n, 23); NaN is unknown
    groups: list[bytes]  # equal where two samples share their first image


def examples(store: Store, labels: Mapping[bytes, NDArray[np.float32]], table: str = "vectors") -> Examples:
    """The readable samples that `labels` names by uid, in pool order; vectors are those of `table`."""
    parts, held, groups = [], [], []
    samples = store.iterate("samples", ["uid", "turns", "n_images", "images"])
    known = zip(store.iterate("checked", ["error"]), store.iterate(table, ["image", "text"]), strict=True)
    for shard, (errors, vector) in zip(samples, known, strict=True):
        wanted = [
            uid in labels and error is None
            for uid, error in zip(shard["uid"].to_pylist(), errors["error"].to_pylist(), strict=True)
        ]
        joined = pa.table(
            {name: shard[name] for name in shard.column_names}
            | {"error": errors["error"], "image": vector["image"], "text": vector["text"]}
        ).filter(pa.array(wanted))
        if not len(joined):
            continue
        batch = joined.combine_chunks().to_batches()[0]
        read = sampled(batch)
        seen = present(read.image) | present(read.text)
        parts.append(rows_of(read)[seen])
        uids, images = batch["uid"].to_pylist(), batch["images"].to_pylist()
        held += [uid for uid, one in zip(uids, seen, strict=True) if one]
        groups += [
            refs[0]["sha256"] if refs else uid
            for uid, refs, one in zip(uids, images, seen, strict=True)
            if one
        ]
    if not held:
        return Examples([], np.zeros((0, 0), np.float32), np.zeros((0, len(OUTPUTS)), np.float32), [])
    return Examples(held, np.concatenate(parts), np.stack([labels[uid] for uid in held]), groups)
