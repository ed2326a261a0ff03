"""What an answer costs a vision-language model with the image and without: one pair of passes, all scores.

Token figures come from logits in float32; a sample's figures are means over its answer tokens.

- NLL: mean of -log p(token | what stands before it, image), in nats.
- Perplexity: exp(NLL). (Adapt-infinity's code averages exp(NLL_j) instead, which single bad tokens dominate.)
- Image grounding: perplexity without the image / perplexity with it (Adapt-infinity, Eq. of IG): above 1 the
  image helps, below 1 it misleads. Both sides are the same statistic here, unlike in the published code.
- VisNec: NLL without - NLL with (arXiv 2603.01195), the logarithm of image grounding.
- EL2N: mean of the L2 norm of (p - onehot) over the vocabulary (Paul et al. 2021; TIVE's form for sequences).
- Entropy: mean of -sum p log p, in nats, over answer tokens only.
- TaiLr weight: mean of p / (g + (1 - g) p), low where tokens look like noise (Ji et al. 2023).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.columns import figure

if TYPE_CHECKING:
    import torch

# Answer tokens whose logits are held at once in float32: 150,000 words make 300 MB of 512.
TOKENS_AT_ONCE = 512
# Why a figure is null.
TEXT_ONLY = "text_only"  # there is no image to do without
NO_ANSWER = "no_answer"  # no assistant's turn has a token
CUT_OFF = "cut_off"  # the answers lie beyond the longest prompt
NO_OTHER = "no_other_image"  # no sample of the batch has other images of the same shape
UNREADABLE = "unreadable"  # the record is in quarantine
NOT_FINITE = "not_finite"  # the model's figures are infinite or NaN


@dataclass(frozen=True)
class TokenFigures:
    """Figures of the answer tokens of one sample, in order; (t,) float32 each."""

    nll: NDArray[np.float32]  # nats
    el2n: NDArray[np.float32]  # [0, sqrt 2]
    entropy: NDArray[np.float32]  # nats

    @property
    def finite(self) -> bool:
        """Whether all of them are."""
        return all(bool(np.isfinite(each).all()) for each in (self.nll, self.el2n, self.entropy))


@dataclass(frozen=True)
class Answered:
    """A sample as the model saw it; what is None could not be computed, and `reason` says why."""

    seen: TokenFigures | None = None  # with the image, or as it is where it has none
    blind: TokenFigures | None = None  # the same tokens without it
    truncated: bool = False
    reason: str | None = None
    dominance: float | None = None  # attention a text token / attention an image token


def token_figures(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """NLL, EL2N and entropy of each token.

    Args:
        logits: (t, v), any float type; computed in float32.
        targets: (t,) int64, what follows.

    Returns:
        Three (t,) float32 tensors.
    """
    import torch

    logs = torch.log_softmax(logits.float(), dim=-1)
    probabilities = logs.exp()
    chosen = logs.gather(-1, targets[:, None])[:, 0]
    # |p - onehot|^2 = sum p^2 - 2 p_y + 1, without a second array of the vocabulary's width.
    squares = probabilities.square().sum(-1) - 2 * chosen.exp() + 1
    # A word masked by a logit of -inf adds nothing, where 0 * -inf is NaN; of other NaN the NLL tells.
    entropy = -(probabilities * logs).nan_to_num_(0.0).sum(-1)
    return -chosen, squares.clamp(min=0).sqrt(), entropy


@dataclass(frozen=True)
class Grounding:
    """`grounding`: what the model's answers-as-given cost it with and without the image.

    Args:
        gamma: of the TaiLr weight, in (0, 1].
    """

    gamma: float = 0.8

    name: ClassVar[str] = "grounding"
    version: ClassVar[int] = 2
    writes: ClassVar[pa.Schema] = pa.schema(
        [
            figure("n_answer_tokens", "tokens", "[0, inf)", "neither", pa.int32()),
            figure("nll", "nats", "[0, inf)", "neither"),
            figure("nll_blind", "nats", "[0, inf)", "neither"),
            figure("perplexity", "", "[1, inf)", "neither"),
            figure("image_grounding", "ratio of perplexities", "(0, inf)", "higher"),
            figure("visual_necessity", "nats", "(-inf, inf)", "higher"),
            figure("el2n", "L2 distance", "[0, 1.4143]", "neither"),
            figure("answer_entropy", "nats", "[0, inf)", "neither"),
            figure("tailr_weight", "", "(0, 1]", "higher"),
            figure("modality_dominance", "attention ratio", "[0, inf)", "lower"),
            figure("answer_truncated", kind=pa.bool_()),
            figure("grounding_reason", kind=pa.string()),
        ]
    )

    def score(self, batch: Sequence[Answered]) -> pa.RecordBatch:
        """One row a sample. Means are float64 sums in the order of the tokens.

        All figures are null where one of a token is not finite; a dominance that is not is null by itself.
        """
        return pa.RecordBatch.from_pylist([self._row(answered) for answered in batch], schema=self.writes)

    def _row(self, answered: Answered) -> dict[str, float | int | str | None]:
        seen, blind, dominance = answered.seen, answered.blind, answered.dominance
        row: dict[str, float | int | str | None] = {
            "grounding_reason": answered.reason,
            "answer_truncated": answered.truncated,
        }
        if not all(figures.finite for figures in (seen, blind) if figures):
            return row | {"grounding_reason": NOT_FINITE}
        if dominance is None or math.isfinite(dominance):
            row["modality_dominance"] = dominance
        else:
            row["grounding_reason"] = answered.reason or NOT_FINITE
        if seen is None:
            return row
        nll = mean(seen.nll)
        p = np.exp(-seen.nll.astype(np.float64))
        row |= {
            "n_answer_tokens": len(seen.nll),
            "nll": nll,
            "perplexity": _exp(nll),
            "el2n": mean(seen.el2n),
            "answer_entropy": mean(seen.entropy),
            "tailr_weight": mean(p / (self.gamma + (1 - self.gamma) * p)),
        }
        if blind is not None:
            without = mean(blind.nll)
            row |= {
                "nll_blind": without,
                "visual_necessity": without - nll,
                "image_grounding": _exp(without - nll),
            }
        return row


def mean(values: NDArray[np.floating]) -> float:
    """The mean in float64."""
    return float(values.astype(np.float64).mean())


def _exp(nats: float) -> float:
    """exp, at most the largest float32."""
    return float(min(np.exp(np.float64(min(nats, 700.0))), np.finfo(np.float32).max))
