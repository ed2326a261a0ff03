"""`ccs`, `ccs:COLUMN`: coverage-centric selection, stratified over one score (CCS, arXiv 2210.15809)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from curation.selectors.by_column import ByColumn, column_or_best
from curation.selectors.decision import Deciding, Decision
from curation.selectors.order import TIES, demand, drawn, numbers, pick_order
from curation.selectors.spec import knob
from curation.selectors.strata import BINS, coverage_order, equal_width

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class CoverageCentric(ByColumn, Deciding):
    """Fifty equal-width strata of `column` take turns, at random inside each.

    The share `cut` of the rows with the lowest values (with `lowest`, the highest) is hard or mislabelled:
    it takes no part until all others are picked. Rows without a value are one more stratum. A smaller budget
    is a prefix.
    """

    column: str
    lowest: bool = False
    cut: float = 0.1

    name: ClassVar[str] = "ccs"

    @classmethod
    def parse(cls, argument: str | None) -> CoverageCentric:
        """The selector of the spec `ccs`, `ccs:COLUMN`, `ccs:-COLUMN` or `ccs:COLUMN@0.2` (what is cut off).

        Raises:
            ConfigError: the column's name is empty, or the cut is no share below 1.
        """
        column, at, cut = (argument or "").partition("@")
        name, lowest = column_or_best(cls.name, column or (None if at else argument))
        wanted = f"ccs cuts off a share from 0 to 1, such as ccs:COLUMN@0.1, not {cut!r}"
        return cls(name, lowest, knob(cut if at else None, 0.1, lambda share: 0 <= share < 1, wanted))

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, *self.needs))
        column = self.chosen(table)
        score = numbers(table[column])
        whole = np.zeros(len(table), np.int64)
        valued = int((~np.isnan(score)).sum())
        # The worst first, ties as everywhere: how many are cut off does not depend on the order of the rows.
        worst = pick_order(table, [table[column]], [self.lowest])[: int(self.cut * valued)]
        kept = score.copy()
        kept[worst] = np.nan
        low, high = (
            np.array([edge(kept, initial=start, where=~np.isnan(kept))])
            for edge, start in ((np.min, np.inf), (np.max, -np.inf))
        )
        bins = equal_width(whole, score, low, high)
        bins[worst] = BINS + 1
        order = coverage_order(whole, bins, drawn(table, seed))[:n]
        names = [f"{column} {number + 1} of {BINS}" for number in range(BINS)]
        names += [f"no {column}", f"cut off by {column}"]
        scorers, why = [column] * len(names), [self.why(column)] * len(names)
        return Decision(order, score, bins, names, scorers, why)
