"""How much to keep: a budget is a type. Exact numbers only: 30 % of 10 is 3, never 2.9999."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import numpy as np

from schemas.errors import BudgetError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Unit = Literal["fraction", "samples", "tokens", "bytes", "column"]

FORMS = "30%, 0.3, 200000 (samples), 50Mtok (tokens), 2GB (bytes) or n_words=5M (the sum of a column)"
_NUMBER = re.compile(r"([0-9]{1,18})?(\.[0-9]{0,18})?", re.ASCII)
_SPELLING = re.compile(r"\s*([0-9.]+)\s*(%|[kmgbt]?tok|[kmgt]?b)?\s*", re.ASCII | re.IGNORECASE)
_COLUMN = re.compile(r"\s*([A-Za-z_][A-Za-z_0-9]*)\s*=\s*([0-9.]+)\s*([kmgbt]?)\s*", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "b": 3, "t": 4}


@dataclass(frozen=True)
class Budget:
    """What a selection may keep: a share of the readable records, a number of samples, or a total cost.

    Args:
        value: > 0 and exact. A fraction lies in (0, 1]; of the other units it is a whole number.
        unit: `tokens`, `bytes` and `column` are costs: never exceeded, and filled by `fill`.
        column: whose sum is the cost, where the unit is `column`; it holds whole numbers.

    Raises:
        BudgetError: the value is outside its range.
    """

    value: Fraction
    unit: Unit
    column: str | None = None

    def __post_init__(self) -> None:
        """Check the range."""
        if self.value <= 0:
            raise BudgetError(f"a budget must be more than nothing; write {FORMS}")
        if self.unit == "fraction" and self.value > 1:
            percent = float(self.value * 100)
            raise BudgetError(f"a budget of {percent:g}% is more than the whole pool; write {FORMS}")
        if self.unit != "fraction" and self.value.denominator != 1:
            raise BudgetError(
                f"a budget of {float(self.value):g} {self.unit} is no whole number; write {FORMS}"
            )

    @classmethod
    def parse(cls, text: str | float) -> Budget:
        """A budget as people write it: `30%`, `0.3`, `200000`, `50Mtok`, `2GB`, `n_words=5M`.

        A number with a point is a fraction (`1.0` is the whole pool), one without is a number of samples (`1`
        is one sample). k, M, G (or B) and T are powers of 1,000; case and spaces do not matter.

        >>> [str(Budget.parse(text)) for text in ("0.3", "200000", "50Mtok", "n_words=5M")]
        ['30%', '200000', '50000000tok', 'n_words=5000000']

        Raises:
            BudgetError: it is none of these, zero, negative, or more than 100 %.
        """
        column = _COLUMN.fullmatch(str(text))
        if column and _NUMBER.fullmatch(column[2]) and column[2] != ".":
            return cls(Fraction(column[2]) * 1000 ** _POWERS[column[3].lower()], "column", column[1])
        match = _SPELLING.fullmatch(str(text))
        number = match and _NUMBER.fullmatch(match[1])
        if not match or not number or match[1] == ".":
            raise BudgetError(f"{str(text)!r} is no budget; write {FORMS}")
        value, suffix = Fraction(match[1]), (match[2] or "").lower()
        if suffix == "%":
            return cls(value / 100, "fraction")
        if suffix.endswith("tok"):
            return cls(value * 1000 ** _POWERS[suffix.removesuffix("tok")], "tokens")
        if suffix:
            return cls(value * 1000 ** _POWERS[suffix.removesuffix("b")], "bytes")
        return cls(value, "fraction" if "." in match[1] else "samples")

    @classmethod
    def parse_all(cls, text: str) -> tuple[Budget, ...]:
        """Several budgets, `10%,30%`: their subsets will be nested. One is a tuple of one.

        Raises:
            BudgetError: one of them is none, two are equal, or they cannot be nested.
        """
        if re.fullmatch(r"\s*[0-9]{1,3}(,[0-9]{3})+\s*", text):
            plain = text.strip().replace(",", "")
            raise BudgetError(f"{text!r} could be one number or several; write {plain} if it is one")
        found = tuple(cls.parse(part) for part in text.split(","))
        if len(set(found)) < len(found):
            raise BudgetError(f"{text!r} names a budget twice")
        if len({(budget.unit, budget.column) if budget.is_cost else "samples" for budget in found}) > 1:
            raise BudgetError(f"budgets that are chosen at once must be of one unit; {text!r} mixes them")
        return found

    @property
    def is_cost(self) -> bool:
        """True for tokens, bytes and columns, where samples differ in what they take."""
        return self.unit in {"tokens", "bytes", "column"}

    def samples(self, n_readable: int) -> int:
        """How many samples to pick of a pool with `n_readable` readable records, rounded down.

        May be more than there are candidates, and 0 for a small share of a small pool.

        Raises:
            TypeError: the budget is a cost; it has no number of samples.
        """
        if self.is_cost:
            raise TypeError(f"a budget of {self} is a cost; fill it with `fill`")
        return int(self.value * n_readable) if self.unit == "fraction" else int(self.value)

    def __str__(self) -> str:
        """As `parse` reads it."""
        if self.unit == "fraction":
            return f"{_decimal(self.value * 100)}%"
        if self.unit == "column":
            return f"{self.column}={int(self.value)}"
        return f"{int(self.value)}{ {'samples': '', 'tokens': 'tok', 'bytes': 'B'}[self.unit] }"


@dataclass(frozen=True)
class Shared:
    """Costs that several samples share and that are paid once, such as the bytes of an image.

    Things of sample i are `things[offsets[i] : offsets[i + 1]]`, positions into `costs`.
    """

    offsets: NDArray[np.int64]  # (n + 1,)
    things: NDArray[np.int64]  # (m,)
    costs: NDArray[np.int64]  # (c,) >= 0


class Purse:
    """What is left of a budget while samples are taken out of it one by one, in Python integers (exact).

    Args:
        costs: (n,) whole numbers >= 0: the cost of each sample alone.
        limit: in the unit of the costs.
        shared: what samples share, besides.

    Raises:
        ValueError: a cost is negative or no whole number.
    """

    def __init__(self, costs: ArrayLike, limit: int, shared: Shared | None = None) -> None:
        own = np.asarray(costs)
        if own.size and (own.dtype.kind not in "iu" or own.min() < 0):
            raise ValueError(f"costs must be whole numbers of at least 0; they are {own.dtype}")
        self.left = limit
        self.cheapest = int(own.min()) if own.size and shared is None else 0
        self.shares = shared is not None
        self._own: list[int] = own.tolist()
        self._paid: set[int] = set()
        if shared is not None:
            self._offsets, self._things = shared.offsets.tolist(), shared.things.tolist()
            self._costs: list[int] = shared.costs.tolist()

    def __len__(self) -> int:
        return len(self._own)

    def cost(self, sample: int) -> int:
        """What the sample costs now: less than at first, once others paid for what it shares."""
        return self._own[sample] + sum(self._costs[thing] for thing in self._unpaid(sample))

    def pay(self, sample: int) -> bool:
        """Take the sample, if what is left pays for it."""
        new = self._unpaid(sample)
        cost = self._own[sample] + sum(self._costs[thing] for thing in new)
        if cost > self.left:
            return False
        self.left -= cost
        self._paid |= new
        return True

    def _unpaid(self, sample: int) -> set[int]:
        if not self.shares:
            return set()
        return set(self._things[self._offsets[sample] : self._offsets[sample + 1]]) - self._paid


def walked(purse: Purse, samples: Iterable[int], take: Callable[[int], bool]) -> list[int]:
    """The samples that `take` takes, in the order taken; those passed by are asked again where costs fall."""
    taken: list[int] = []
    waiting, before = list(samples), -1
    while waiting and len(taken) != before:
        before, passed = len(taken), []
        # A Python loop over the candidates: each depends on what the ones before it left.
        for sample in waiting:
            if take(sample):
                taken.append(sample)
                if purse.left < purse.cheapest:
                    return taken
            else:
                passed.append(sample)
        waiting = passed if purse.shares else []
    return taken


def _decimal(value: Fraction) -> str:
    """An exact decimal where there is a short one. Parsed percentages always have one."""
    for digits in range(40):
        scaled = value * 10**digits
        if scaled.denominator == 1:
            whole, rest = divmod(int(scaled), 10**digits)
            return f"{whole}.{rest:0{digits}d}" if digits else str(whole)
    return f"{float(value):g}"
