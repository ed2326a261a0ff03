"""`mmssr`: capabilities take turns, and the rarest style gives first (Cream of the Crop, arXiv 2503.13383).

Each capability gets its share of the budget; its share is spread over the strata (styles, or styles within
sources) by water-filling, smallest stratum first; in a stratum the best scores go first. What the published
code gets wrong is not done here: integer scores tie without a rule, an exhausted list divides by zero, and
samples that score nothing can leave the budget unmet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.selectors.apportion import apportion
from curation.selectors.decision import Deciding, Decision
from curation.selectors.order import TIES, demand, drawn, groups_of, numbers
from curation.selectors.per_cluster import CLUSTER
from schemas.errors import ConfigError
from scorers.taxonomy import CAPABILITY_COLUMNS, STYLE_COLUMNS

if TYPE_CHECKING:
    import polars as pl

HAS_STYLE = 0.5
NO_STYLE = "no style"
BY_SOURCE = "source"


@dataclass(frozen=True)
class Mmssr(Deciding):
    """See the module.

    Args:
        capabilities: columns, each with its weight in the budget; none: all 14, equally.
        by_source: strata are styles within sources, as in the published code; else styles, as in the paper.

    A sample of several styles counts in the rarest of them. A capability takes samples that score above 0;
    what they leave of the budget is filled at random, over the strata in turn. Unless capabilities are named,
    a cluster that no capability came to gives its best sample for the last pick of one that gave several.
    """

    capabilities: tuple[tuple[str, float], ...] = ()
    by_source: bool = False

    name: ClassVar[str] = "mmssr"

    @classmethod
    def parse(cls, argument: str | None) -> Mmssr:
        """The selector of `mmssr`, `mmssr@source` or `mmssr:ocr,data*2@source`.

        A capability is named by its column or by the beginning of a word in it (`ocr` for optical character
        recognition too).

        Raises:
            ConfigError: there is no such capability, several match, or a weight is no positive number.
        """
        listed, at, strata = (argument or "").partition("@")
        if at and strata != BY_SOURCE:
            raise ConfigError(
                f"mmssr has strata of styles, or with @source of styles within sources: not {strata!r}"
            )
        chosen = [_weighted(part) for part in listed.split(",")] if listed.strip() else []
        twice = {name for name, _ in chosen if [other for other, _ in chosen].count(name) > 1}
        if twice:
            raise ConfigError(f"mmssr: the capability {min(twice)} is named twice")
        return cls(tuple(chosen), bool(at))

    @property
    def needs(self) -> tuple[str, ...]:
        names = [name for name, _ in self.capabilities] or CAPABILITY_COLUMNS
        return (*names, *((BY_SOURCE,) if self.by_source else ()))

    @property
    def wants(self) -> tuple[str, ...]:
        return STYLE_COLUMNS

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, *self.needs))
        capabilities = self.capabilities or tuple((name, 1.0) for name in CAPABILITY_COLUMNS)
        strata, names = self._strata(table)
        lots = np.empty(len(table), np.int64)
        lots[drawn(table, seed)] = np.arange(len(table))
        rounds = _Rounds(strata, len(names), lots)
        weights = np.array([weight for _, weight in capabilities])
        columns = [name for name, _ in capabilities]
        order, by = rounds.run(table, columns, weights, min(n, len(table)))
        if not self.capabilities and CLUSTER in table.columns:
            _cover(table, columns, order, by, lots)
        score = np.full(len(table), np.nan)
        for number, column in enumerate(columns):
            picked = order[by == number]
            score[picked] = numbers(table[column])[picked]
        return _explained(order, by, strata, names, columns, score)

    def _strata(self, table: pl.DataFrame) -> tuple[NDArray[np.int64], list[str]]:
        """The stratum of each row, and the names."""
        import polars as pl

        columns = [name for name in STYLE_COLUMNS if name in table.columns]
        style = _rarest(table, columns)
        labels = [*(name.removeprefix("style_") for name in columns), NO_STYLE]
        named = [pl.Series("style", np.array(labels)[style])]
        groups, values = groups_of(named + ([table[BY_SOURCE]] if self.by_source else []))
        return groups, [
            " of ".join("no source" if part is None else part for part in row) for row in values.rows()
        ]


def _cover(
    table: pl.DataFrame,
    columns: list[str],
    order: NDArray[np.int64],
    by: NDArray[np.int64],
    lots: NDArray[np.int64],
) -> None:
    """Put the best row of each cluster without a pick in place of late picks of clusters with several.

    Changes `order` and `by`. The best is that of the highest score in any capability, ties by lot.
    """
    import polars as pl

    cluster, _ = groups_of([table[CLUSTER].fill_null(-1).cast(pl.Int64)])
    known = table[CLUSTER].is_not_null().to_numpy()
    picks = np.bincount(cluster[order], minlength=int(cluster.max(initial=-1)) + 1)
    rows = np.flatnonzero(known & (picks[cluster] == 0))
    if not len(rows):
        return
    scores = np.stack([np.nan_to_num(numbers(table[name][rows.tolist()])) for name in columns])
    highest = scores.max(axis=0)
    best = np.lexsort((lots[rows], -highest, cluster[rows]))
    best = best[np.flatnonzero(np.diff(cluster[rows][best], prepend=-1))]
    place = len(order) - 1
    for one in best.tolist():  # a cluster each
        while place >= 0 and picks[cluster[order[place]]] < 2:
            place -= 1
        if place < 0:
            return
        picks[cluster[order[place]]] -= 1
        order[place] = rows[one]
        by[place] = scores[:, one].argmax() if highest[one] > 0 else -1
        place -= 1


def _explained(
    order: NDArray[np.int64],
    by: NDArray[np.int64],
    strata: NDArray[np.int64],
    names: list[str],
    columns: list[str],
    score: NDArray[np.float64],
) -> Decision:
    """A stratum of the result is what a pick came by: a capability and a style; -1 is chance."""
    whole = np.full(len(strata), len(columns), np.int64)
    whole[order] = np.where(by < 0, len(columns), by)
    labels = [*columns, "at random"]
    stratum = whole * len(names) + strata
    every = [f"{label.removeprefix('cap_')}: {name}" for label in labels for name in names]
    scorers = [column for column in columns for _ in names] + [""] * len(names)
    return Decision(order, score, stratum, every, scorers)


@dataclass
class _Rounds:
    """Rows that are left, stratum by stratum, and what has been picked of them."""

    strata: NDArray[np.int64]
    n_strata: int
    lots: NDArray[np.int64]  # (n,) the place of each row in a random order: ties

    def run(
        self, table: pl.DataFrame, columns: list[str], weights: NDArray[np.float64], n: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Exactly n rows in pick order, and the number of the capability that took each (-1: by chance)."""
        left = np.ones(len(self.strata), bool)
        picked: list[NDArray[np.int64]] = []
        by: list[NDArray[np.int64]] = []
        missing, live = n, np.arange(len(columns))
        while missing and len(live):
            shares = apportion(weights[live], np.full(len(live), missing), missing)
            taken = []
            for capability, share in zip(live.tolist(), shares.tolist(), strict=True):
                rows = self._best(numbers(table[columns[capability]]), left, share)
                left[rows] = False
                taken.append(rows)
            # Capabilities take turns: the first pick of each, then the second.
            order, who = _turns(taken, live)
            picked.append(order)
            by.append(who)
            missing -= len(order)
            # One that could not fill its share has nothing left.
            live = live[np.array([len(rows) for rows in taken]) == shares]
        if missing:
            rows = self._best(np.ones(len(left)), left, missing)
            picked.append(rows)
            by.append(np.full(len(rows), -1))
        none = [np.empty(0, np.int64)]
        return np.concatenate(none + picked), np.concatenate(none + by)

    def _best(self, score: NDArray[np.float64], left: NDArray[np.bool_], share: int) -> NDArray[np.int64]:
        """At most `share` rows that are left and score above 0, the best of each stratum, in turns."""
        with np.errstate(invalid="ignore"):
            rows = np.flatnonzero(left & (score > 0))
        if not share or not len(rows):
            return np.empty(0, np.int64)
        rows = rows[np.argsort(self.strata[rows], kind="stable")]
        sizes = np.bincount(self.strata[rows], minlength=self.n_strata)
        quotas = apportion(np.ones(self.n_strata), sizes, share)
        ends = np.cumsum(sizes)
        found, places = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for end, size, quota in zip(ends.tolist(), sizes.tolist(), quotas.tolist(), strict=True):
            if quota:
                best = _top(rows[end - size : end], score, self.lots, quota)
                found.append(best)
                places.append(np.arange(len(best)))
        chosen = np.concatenate(found)
        return chosen[np.argsort(np.concatenate(places), kind="stable")]


def _top(
    rows: NDArray[np.int64], score: NDArray[np.float64], lots: NDArray[np.int64], quota: int
) -> NDArray[np.int64]:
    """The `quota` rows with the highest scores, best first; ties by lot."""
    if quota < len(rows):
        values = score[rows]
        edge = np.partition(values, len(rows) - quota)[len(rows) - quota]
        above, level = rows[values > edge], rows[values == edge]
        missing = quota - len(above)
        if missing < len(level):
            level = level[np.argpartition(lots[level], missing)[:missing]]
        rows = np.concatenate([above, level])
    return rows[np.lexsort((lots[rows], -score[rows]))]


def _turns(
    taken: list[NDArray[np.int64]], live: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row of each list, then the second, and so on; and whose list it was."""
    who = np.repeat(live, [len(rows) for rows in taken])
    places = np.concatenate([np.arange(len(rows)) for rows in taken])
    order = np.argsort(places, kind="stable")
    return np.concatenate(taken)[order], who[order]


def _rarest(table: pl.DataFrame, columns: list[str]) -> NDArray[np.int64]:
    """For each row the rarest of the styles it has; len(columns) where it has none."""
    style = np.full(len(table), len(columns), np.int64)
    has = [np.nan_to_num(numbers(table[name])) >= HAS_STYLE for name in columns]
    # From the commonest to the rarest, so that the rarest is entered last; ties to the earlier column.
    for number in sorted(range(len(columns)), key=lambda number: (-int(has[number].sum()), -number)):
        style[has[number]] = number
    return style


def _weighted(part: str) -> tuple[str, float]:
    name, star, number = part.strip().partition("*")
    try:
        weight = float(number) if star else 1.0
    except ValueError:
        weight = 0.0
    if not 0 < weight < float("inf"):
        raise ConfigError(f"mmssr: {part.strip()!r} has no positive weight; write data*2")
    return capability(name.strip()), weight


def capability(name: str) -> str:
    """The column of a capability that is named by itself, by the start of one of its words, or by initials.

    Raises:
        ConfigError: none or several match.
    """
    if name in CAPABILITY_COLUMNS:
        return name
    words = {column: column.removeprefix("cap_").split("_") for column in CAPABILITY_COLUMNS}
    wanted = "_".join(name.lower().replace("-", " ").split())
    for matches in (
        [column for column, parts in words.items() if "_".join(parts) == wanted],
        [column for column, parts in words.items() if "".join(part[0] for part in parts) == wanted],
        [column for column, parts in words.items() if wanted and any(p.startswith(wanted) for p in parts)],
    ):
        if len(matches) == 1:
            return matches[0]
    known = ", ".join(column.removeprefix("cap_") for column in CAPABILITY_COLUMNS)
    raise ConfigError(f"there is no one capability {name!r}; there are {known}")
