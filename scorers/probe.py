"""A light model of capabilities and styles: logistic in instruction patterns, image and text vectors.

    points of a capability = 5 sigmoid(w x + b)        has a style = sigmoid(w x + b)

One linear layer for all 23 outputs. Fitted by cross-entropy, which for points is that of points / 5, with the
squared weights as penalty; so scores keep to their range, and a mean score agrees with the mean label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scorers.instructions import FEATURES, features
from scorers.taxonomy import CAPABILITY_COLUMNS, MOST, STYLE_COLUMNS, WRITES

OUTPUTS = (*CAPABILITY_COLUMNS, *STYLE_COLUMNS)
N_CAPABILITIES = len(CAPABILITY_COLUMNS)
FURTHEST = 6.0  # standard deviations at which a feature is cut off
# Features are rounded to multiples of 2^-14 and weights to multiples of 2^-18, both below 8: up to 2^14
# products add up in float64 without rounding, and a row's bits are the same whatever it is computed beside.
FINE, FINER, LARGEST = 2.0**14, 2.0**18, 7.999
MOST_FEATURES = 2**14
ROUNDS = 100  # of L-BFGS; it stops earlier where the loss does
# Weight of a standardised number of a vector against a pattern's: there are many of them, all of one kind.
VECTOR_SCALE = 0.3
NO_VECTOR = "no_vector: neither its images nor its text have a vector"
UNUSABLE = "quarantined: the record cannot be used"


def names(dim: int) -> tuple[str, ...]:
    """What each feature is, for vectors of `dim` numbers."""
    return (*FEATURES, "has_image", *(f"image_{i}" for i in range(dim)), *(f"text_{i}" for i in range(dim)))


def design(
    patterns: NDArray[np.float32],
    image: NDArray[np.float32],
    text: NDArray[np.float32],
    has_image: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """(n, len(names(d))) features: (n, p) patterns, (n, d) unit rows of which absent ones are zero, (n,)."""
    return np.concatenate([patterns, has_image[:, None].astype(np.float32), image, text], axis=1)


@dataclass(frozen=True, eq=False)
class Weights:
    """A fitted model: `centre` and `scale` (f,) of the features, `weight` (f, 23), `bias` (23,); float32."""

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def apply(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, f) features -> (n, 23) float32, columns as OUTPUTS: points, then chances in [0, 1].

        Exact up to the last step, so the bits of a row follow from that row.
        """
        exact = np.rint(_scaled(rows, self.centre, self.scale) * FINE) / FINE
        logits = exact @ self.weight.astype(np.float64) + self.bias.astype(np.float64)
        chances = 1.0 / (1.0 + np.exp(-logits))
        chances[:, :N_CAPABILITIES] *= MOST
        return chances.astype(np.float32)

    def shifted(self, thresholds: NDArray[np.floating]) -> Weights:
        """The same model with the chance `thresholds` (9,) of each style moved to one half."""
        moved = self.bias.astype(np.float64)
        moved[N_CAPABILITIES:] -= np.log(thresholds / (1.0 - thresholds))
        return Weights(self.centre, self.scale, self.weight, moved.astype(np.float32))


def fit(rows: NDArray[np.float32], labels: NDArray[np.float32], strength: float) -> Weights:
    """Fit points and styles to labels.

    Args:
        rows: (n, f) features, see `design`.
        labels: (n, 23), columns as OUTPUTS: points from 0 to 5, then 0 or 1 (or between); NaN is unknown.
        strength: what the squared weights cost against the mean cross-entropy, both summed over the outputs;
            1e-4 (thousands of labels) to 1e-1 (dozens).

    Raises:
        ValueError: the shapes do not fit, there are no rows, or too many features.
    """
    import torch

    if len(rows) != len(labels) or not len(rows) or labels.shape[1] != len(OUTPUTS):
        raise ValueError(f"{rows.shape} features and {labels.shape} labels; they must be the same samples")
    if rows.shape[1] > MOST_FEATURES:
        raise ValueError(f"{rows.shape[1]} features; at most {MOST_FEATURES} can be weighed exactly")
    centre, scale = _moments(rows)
    x = torch.from_numpy(_scaled(rows, centre, scale).astype(np.float32))
    chances = labels.astype(np.float32)
    chances[:, :N_CAPABILITIES] /= MOST
    y = torch.from_numpy(np.nan_to_num(chances))
    known = torch.from_numpy(~np.isnan(chances)).float()
    share = known / known.sum(dim=0).clamp(min=1)  # of its output's cost that each label bears
    weight = torch.zeros(x.shape[1], y.shape[1], requires_grad=True)
    bias = torch.logit((y * share).sum(dim=0).clamp(1e-4, 1 - 1e-4)).requires_grad_()
    descent = torch.optim.LBFGS(
        [weight, bias], max_iter=ROUNDS, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        descent.zero_grad()
        logits = x @ weight + bias
        cost = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, share, reduction="sum")
        cost = cost + strength * weight.square().sum()
        cost.backward()  # type: ignore[no-untyped-call]
        return cost

    descent.step(loss)  # type: ignore[no-untyped-call]
    found = np.clip(weight.detach().numpy().astype(np.float64), -LARGEST, LARGEST)
    rounded = (np.rint(found * FINER) / FINER).astype(np.float32)
    return Weights(centre, scale, rounded, bias.detach().numpy().astype(np.float32))


def _moments(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean of each feature, and what it is divided by: its deviation, of vectors their common one."""
    wide = rows.astype(np.float64)
    centre, deviation = wide.mean(axis=0), wide.std(axis=0)
    deviation[deviation < 1e-6] = 1.0
    vectors = slice(len(FEATURES) + 1, None)
    if rows.shape[1] > len(FEATURES) + 1:
        deviation[vectors] = deviation[vectors].mean() / VECTOR_SCALE
    return centre.astype(np.float32), deviation.astype(np.float32)


def _scaled(
    rows: NDArray[np.float32], centre: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float64]:
    scaled = (rows.astype(np.float64) - centre) / scale
    return np.clip(scaled, -FURTHEST, FURTHEST)


class Sampled(Protocol):
    """What `Probe` reads: samples row by row; a vector that is absent is a row of zeros."""

    @property
    def turns(self) -> pa.ListArray:
        """(n,) list<struct<role, text>>."""
        ...

    @property
    def n_images(self) -> NDArray[np.integer]:
        """(n,)."""
        ...

    @property
    def image(self) -> NDArray[np.float32]:
        """(n, d) unit rows or zeros."""
        ...

    @property
    def text(self) -> NDArray[np.float32]:
        """(n, d) unit rows or zeros."""
        ...

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(n,) False for what is in quarantine."""
        ...


@dataclass(frozen=True)
class Probe:
    """`capability`, from a fitted model. Null with a reason where a sample has no vector at all."""

    weights: Weights

    name: ClassVar[str] = "capability"
    version: ClassVar[int] = 1
    writes: ClassVar[pa.Schema] = WRITES

    def score(self, batch: Sampled) -> pa.RecordBatch:
        """One row a sample, with the columns of `writes`."""
        seen = batch.usable & (present(batch.image) | present(batch.text))
        scores = self.weights.apply(rows_of(batch))
        columns = [pa.array(scores[:, i], mask=~seen) for i in range(len(OUTPUTS))]
        reasons = np.where(batch.usable, NO_VECTOR, UNUSABLE)
        return pa.record_batch([*columns, pa.array(reasons, pa.string(), mask=seen)], schema=WRITES)


def rows_of(batch: Sampled) -> NDArray[np.float32]:
    """(n, f) features of samples."""
    patterns = features(batch.turns, batch.n_images)
    return design(patterns, batch.image, batch.text, present(batch.image))


def present(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(n, d) -> (n,): False where a row is all zeros, which stands for no vector."""
    return np.asarray(vectors.any(axis=1))
