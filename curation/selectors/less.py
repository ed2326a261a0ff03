"""`less:DATASET`: what resembles a target, by embeddings or by gradients (LESS, arXiv 2402.04333)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from curation.selectors.decision import Deciding, Decision
from curation.selectors.order import TIES, demand, numbers, pick_order
from schemas.errors import ConfigError
from schemas.settings import STRATEGY

if TYPE_CHECKING:
    import polars as pl

INFLUENCE = "influence"
SPACES = ("embedding", "gradient")
AIMED = ("less", "icons")  # strategies with a target


@dataclass(frozen=True)
class Less(Deciding):
    """The samples with the most influence on a target: a dataset of the pool, which is no candidate itself.

    Influence is the mean cosine to the target's samples of one source (a subtask), and of that the highest
    over the sources. With the `gradient` vectors of a VLM it is LESS; with embeddings it is nearness. Samples
    without a vector come last; ties go to the smaller (content_hash, uid). The seed plays no part; a smaller
    budget is a prefix.
    """

    target: str
    space: str = "embedding"

    name: ClassVar[str] = "less"

    @classmethod
    def parse(cls, argument: str | None) -> Self:
        """The selector of the spec `NAME:DATASET` or `NAME:DATASET@gradient`.

        Raises:
            ConfigError: no dataset is named, or there are no such vectors.
        """
        target, at, space = (argument or "").partition("@")
        made = cls(target.strip(), space if at else "embedding")
        if not made.target:
            raise ConfigError(
                f"{cls.name} needs a dataset of the pool as its target: --target NAME, or {cls.name}:NAME"
            )
        if made.space not in SPACES:
            raise ConfigError(f"{cls.name} compares by {' or '.join(SPACES)}, not by {space!r}")
        return made

    @property
    def needs(self) -> tuple[str, ...]:
        return (f"{INFLUENCE}:{self.target}@{self.space}",)

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, *self.needs))
        column = table[self.needs[0]]
        return Decision(pick_order(table, [column], [True])[:n], numbers(column))


def spec_with(strategy: str, target: str | None) -> str:
    """The strategy once `--target` is taken into it.

    Raises:
        ConfigError: the strategy has no target.
    """
    name, at, space = strategy.partition("@")
    aimed, colon, _ = name.partition(":")
    if target is None or (aimed in AIMED and name == f"{aimed}:{target}"):
        return strategy
    if aimed in AIMED and colon:
        raise ConfigError(f"--target {target} and --strategy {strategy} name two targets; leave out one")
    if name not in (STRATEGY, *AIMED):
        raise ConfigError(f"--target is for --strategy {' or '.join(AIMED)}, not for {strategy}")
    aimed = name if name in AIMED else "less"
    return f"{aimed}:{target}" + (f"@{space}" if at and name in AIMED else "")


def influence(
    rows: NDArray[np.float32], targets: NDArray[np.float32], tasks: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mean cosine to the targets of a task, the highest over tasks: (n, d), (t, d), (t,) -> (n,)."""
    best: NDArray[np.float64] = influences(rows, targets, tasks).max(axis=1, initial=-np.inf)
    return best


def influences(
    rows: NDArray[np.float32], targets: NDArray[np.float32], tasks: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mean cosine to the targets of each task: (n, d), (t, d), (t,) -> (n, number of tasks), by task.

    Rows are on the grid: a product with a sum of targets is exact, and the mean divides it once.
    """
    found = []
    for task in np.unique(tasks).tolist():
        held = targets[tasks == task]
        total = held.sum(axis=0, dtype=np.float64)
        parts = [rows[start : start + 4096] @ total / len(held) for start in range(0, len(rows), 4096)]
        found.append(np.concatenate([np.zeros(0), *parts]))
    return np.stack(found, axis=1) if found else np.zeros((len(rows), 0))
