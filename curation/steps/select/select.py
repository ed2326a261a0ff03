"""Decide which samples are kept: exactly the budget, out of what is readable, not pruned and not filtered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.catalog import score_table
from curation.selectors import selector
from curation.selectors.decision import wanted
from curation.selectors.less import Less
from curation.selectors.mixed import Mix, Mixed
from curation.steps.select.bounds import columns_of
from curation.steps.select.budgeting import Choice, Wish, choose
from curation.steps.select.columns import derived, tables_of, with_columns
from curation.steps.select.filters import (
    DEFAULTS,
    FLOOR,
    MEASURED,
    Clause,
    clauses,
    default_clauses,
    first_failed,
)
from curation.steps.select.listed import Listed, members
from curation.steps.select.measured import floors
from curation.steps.select.values import demand_values
from schemas.bounds import Bound
from schemas.budget import Budget
from schemas.columns import UID
from schemas.protocols import Selector
from schemas.stages import Output, Pool

if TYPE_CHECKING:
    import polars as pl

KEPT, OVER_BUDGET, QUARANTINED, FILTERED, LISTED = "kept", "over_budget", "quarantined", "filtered", "dropped"
TARGET = "target"  # of `less`: what to aim at is not chosen
LEAK = "benchmark_leak"
SELECTION = pa.schema(
    [
        UID,
        pa.field("keep", pa.bool_(), nullable=False),
        pa.field("rank", pa.int64()),  # 0 for the first pick; null where not kept
        pa.field("tier", pa.int32()),  # of several budgets the smallest that keeps it, 0 the smallest of all
        pa.field("cluster", pa.int32()),
        pa.field("stratum", pa.string()),  # among what the strategy compared it with; null where it never did
        pa.field("scorer", pa.string()),  # the column that was compared; null where chance decided
        pa.field("score", pa.float64()),  # its value
        pa.field("reason", pa.string(), nullable=False),
        pa.field("clause", pa.string()),  # of the filters, the first that it fails
        pa.field(FLOOR, pa.float64()),  # what its alignment was held against; null where that decides nothing
    ]
)
STRATA = pa.schema(
    [
        pa.field("stratum", pa.string(), nullable=False),
        pa.field("scorer", pa.string()),
        pa.field("n_candidates", pa.int64(), nullable=False),
        pa.field("n_selected", pa.int64(), nullable=False),
        pa.field("why", pa.string()),
    ]
)
LISTS = ("must_keep", "must_drop")


@dataclass(frozen=True)
class Select:
    """`selection`: one row a sample, with what became of it and why; `strata`: what the strategy told apart.

    The fields but `tables` are settings of [select]; see `schemas.settings.Select`.
    """

    budget: str
    strategy: str
    seed: int
    tables: tuple[str, ...]  # the scores that it may look at, besides `checked` and `clusters`
    mix: str | None = None
    where: tuple[str, ...] = ()
    default_filters: bool = True
    min_auc: float = 0.8
    max_loss: float = 0.01
    at_least: tuple[str, ...] = ()
    at_most: tuple[str, ...] = ()
    must_keep: Listed | None = None
    must_drop: Listed | None = None
    leaks: bool = False  # what leaks a benchmark is no candidate

    name: ClassVar[str] = "selection"
    version: ClassVar[int] = 3
    writes: ClassVar[dict[str, pa.Schema]] = {"selection": SELECTION, "strata": STRATA}

    @classmethod
    def again(cls, params: Mapping[str, Any]) -> Select:
        """The stage whose `params` these are. It can say whether it is done, but has no lists to run with."""
        lists = {name: params[name] and Listed("", params[name]) for name in LISTS if name in params}
        tuples = {name: tuple(value) for name, value in params.items() if isinstance(value, list)}
        # A selection of an earlier version has fewer parameters; its key is another one anyway.
        held = {"tables": (), **params, **tuples, **lists}
        return cls(**{field.name: held[field.name] for field in fields(cls) if field.name in held})

    @property
    def reads(self) -> tuple[str, ...]:
        made_of = tables_of(self.chooser.needs)
        images = ("image_places", "images") if self.budgets[0].unit == "bytes" else ()
        leaks = ("leaks",) if self.leaks else ()
        measured = ("filters", "nearest") if self.default_filters else ()
        always = ("checked", "clusters", "pruned")
        return tuple(dict.fromkeys((*always, *measured, *leaks, *self.tables, *made_of, *images)))

    def params(self) -> dict[str, Any]:
        lists = {
            name: held and held.checksum
            for name, held in zip(LISTS, (self.must_keep, self.must_drop), strict=True)
        }
        plain = {
            name: list(value) if isinstance(value, tuple) else value for name, value in _fields(self).items()
        }
        # What the default filters are is decided by the code: another one makes another selection.
        return {**plain, **lists, "filters": [*DEFAULTS, MEASURED.text] if self.default_filters else []}

    @cached_property
    def budgets(self) -> tuple[Budget, ...]:
        """The budgets, of which there may be several."""
        return Budget.parse_all(self.budget)

    @cached_property
    def bounds(self) -> tuple[Bound, ...]:
        """What at least and at most must be of a kind."""
        least = [Bound.parse("at-least", text) for text in self.at_least]
        return (*least, *(Bound.parse("at-most", text) for text in self.at_most))

    @property
    def chooser(self) -> Selector:
        """The strategy, inside the groups of the mixture if there is one."""
        inner = selector(self.strategy)
        return Mixed(inner, Mix.parse(self.mix)) if self.mix else inner

    @property
    def wish(self) -> Wish:
        """What is to be chosen."""
        return Wish(self.chooser, self.budgets, self.bounds, self.seed)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the settings name, without those that the strategy can do without."""
        strategy = self.chooser
        made = derived(strategy.needs)
        named = [name for name in strategy.needs if name not in made]
        named += [name for clause in clauses(self.where) for name in clause.columns]
        named += [*columns_of(self.bounds), *(b.column for b in self.budgets if b.column)]
        return tuple(dict.fromkeys(named))

    @property
    def needs(self) -> tuple[str, ...]:
        """What the strategy cannot do without."""
        return self.chooser.needs

    def run(self, pool: Pool) -> Iterator[Output]:
        table, applied = self.table(pool)
        candidates = table.filter(table["reason"].is_null())
        demand_values(table, self.bounds, clauses(self.where), n_candidates=len(candidates))
        candidates = with_columns(pool, candidates, self.chooser.needs)
        choice = choose(self.wish, pool, candidates, n_readable=table["error"].null_count())
        yield Output("selection", _rows(table, candidates["position"].to_numpy(), choice, applied))
        yield Output("strata", _strata(len(candidates), choice))

    def table(self, pool: Pool) -> tuple[pl.DataFrame, list[Clause]]:
        """One row a sample, in pool order, and the filters.

        Columns: those that the settings and the strategy look at, `position`, `listed` (it must be kept),
        `reason` (null for candidates) and `clause` (the number of the filter that it fails).
        """
        import polars as pl

        known = {name for table in ("checked", "clusters", *self.tables) for name in pool.schema(table).names}
        optional = [name for name in wanted(self.chooser) if name in known]
        applied = [*clauses(self.where), *(default_clauses(sorted(known)) if self.default_filters else [])]
        filtered = [name for clause in applied for name in clause.columns if name != FLOOR]
        basic = ["uid", "content_hash", "record_id", "dataset", "error", "cluster", "n_tokens"]
        table = score_table(pool, list(dict.fromkeys([*basic, *self.columns, *optional, *filtered])))
        dropped = pl.from_arrow(pool.read("pruned", ["uid", "reason"]))
        assert isinstance(dropped, pl.DataFrame)
        table = table.join(dropped, on="uid", how="left", maintain_order="left").with_row_index("position")
        none = pl.lit(None, pl.Float64).alias(FLOOR)
        table = table.with_columns(floors(pool) if self.default_filters else none)
        must, without = (members(held, table) for held in (self.must_keep, self.must_drop))
        failed = first_failed(table, applied)
        strategy = selector(self.strategy)
        target = strategy.target if isinstance(strategy, Less) else None
        reason = (
            pl.when(pl.col("error").is_not_null())
            .then(pl.lit(QUARANTINED))
            .when(pl.lit(False) if target is None else pl.col("dataset") == target)
            .then(pl.lit(TARGET))
            .when(pl.Series(must))
            .then(None)
            .when(pl.Series(without))
            .then(pl.lit(LISTED))
            .when(pl.Series(self._leaked(pool, table["uid"])))
            .then(pl.lit(LEAK))
            .when(pl.col("reason").is_not_null())
            .then(pl.col("reason"))
            .when(pl.Series(failed >= 0))
            .then(pl.lit(FILTERED))
        )
        named = table.with_columns(reason.alias("reason"), listed=pl.Series(must), clause=pl.Series(failed))
        return named, applied

    def _leaked(self, pool: Pool, uids: pl.Series) -> NDArray[np.bool_]:
        """(n,) Which samples leak a benchmark, where these are left out."""
        if not self.leaks:
            return np.zeros(len(uids), bool)
        leaked = pool.read("leaks", ["uid"])["uid"].cast(pa.binary())
        return uids.is_in(leaked.unique().to_pylist()).to_numpy()


def settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """What a selection was made with, under the names of curate.toml; lists of ids are left out."""
    names = (
        "budget", "strategy", "mix", "where", "default_filters", "min_auc", "max_loss", "at_least", "at_most"
    )  # fmt: skip
    found = {name: params[name] for name in names if name in params}
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    return {**{f"select.{name}": value for name, value in plain.items()}, "run.seed": params["seed"]}


def _fields(stage: Select) -> dict[str, Any]:
    return {name: getattr(stage, name) for name in (field.name for field in fields(stage))}


def _rows(
    table: pl.DataFrame, candidates: NDArray[np.int64], choice: Choice, applied: Sequence[Clause]
) -> pa.RecordBatch:
    """The rows of `selection`; `candidates` are their positions in the pool."""
    n, picked = len(table), candidates[choice.decision.order]
    rank, tier = np.full(n, -1, np.int64), np.full(n, -1, np.int32)
    rank[picked] = np.arange(len(picked))
    tier[picked] = choice.tiers
    keep = rank >= 0
    reason = np.where(keep, KEPT, OVER_BUDGET).astype(object)
    gone = table["reason"].is_not_null().to_numpy()
    reason[gone] = table["reason"].to_numpy()[gone]
    clause = table["clause"].to_numpy().copy()
    clause[reason != FILTERED] = -1
    columns = [
        table["uid"].to_arrow().cast(pa.binary(16)),
        pa.array(keep),
        pa.array(rank, mask=~keep),
        pa.array(tier, mask=~keep),
        table["cluster"].to_arrow(),
        *_explained(n, candidates, choice),
        pa.array(reason.tolist(), pa.string()),
        _named([clause_.text for clause_ in applied], clause),
        table[FLOOR].to_arrow(),
    ]
    return pa.record_batch(columns, schema=SELECTION)


def _explained(n: int, candidates: NDArray[np.int64], choice: Choice) -> tuple[pa.Array, pa.Array, pa.Array]:
    """`stratum`, `scorer` and `score` of all n samples, null where the strategy says nothing."""
    decision = choice.decision
    stratum, score = np.full(n, -1, np.int64), np.full(n, np.nan)
    if decision.stratum is not None:
        stratum[candidates] = decision.stratum
    if decision.score is not None:
        score[candidates] = decision.score
    scorers = [name or None for name in decision.scorers] or [None] * len(decision.names)
    return _named(decision.names, stratum), _named(scorers, stratum), pa.array(score, mask=np.isnan(score))


def _named(names: Sequence[str | None], numbers: NDArray[np.int64]) -> pa.Array:
    """The name of each number, null for -1."""
    if not names:
        return pa.nulls(len(numbers), pa.string())
    return pa.array(names, pa.string()).take(pa.array(numbers, mask=numbers < 0))


def _strata(n_candidates: int, choice: Choice) -> pa.RecordBatch:
    """The rows of `strata`: one for the whole where the strategy told nothing apart."""
    decision = choice.decision
    if decision.stratum is None:
        rows: list[tuple[Any, ...]] = [("all", None, n_candidates, len(decision.order), None)]
    else:
        sizes = np.bincount(decision.stratum, minlength=len(decision.names)).tolist()
        taken = np.bincount(decision.stratum[decision.order], minlength=len(decision.names)).tolist()
        scorers, why = decision.scorers or [""] * len(sizes), decision.why or [""] * len(sizes)
        rows = [
            (name, scorer or None, size, picks, reason or None)
            for name, scorer, size, picks, reason in zip(
                decision.names, scorers, sizes, taken, why, strict=True
            )
            if size
        ]
    columns = zip(*rows, strict=True) if rows else ([] for _ in STRATA)
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, STRATA, strict=True)]
    return pa.record_batch(arrays, schema=STRATA)
