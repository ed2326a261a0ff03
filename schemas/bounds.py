"""How much of a selection must or may be of one kind: `source:ocr=2000`, `cluster:*=5%`. Exact numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from schemas.budget import Budget
from schemas.errors import BudgetError

FORM = "write source:coco=2000, source:coco=20%, or cluster:*=5% for each"
EACH = "*"
_BOUND = re.compile(r"\s*([A-Za-z_][A-Za-z_0-9]*)\s*:(.*)=([^=]*)", re.ASCII | re.DOTALL)


@dataclass(frozen=True)
class Bound:
    """At least or at most so many picks of the rows whose `column` is `value` (`*`: each value)."""

    kind: Literal["at-least", "at-most"]
    column: str
    value: str
    limit: Fraction  # a share of the picks below or at 1 where `is_share`, else a whole number
    is_share: bool

    @classmethod
    def parse(cls, kind: Literal["at-least", "at-most"], text: str) -> Bound:
        """A bound as people write it after `--at-least` or `--at-most`.

        Raises:
            BudgetError: it is none.
        """
        match = _BOUND.fullmatch(text)
        if not match or not match[2].strip():
            raise BudgetError(f"--{kind} {text!r} is no bound; {FORM}")
        limit = match[3].strip()
        if re.fullmatch(r"0+(\.0*)?%?", limit, re.ASCII):
            return cls(kind, match[1], match[2].strip(), Fraction(0), False)
        try:
            budget = Budget.parse(limit)
        except BudgetError:
            budget = None
        if budget is None or budget.is_cost:
            raise BudgetError(f"--{kind} {text!r} has no number or share at its end; {FORM}")
        return cls(kind, match[1], match[2].strip(), budget.value, budget.unit == "fraction")

    def samples(self, n: int) -> int:
        """The limit for a selection of n: a share is rounded up for the least, down for the most."""
        if not self.is_share:
            return int(self.limit)
        exact = self.limit * n
        return -int(-exact // 1) if self.kind == "at-least" else int(exact)

    def __str__(self) -> str:
        """As it is written on the command line."""
        limit = Budget(self.limit, "fraction") if self.is_share else int(self.limit)
        return f"--{self.kind} {self.column}:{self.value}={limit}"
