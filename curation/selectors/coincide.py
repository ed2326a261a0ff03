"""`coincide`: clusters that resemble others and are sparse keep more; of each the most typical set.

arXiv 2406.10995. A cluster's share is proportional to exp(S / (temperature * D)): S, its transferability, is
the mean cosine of its centre to the others (near-copies above 0.9 left out); D, its density, is the mean
Gaussian kernel between its rows. Inside a cluster picks minimise the squared MMD to the whole cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from clustering.vectors import unit
from curation.selectors.apportion import apportion
from curation.selectors.decision import Deciding, Decision
from curation.selectors.grid import ACTIVATION, IMAGE, TEXT, joint_vectors, vectors_of
from curation.selectors.order import TIES, demand, groups_of, in_rounds, pick_order
from curation.selectors.per_cluster import CLUSTER, labels
from curation.selectors.spec import knob, positive
from schemas.errors import ConfigError
from schemas.grid import on_grid

if TYPE_CHECKING:
    import polars as pl

SPACES = {"embedding": (IMAGE, TEXT), "activation": (ACTIVATION,)}
COPY = 0.9  # centres that are nearer than this are taken for one
CHUNK = 2048
# Kernels are rounded to this, so that float64 adds up 2^22 of them without rounding.
KERNEL_GRID = 2.0**30


@dataclass(frozen=True)
class Coincide(Deciding):
    """See the module. Vectors are the joint ones of image and text, or `activation` ones of a VLM's layers.

    The published code takes S from the texts' half of the activations; these are sketched, and taken whole.
    Ties go to the smaller (content_hash, uid); the seed has no influence. Time: the sum over clusters of
    size^2 * d multiplications; memory: a few rows of kernels, never a cluster's square.
    """

    temperature: float = 0.1
    space: str = "embedding"

    name: ClassVar[str] = "coincide"

    @classmethod
    def parse(cls, argument: str | None) -> Coincide:
        """The selector of the spec `coincide`, `coincide:TEMPERATURE` or `coincide@activation`.

        Raises:
            ConfigError: the temperature is no positive number, or there are no such vectors.
        """
        number, at, space = (argument or "").partition("@")
        wanted = f"coincide takes a temperature, such as coincide:0.1, not {argument!r}"
        made = cls(knob(number or None, 0.1, positive, wanted), space if at else "embedding")
        if made.space not in SPACES:
            raise ConfigError(f"coincide compares by {' or '.join(SPACES)}, not by {space!r}")
        return made

    @property
    def needs(self) -> tuple[str, ...]:
        return SPACES[self.space]

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, CLUSTER, *self.needs))
        canonical = pick_order(table, [], [])
        k = min(n, len(table))
        if not k:
            return Decision(canonical[:0])
        rows = self._rows(table)[canonical]
        groups, values = groups_of([table[CLUSTER][canonical]])
        sizes = np.bincount(groups)
        members = np.split(np.argsort(groups, kind="stable"), np.cumsum(sizes)[:-1])
        kernels = [kernel_sums(rows[part]) for part in members]
        density = np.array([sums.mean() / len(sums) for sums in kernels])
        reach = transferability(np.stack([rows[part].sum(axis=0, dtype=np.float64) for part in members]))
        power = reach / (self.temperature * density)
        quotas = apportion(np.exp(power - power.max()), sizes, k)
        picked = [
            part[matching(rows[part], sums, quota)]
            for part, sums, quota in zip(members, kernels, quotas.tolist(), strict=True)
        ]
        order = np.concatenate(picked)
        order = in_rounds(groups, order)
        stratum = np.empty_like(groups)
        stratum[canonical] = groups
        names = labels(CLUSTER, values)
        why = [f"transferability {s:.4f}, density {d:.4f}" for s, d in zip(reach, density, strict=True)]
        return Decision(canonical[order], None, stratum, names, ["mean discrepancy"] * len(names), why)

    def _rows(self, table: pl.DataFrame) -> NDArray[np.float32]:
        if self.space == "embedding":
            return joint_vectors(table)
        return on_grid(vectors_of(table, self.needs)[0])


def transferability(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean cosine of each centre to those that are no near-copies of it: (c, d) sums of rows -> (c,)."""
    centres = on_grid(unit(sums))
    cosine = (centres @ centres.T).astype(np.float64)
    other = cosine <= COPY
    np.fill_diagonal(other, False)
    mean: NDArray[np.float64] = np.where(other, cosine, 0.0).sum(axis=1) / np.maximum(other.sum(axis=1), 1)
    return mean


def kernel(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """exp(-|x - y|^2 / 2) of unit rows: (p, d), (q, d) -> (p, q), multiples of 2^-30. Exact sums."""
    products = (rows @ others.T).astype(np.float64)
    return np.rint(np.exp(np.minimum(products, 1.0) - 1.0) * KERNEL_GRID) / KERNEL_GRID


def kernel_sums(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """The sum of each row's kernel with all rows: (n, d) -> (n,), exact."""
    return np.concatenate(
        [kernel(rows[at : at + CHUNK], rows).sum(axis=1) for at in range(0, len(rows), CHUNK)]
    )


def matching(rows: NDArray[np.float32], sums: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Rows, k of them, picked one by one so that each minimises the squared MMD to all rows.

    With m picks S, the next is the row x with the highest value of: the sum over all rows i of k(x, i) / n,
    minus (the sum over S of k(x, s), plus k(x, x) / 2) / (m + 1). That is what of MMD^2 depends on x. The
    second sum grows by one kernel a pick, so nothing is computed anew. Ties go to the smaller row.

    Args:
        rows: (n, d) on the grid.
        sums: (n,) of `kernel_sums`.
        k: at most n.
    """
    n = len(rows)
    picked = np.empty(k, np.int64)
    own = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    held = np.rint(np.exp(np.minimum(own, 1.0) - 1.0) * KERNEL_GRID) / KERNEL_GRID / 2
    free = np.zeros(n)
    for count in range(k):
        row = int((sums / n - held / (count + 1) + free).argmax())
        picked[count] = row
        free[row] = -np.inf
        held += kernel(rows[row : row + 1], rows)[0]
    return picked
