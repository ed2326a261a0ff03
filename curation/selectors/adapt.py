"""`adapt`: every skill cluster chooses its own score, then covers that score's range (Adapt-infinity).

arXiv 2410.10636. Per cluster the score whose binned distribution has the highest entropy; inside the cluster
a stratified sample over that score, from its 5th to its 95th percentile; clusters share the budget. What the
published code gets wrong is not done here: bin edges depend on no unit, totals are exact, draws are seeded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.selectors.apportion import apportion
from curation.selectors.decision import Deciding, Decision
from curation.selectors.entropies import entropies, means, standardised
from curation.selectors.order import TIES, demand, drawn, first_of_each, groups_of, in_rounds, numbers
from curation.selectors.per_cluster import CLUSTER, labels
from curation.selectors.strata import BINS, coverage_order, equal_width, percentiles
from schemas.errors import ConfigError
from scorers.taxonomy import CAPABILITY_COLUMNS

if TYPE_CHECKING:
    import polars as pl

# The paper's pool, which needs a VLM. Perplexity as its logarithm, as its code loads it.
GROUNDED = ("nll", "image_grounding", "el2n", "answer_entropy")
# Where there is no VLM, in this order where entropies tie.
NARROW = ("alignment", "synthetic_quality", *CAPABILITY_COLUMNS, "n_answer_words", "min_entropy")
LOW, HIGH = 0.05, 0.95
MODES = ("uniform", "spread", "density")
# Entropies closer than this count as equal: the score that is named first is taken.
EQUAL = 1e-9


@dataclass(frozen=True)
class Adapt(Deciding):
    """See the module.

    Args:
        columns: the scores to choose from; none: those of GROUNDED that exist, else those of NARROW.
        mode: how clusters share the budget. `uniform`: equally, by water-filling (the published default).
            `spread`: in proportion to the deviation of their score. `density`: in proportion to the mean
            distance to their centre (needs `similarity`).

    With `uniform` a smaller budget is a prefix.
    """

    columns: tuple[str, ...] = ()
    mode: str = "uniform"

    name: ClassVar[str] = "adapt"

    @classmethod
    def parse(cls, argument: str | None) -> Adapt:
        """The selector of the spec `adapt`, `adapt:COLUMN,COLUMN` or `adapt:COLUMN@spread`.

        Raises:
            ConfigError: there is no such mode, or an empty column.
        """
        columns, at, mode = (argument or "").partition("@")
        chosen = tuple(name.strip() for name in columns.split(",")) if columns.strip() else ()
        if "" in chosen or (argument is not None and not argument.strip()):
            raise ConfigError(f"adapt takes columns, such as adapt:alignment,min_entropy, not {argument!r}")
        if at and mode not in MODES:
            raise ConfigError(f"adapt shares the budget by {', '.join(MODES)}, not by {mode!r}")
        return cls(chosen, mode if at else "uniform")

    @property
    def needs(self) -> tuple[str, ...]:
        return (*self.columns, *(("similarity",) if self.mode == "density" else ()))

    @property
    def wants(self) -> tuple[str, ...]:
        return () if self.columns else (*GROUNDED, *NARROW)

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, CLUSTER, *self.needs))
        groups, values = groups_of([table[CLUSTER]])
        pool = self._pool(table)
        if not len(table) or not pool:
            order = in_rounds(groups, drawn(table, seed))[:n]
            names = labels(CLUSTER, values)
            return Decision(order, None, groups, names, [""] * len(names), ["no score"] * len(names))
        scores = np.stack([numbers(table[name]) for name in pool])
        bits = np.stack([entropies(groups, score, len(values)) for score in scores])
        chosen = choose(bits)
        score = scores[chosen[groups], np.arange(len(table))]
        low, high = percentiles(groups, score, len(values), LOW, HIGH)
        covered = coverage_order(groups, equal_width(groups, score, low, high), drawn(table, seed), BINS)
        if self.mode == "uniform":
            order = in_rounds(groups, covered)[:n]
        else:
            whole = np.zeros(len(table), np.int64)
            spread = np.stack([standardised(whole, column, 1) for column in scores])
            weights = self._weights(table, groups, spread[chosen[groups], np.arange(len(table))])
            quotas = apportion(weights, np.bincount(groups), min(n, len(table)))
            order = first_of_each(groups, covered, quotas)
        why = [_why(pool, column) for column in bits.T]
        scorers = [pool[number] for number in chosen]
        return Decision(order, score, groups, labels(CLUSTER, values), scorers, why)

    def _pool(self, table: pl.DataFrame) -> tuple[str, ...]:
        if self.columns:
            return self.columns
        grounded = tuple(name for name in GROUNDED if name in table.columns)
        return grounded or tuple(name for name in NARROW if name in table.columns)

    def _weights(
        self, table: pl.DataFrame, groups: NDArray[np.int64], scores: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """What shares are proportional to: (g,). `scores` (n,) are in deviations of the pool."""
        if self.mode == "density":
            return means(groups, 1.0 - numbers(table["similarity"]))
        squares = (scores - means(groups, scores)[groups]) ** 2
        return np.sqrt(means(groups, squares))


def choose(bits: NDArray[np.float64]) -> NDArray[np.int64]:
    """The score of each group with the highest entropy: (s, g) -> (g,). Ties go to the first."""
    best: NDArray[np.int64] = (bits >= bits.max(axis=0) - EQUAL).argmax(axis=0)
    return best


def _why(pool: tuple[str, ...], bits: NDArray[np.float64]) -> str:
    order = np.argsort(-bits, kind="stable")
    parts = [f"{pool[number]} {bits[number]:.3f}" for number in order]
    return f"entropy in bits: {', '.join(parts)}"
