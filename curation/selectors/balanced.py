"""`balanced`, the default: the square root of each source's size, doubtful answers last, the rest by chance.

Of what was tried on the pools of `benchmarks.quality` these two trained better than chance everywhere: a
mixture that does not starve small sources (p ~ n^a, arXiv 1911.02116 §3.1), and a gate on answers to which
the rest of the pool does not lead (confident learning, arXiv 1911.00068). All else is drawn, as no other
choice beat chance on every pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from curation.selectors.decision import Deciding, Decision
from curation.selectors.gated import Gated
from curation.selectors.mixed import Mix, Mixed
from curation.selectors.order import TIES, demand
from curation.selectors.spec import knob
from schemas.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

GATE = "answer_agreement"
SHARE = 0.4  # any from 0.2 to 0.6 trained alike


@dataclass(frozen=True)
class Balanced(Deciding):
    """Of each source its share; of it the `share` with the least `answer_agreement` only after all others.

    A sample without a value is never below the gate: there the score cannot tell. Where there is one
    source only, clusters stand for sources. A smaller budget is no prefix: shares are rounded.
    """

    share: float = SHARE

    name: ClassVar[str] = "balanced"
    needs: ClassVar[tuple[str, ...]] = ("source", "cluster", GATE)

    @classmethod
    def parse(cls, argument: str | None) -> Balanced:
        """The selector of the spec `balanced` or `balanced@SHARE`.

        Raises:
            ConfigError: the share is none below 1.
        """
        name, at, share = (argument or "").partition("@")
        if name:
            raise ConfigError(f"balanced takes no column, but {name!r} was given; write balanced@0.4")
        wanted = f"balanced leaves a share from 0 to 1 for last, such as balanced@0.4, not {share!r}"
        return cls(knob(share if at else None, SHARE, lambda value: 0 <= value < 1, wanted))

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, *self.needs))
        groups = "source" if table["source"].n_unique() > 1 else "cluster"
        return Mixed(Gated(GATE, share=self.share), Mix(groups)).decide(table, n, seed)
