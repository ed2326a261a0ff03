"""`tive`: more of tasks with large gradients; of each what points where its task does (arXiv 2403.09559).

A task is a source. Its share of the budget is proportional to its value, the mean norm of its samples'
gradients, whatever its size. A sample's value is the mean cosine of its gradient to those of its task, and
samples are drawn without replacement with chances in proportion to exp(weight * value). The published code
draws with a weight of 0.001, which is chance, and repeats samples where a task has too few; here the weight
is an argument, and what a task cannot give goes to the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.selectors.apportion import apportion
from curation.selectors.decision import Deciding, Decision
from curation.selectors.entropies import means
from curation.selectors.order import TIES, demand, first_of_each, groups_of, numbers, pick_order, random_keys
from curation.selectors.per_cluster import SOURCE, labels
from curation.selectors.spec import knob

if TYPE_CHECKING:
    import polars as pl

NORM = "gradient_norm"
ALIKE = "task_similarity@gradient"  # mean cosine of a gradient to those of its source


@dataclass(frozen=True)
class Tive(Deciding):
    """Quotas of the sources from the norms of gradients, drawn inside them by likeness.

    Samples without a gradient come last in their source. Ties go to the smaller (content_hash, uid).

    Args:
        weight: of the cosine in the exponent; 0 is chance, large ones take the most alike.
    """

    weight: float = 10.0

    name: ClassVar[str] = "tive"
    needs: ClassVar[tuple[str, ...]] = (SOURCE, NORM, ALIKE)

    @classmethod
    def parse(cls, argument: str | None) -> Tive:
        """The selector of the spec `tive` or `tive:WEIGHT`.

        Raises:
            ConfigError: the weight is no number of at least 0.
        """
        wanted = f"tive takes a weight of at least 0, such as tive:10, not {argument!r}"
        return cls(knob(argument, cls.weight, lambda weight: 0 <= weight < float("inf"), wanted))

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        import polars as pl

        demand(table, (*TIES, *self.needs))
        groups, values = groups_of([table[SOURCE]])
        worth = means(groups, numbers(table[NORM]))
        quotas = apportion(worth, np.bincount(groups), min(n, len(table)))
        alike = numbers(table[ALIKE])
        # Adding Gumbel noise to the logits and taking the largest draws without replacement.
        keys = self.weight * alike + gumbel(table["uid"], seed)
        order = first_of_each(groups, pick_order(table, [pl.Series(keys)], [True]), quotas)
        names = labels(SOURCE, values)
        why = [f"mean gradient norm {norm:.4g}" for norm in worth]
        return Decision(order, alike, groups, names, ["likeness to its task"] * len(names), why)


def gumbel(uid: pl.Series, seed: int) -> NDArray[np.float64]:
    """Noise of the standard Gumbel distribution, from the uid and the seed alone: (n,)."""
    # 53 bits and a half, so that it is never 0 or 1.
    uniform = ((random_keys(uid, seed) >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    noise: NDArray[np.float64] = -np.log(-np.log(uniform))
    return noise


def sums_of_tasks(
    blocks: Iterable[tuple[slice, NDArray[np.float32]]], tasks: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The sum of each task's rows, and how many are not zero: ((g, d), (g,)).

    Args:
        blocks: rows on the grid, with their places.
        tasks: (n,) of every row, in [0, g).
    """
    counts = np.zeros(int(tasks.max(initial=-1)) + 1, np.int64)
    sums: NDArray[np.float64] = np.zeros((len(counts), 0))
    for part, rows in blocks:
        if not sums.size:
            sums = np.zeros((len(counts), rows.shape[1]))
        for task in np.unique(tasks[part]).tolist():
            own = rows[tasks[part] == task]
            sums[task] += own.sum(axis=0, dtype=np.float64)
            counts[task] += int(own.any(axis=1).sum())
    return sums, counts


def similarity_to_task(
    rows: NDArray[np.float32], tasks: NDArray[np.int64], sums: NDArray[np.float64], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The mean cosine of each row to its task's rows, itself among them: (m, d), (m,) -> (m,); NaN for zeros.

    Rows are on the grid, so that products with sums are exact.
    """
    found = np.full(len(rows), np.nan)
    for task in np.unique(tasks).tolist():
        own = np.flatnonzero((tasks == task) & rows.any(axis=1))
        found[own] = rows[own] @ sums[task] / max(int(counts[task]), 1)
    return found
