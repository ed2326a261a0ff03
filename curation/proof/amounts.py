"""Controls: random samples with as much of something as a selection has, so that amount explains nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.proof.questions import Questions
from curation.storage.store import Store

Ints = NDArray[np.int64]
EQUAL = ("samples", "pairs", "tokens")


def amounts_of(kind: str, questions: Questions, store: Store) -> Ints:
    """(n,) how much each sample has of a kind of EQUAL: itself, questions with answers, or tokens."""
    if kind == "tokens":
        return np.asarray(store.read("checked", ["n_tokens"])["n_tokens"].to_numpy(), np.int64)
    n = len(questions.group)
    return np.bincount(questions.sample, minlength=n) if kind == "pairs" else np.ones(n, np.int64)


def as_much(order: Ints, amounts: Ints, wanted: int) -> Ints:
    """The beginning of `order` whose amounts sum nearest to `wanted`, of two as near the shorter."""
    sums = np.concatenate([[0], np.cumsum(amounts[order])])
    return order[: int(np.abs(sums - wanted).argmin())]
