"""From a strategy's order to what budgets keep: counts, costs, lists and bounds, one subset in the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.selectors.decision import Decision
from curation.steps.select.bounds import Limit, limits, select_within
from curation.storage.rows import places
from schemas.bounds import Bound
from schemas.budget import Budget, Purse, Shared, walked
from schemas.errors import BudgetError
from schemas.protocols import Selector
from schemas.stages import Pool

if TYPE_CHECKING:
    import polars as pl

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Choice:
    """Picks for all budgets: those of the smallest come first."""

    decision: Decision
    tiers: NDArray[np.int32]  # (k,) the number of the smallest budget that holds each pick


@dataclass(frozen=True)
class Wish:
    """What is to be chosen: by which strategy, for which budgets, inside which bounds."""

    strategy: Selector
    budgets: tuple[Budget, ...]
    bounds: tuple[Bound, ...]
    seed: int


def choose(wish: Wish, pool: Pool, candidates: pl.DataFrame, n_readable: int) -> Choice:
    """What the budgets of `wish` keep of `candidates`.

    The largest budget is chosen first, and each smaller one among the picks of the next larger: subsets of
    each other whatever the strategy, and prefixes of one ranking where it has one.

    Raises:
        BudgetError: bounds or lists cannot be met.
    """
    sizes = [budget.value if budget.is_cost else budget.samples(n_readable) for budget in wish.budgets]
    rows = np.arange(len(candidates))
    decision: Decision | None = None
    orders: list[Ints] = []
    for number in np.argsort([-float(size) for size in sizes], kind="stable").tolist():
        budget = wish.budgets[number]
        one = _One(wish, pool, candidates[rows], budget, n_readable).decide()
        decision = decision or one
        rows = rows[one.order]
        orders.append(rows)
    assert decision is not None
    # From the smallest budget to the largest, each with what it adds.
    kept, tiers = orders[-1], [np.zeros(len(orders[-1]), np.int32)]
    for tier, order in enumerate(reversed(orders[:-1]), start=1):
        added = order[~np.isin(order, kept)]
        kept = np.concatenate([kept, added])
        tiers.append(np.full(len(added), tier, np.int32))
    return Choice(replace(decision, order=kept), np.concatenate(tiers))


@dataclass(frozen=True)
class _One:
    """One budget over one table of candidates."""

    wish: Wish
    pool: Pool
    table: pl.DataFrame
    budget: Budget
    n_readable: int

    def decide(self) -> Decision:
        """The picks: those that must be kept first."""
        must = np.flatnonzero(self.table["listed"].to_numpy())
        free = np.flatnonzero(~self.table["listed"].to_numpy())
        if self.budget.is_cost:
            return self._by_cost(must, free)
        n = min(self.budget.samples(self.n_readable), len(self.table))
        if len(must) > n:
            raise BudgetError(
                f"--must-keep names {len(must):,} samples, more than the budget of {n:,}; raise the budget"
            )
        bounds = [_less(limit, must, free) for limit in limits(self.table, self.wish.bounds, n)]
        found = select_within(self.wish.strategy, self.table[free], n - len(must), self.wish.seed, bounds)
        return _whole(found, must, free, len(self.table))

    def _by_cost(self, must: Ints, free: Ints) -> Decision:
        shares = [bound for bound in self.wish.bounds if bound.is_share]
        if shares:
            raise BudgetError(
                f"{shares[0]} is a share of a number that a budget of {self.budget} leaves open; name one"
            )
        found = select_within(self.wish.strategy, self.table[free], len(free), self.wish.seed, [])
        found = _whole(found, must, free, len(self.table))
        bounds = limits(self.table, self.wish.bounds, len(self.table))
        taken = fill_within(found.order, len(must), bounds, self._purse, by_cost=False)
        if any(limit.least > int(limit.rows[taken].sum()) for limit in bounds):
            # The best of a kind may cost so much that others of it are not paid for.
            taken = fill_within(found.order, len(must), bounds, self._purse, by_cost=True)
        for limit in bounds:
            held = int(limit.rows[taken].sum())
            if held < limit.least:
                raise BudgetError(
                    f"{limit.text} cannot be met: a budget of {self.budget} pays for {held:,} of them"
                )
        left_out = len(must) - int(np.isin(must, taken).sum())
        if left_out:
            raise BudgetError(
                f"--must-keep names samples that cost more than the budget of {self.budget}; raise the budget"
            )
        return replace(found, order=taken)

    def _purse(self, order: Ints) -> Purse:
        limit = int(self.budget.value)
        if self.budget.unit == "bytes":
            shared = image_costs(self.pool, self.table["position"].to_numpy()[order])
            return Purse(np.zeros(len(order), np.int64), limit, shared)
        column = self.budget.column or "n_tokens"
        costs = self.table[column]
        if not costs.dtype.is_integer() or costs.null_count() or (costs < 0).any():
            raise BudgetError(
                f"the budget {self.budget} needs whole numbers of at least 0; {column} has others"
            )
        return Purse(costs.to_numpy()[order], limit)


def _less(limit: Limit, must: Ints, free: Ints) -> Limit:
    """The bound on the rest, once `must` is kept."""
    held = int(limit.rows[must].sum())
    if held > limit.most:
        raise BudgetError(f"{limit.text} cannot be met: --must-keep names {held:,} of that kind")
    return Limit(limit.text, limit.rows[free], max(limit.least - held, 0), limit.most - held)


def _whole(found: Decision, must: Ints, free: Ints, n: int) -> Decision:
    """A decision on the rows `free` as one on all n, with `must` in front."""
    if not len(must):
        return found
    score = np.full(n, np.nan)
    stratum = np.full(n, len(found.names), np.int64)
    if found.score is not None:
        score[free] = found.score
    if found.stratum is not None:
        stratum[free] = found.stratum
    return Decision(
        np.concatenate([must, free[found.order]]),
        None if found.score is None else score,
        None if found.stratum is None else stratum,
        [*found.names, "must be kept"],
        [*found.scorers, ""] if found.scorers else (),
        [*found.why, ""] if found.why else (),
    )


def fill_within(
    order: Ints, n_must: int, bounds: Sequence[Limit], open_purse: Callable[[Ints], Purse], *, by_cost: bool
) -> Ints:
    """The rows of `order` that a purse pays for: the first `n_must`, what each least needs, then the rest.

    What is over a most is passed by. `by_cost`: what is needed is taken from the cheapest.
    """
    purse = open_purse(order)
    most, least = (np.array([getattr(limit, name) for limit in bounds], int) for name in ("most", "least"))
    inside = np.stack([np.zeros(len(order), bool), *(limit.rows[order] for limit in bounds)], axis=1)[:, 1:]
    counts = np.zeros(len(bounds), np.int64)

    def must(place: int) -> bool:
        paid = purse.pay(place)
        counts[inside[place]] += paid
        return paid

    def allowed(place: int) -> bool:
        held = inside[place]
        return bool((counts[held] < most[held]).all()) and must(place)

    def needed(place: int) -> bool:
        held = inside[place]
        return bool((counts[held] < least[held]).any()) and allowed(place)

    taken = walked(purse, range(n_must), must)
    rest: Sequence[int] = range(n_must, len(order))
    if least.any():
        ranked = sorted(rest, key=purse.cost) if by_cost else rest
        taken += sorted(walked(purse, ranked, needed))
        there = set(taken)
        rest = [place for place in rest if place not in there]
    taken += sorted(walked(purse, rest, allowed if bounds else purse.pay))
    return order[np.array(taken, np.int64)]


def image_costs(pool: Pool, rows: Ints) -> Shared:
    """The images of the samples at `rows` of the pool, each distinct one with its bytes."""
    sizes = [shard["n_bytes"].to_numpy() for shard in pool.iterate("images", ["n_bytes"])]
    starts = np.cumsum([0, *[len(part) for part in sizes]])
    offsets, shards, numbers = places(pool.read("image_places", ["places"])["places"].combine_chunks())
    things = starts[shards] + numbers
    counts = np.diff(offsets)[rows]
    ends = np.concatenate([[0], np.cumsum(counts)])
    within = np.arange(ends[-1]) - np.repeat(ends[:-1], counts)
    return Shared(ends, things[np.repeat(offsets[rows], counts) + within], np.concatenate(sizes))
