"""`datatailor`: informative, unique and representative, by ranks inside each source (arXiv 2412.06293).

- Informativeness: the paper takes the entropy of the singular values of a sample's hidden states. It is at
  most the logarithm of the number of tokens, and that bound is taken unless a column is named:
  `datatailor:hidden_entropy` is the paper's.
- Uniqueness: inside a cluster of a source, the sum over its rows of distance * informativeness, over the
  cluster's mean distance.
- Representativeness: the mean of exp(cosine) of the own cluster's centre to the others of the source, times
  the sample's informativeness.

Each becomes a rank inside the source, and the score is (R * info + uniq + repr) / (R + 2), with R the number
of the sample's rounds. The published code clusters by Ward's method, over all pairs of a dataset; here the
clusters are those of `curate cluster`. It also weights datasets by the largest singular value; here sources
give in proportion to their size, and `--mix` gives other shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from clustering.vectors import unit
from curation.selectors.apportion import apportion
from curation.selectors.d2 import ranked_share
from curation.selectors.decision import Deciding, Decision
from curation.selectors.grid import IMAGE, TEXT, joint_vectors
from curation.selectors.order import TIES, demand, first_of_each, groups_of, numbers, pick_order
from curation.selectors.per_cluster import CLUSTER, SOURCE, labels
from schemas.grid import on_grid

if TYPE_CHECKING:
    import polars as pl

TOKENS, TURNS = "n_tokens", "n_turns"
CHUNK = 2048
# Distances and informativeness are rounded to these, so that float64 adds up 2^19 products exactly.
DISTANCES, SHARES = 2.0**12, 2.0**20
KERNELS = 2.0**30


@dataclass(frozen=True)
class DataTailor(Deciding):
    """The highest scores of each source, in proportion to the sources' sizes, by largest remainder.

    Ties go to the smaller (content_hash, uid); the seed has no influence. Time: the sum over clusters of
    size^2 * d multiplications; memory: a few rows of distances, never a cluster's square.

    Args:
        column: what says how informative a sample is, at least 0; "": the logarithm of its tokens.
    """

    column: str = ""

    name: ClassVar[str] = "datatailor"

    @classmethod
    def parse(cls, argument: str | None) -> DataTailor:
        """The selector of the spec `datatailor` or `datatailor:COLUMN`."""
        return cls(argument or "")

    @property
    def needs(self) -> tuple[str, ...]:
        return (IMAGE, TEXT, SOURCE, TURNS, self.column or TOKENS)

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        import polars as pl

        demand(table, (*TIES, CLUSTER, *self.needs))
        if not len(table):
            return Decision(np.empty(0, np.int64))
        sources, values = groups_of([table[SOURCE]])
        groups, parts = groups_of([table[SOURCE], table[CLUSTER]])
        # The source of each cluster of a source: both are numbered in the order of the sources' names.
        of_group = groups_of([parts[SOURCE]])[0]
        rows = joint_vectors(table)
        information = self._information(table)
        figures = (
            information,
            uniqueness(rows, groups, information),
            representativeness(rows, groups, of_group)[groups] * information,
        )
        info, unique, typical = (ranked_within(sources, figure) for figure in figures)
        rounds = numbers(table[TURNS]) / 2
        score = (rounds * info + unique + typical) / (rounds + 2)
        sizes = np.bincount(sources)
        quotas = apportion(sizes, sizes, min(n, len(table)))
        order = first_of_each(sources, pick_order(table, [pl.Series(score)], [True]), quotas)
        names = labels(SOURCE, values)
        return Decision(order, score, sources, names, ["the mean of three ranks"] * len(names))

    def _information(self, table: pl.DataFrame) -> NDArray[np.float64]:
        """(n,) in [0, 1] of the largest: only ratios count. 0 without a value."""
        values = np.maximum(np.nan_to_num(numbers(table[self.column or TOKENS])), 0.0)
        values = values if self.column else np.log1p(values)
        scaled: NDArray[np.float64] = np.rint(values / max(values.max(), 1e-300) * SHARES) / SHARES
        return scaled


def uniqueness(
    rows: NDArray[np.float32], groups: NDArray[np.int64], information: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum over the own group of distance * information, over the group's mean distance; 0 if all are one.

    (n, d) on the grid, (n,) and (n,) multiples of 2^-20 in [0, 1] -> (n,). The sums are exact.
    """
    found = np.zeros(len(rows))
    for part in members(groups):
        own, weight = rows[part], information[part]
        weighted, total = np.empty(len(part)), 0.0
        for start in range(0, len(part), CHUNK):
            away = distances(own[start : start + CHUNK], own)
            weighted[start : start + CHUNK] = away @ weight
            total += float(away.sum())
        found[part] = weighted / (total / len(part)) if total else 0.0
    return found


def distances(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """Euclidean distances of rows on the grid: (p, d), (q, d) -> (p, q), multiples of 2^-12."""
    left, right = (np.einsum("ij,ij->i", side, side, dtype=np.float64) for side in (rows, others))
    squares = left[:, None] + right - 2.0 * (rows @ others.T)
    away: NDArray[np.float64] = np.rint(np.sqrt(np.maximum(squares, 0.0)) * DISTANCES) / DISTANCES
    return away


def representativeness(
    rows: NDArray[np.float32], groups: NDArray[np.int64], sources: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The mean of exp(cosine) of each group's centre to the others of its source: (g,); 1 where it is alone.

    Args:
        rows: (n, d) on the grid.
        groups: (n,) in [0, g).
        sources: (g,) of the groups, ascending.
    """
    centres = on_grid(unit(np.stack([rows[part].sum(axis=0, dtype=np.float64) for part in members(groups)])))
    found = np.ones(len(sources))
    for part in members(sources):
        if len(part) == 1:
            continue
        for at in range(0, len(part), CHUNK):
            some = part[at : at + CHUNK]
            near = np.rint(np.exp((centres[some] @ centres[part].T).astype(np.float64)) * KERNELS) / KERNELS
            near[np.arange(len(some)), np.arange(at, at + len(some))] = 0.0
            found[some] = near.sum(axis=1) / (len(part) - 1)
    return found


def ranked_within(groups: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of the own group's rows that are not above each row: (n,) in (0, 1]."""
    found = np.empty(len(values))
    for part in members(groups):
        found[part] = ranked_share(values[part])
    return found


def members(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows of each group, ascending; every group has some."""
    return np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
