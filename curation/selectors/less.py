"""`less:DATASET`: what resembles a target, by embeddings or by gradients (LESS, arXiv 2402.04333)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.selectors.decision import Deciding, Decision
from curation.selectors.order import TIES, demand, numbers, pick_order
from schemas.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

INFLUENCE = "influence"
SPACES = ("embedding", "gradient")


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
    def parse(cls, argument: str | None) -> Less:
        """The selector of the spec `less:DATASET` or `less:DATASET@gradient`.

        Raises:
            ConfigError: no dataset is named, or there are no such vectors.
        """
        target, at, space = (argument or "").partition("@")
        made = cls(target.strip(), space if at else "embedding")
        if not made.target:
            raise ConfigError("less needs a dataset of the pool as its target: --target NAME, or less:NAME")
        if made.space not in SPACES:
            raise ConfigError(f"less compares by {' or '.join(SPACES)}, not by {space!r}")
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
    if target is None or name == f"less:{target}":
        return strategy
    if name.startswith("less:"):
        raise ConfigError(f"--target {target} and --strategy {strategy} name two targets; leave out one")
    if name not in ("adapt", "less"):  # the default, where none is named
        raise ConfigError(f"--target is for --strategy less, not for {strategy}")
    return f"less:{target}" + (f"@{space}" if at and name == "less" else "")


def influence(
    rows: NDArray[np.float32], targets: NDArray[np.float32], tasks: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mean cosine to the targets of a task, the highest over tasks: (n, d), (t, d), (t,) -> (n,).

    Rows are on the grid: a product with a sum of targets is exact, and the mean divides it once.
    """
    best = np.full(len(rows), -np.inf)
    for task in np.unique(tasks).tolist():
        held = targets[tasks == task]
        total = held.sum(axis=0, dtype=np.float64)
        for start in range(0, len(rows), 4096):
            part = slice(start, start + 4096)
            best[part] = np.maximum(best[part], rows[part].astype(np.float64) @ total / len(held))
    return best
