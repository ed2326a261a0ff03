"""A mixture: how much of each group is chosen, with any strategy inside the groups (`--mix`).

Shares follow a temperature over the groups' sizes, as in the sampling of languages (arXiv 1911.02116, §3.1:
p ~ n^a), or are given. What a group cannot give goes to the others by water-filling. Groups are the values of
a column, or what each sample is most: its highest capability (`capability`) or style (`style`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.selectors.apportion import apportion
from curation.selectors.decision import Deciding, Decision, decide, wanted
from curation.selectors.mmssr import HAS_STYLE, capability
from curation.selectors.order import TIES, demand, groups_of, numbers
from schemas.errors import ConfigError
from schemas.near import near
from schemas.protocols import Selector
from scorers.taxonomy import CAPABILITIES, CAPABILITY_COLUMNS, STYLE_COLUMNS, STYLES

if TYPE_CHECKING:
    import polars as pl

POWERS = {"uniform": 0.0, "sqrt": 0.5, "proportional": 1.0}
# Groups that are no column: the highest of several, and what it must be at least, besides above 0.
DOMINANT = {
    "capability": (CAPABILITY_COLUMNS, tuple(CAPABILITIES), 0.0),
    "style": (STYLE_COLUMNS, tuple(STYLES), HAS_STYLE),
}
NONE = "none"  # of these, where none is high enough


@dataclass(frozen=True)
class Mix:
    """Shares of the groups of `column`: their size to a `power`, or `shares` by name.

    A group that `shares` does not name gets something only when all that are named are used up.
    """

    column: str = "source"
    power: float = 0.5
    shares: Mapping[str, float] | None = None

    @classmethod
    def parse(cls, text: str) -> Mix:
        """`sqrt`, `power=0.3`, `cluster:uniform`, `capability:sqrt`, `source:a=0.3,b=0.7`, `@FILE` (JSON).

        Raises:
            ConfigError: it is none of these.
        """
        column, colon, rest = text.partition(":")
        if not colon or "=" in column or "@" in column:
            column, rest = "source", text
        column, rest = column.strip(), rest.strip()
        if rest in POWERS:
            return cls(column, POWERS[rest])
        shares = _of_file(rest[1:]) if rest.startswith("@") else _of_text(text, rest)
        if set(shares) == {"power"}:
            return cls(column, shares["power"])
        if column == "capability":
            shares = {name if name == NONE else _in_full(name): share for name, share in shares.items()}
        return cls(column, shares=shares)

    @property
    def columns(self) -> tuple[str, ...]:
        """What groups follow from."""
        return DOMINANT[self.column][0] if self.column in DOMINANT else (self.column,)

    def groups(self, table: pl.DataFrame) -> tuple[NDArray[np.int64], list[str]]:
        """(n,) the group of each row, and the groups' names."""
        if self.column not in DOMINANT:
            groups, values = groups_of([table[self.column]])
            return groups, [str(value) for value in values.to_series()]
        columns, names, least = DOMINANT[self.column]
        scores = np.stack([np.nan_to_num(numbers(table[name])) for name in columns], axis=1)
        highest = scores.max(axis=1)
        best = np.where((highest > 0) & (highest >= least), scores.argmax(axis=1), len(names))
        there, groups = np.unique(best, return_inverse=True)
        return groups.astype(np.int64), [(*names, NONE)[number] for number in there]

    def weights(self, names: list[str], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
        """(g,) what the groups' shares are proportional to.

        Raises:
            ConfigError: a share is for a group that does not exist.
        """
        if self.shares is None:
            # Rounded: a power is no exact number, and shares must not differ between machines.
            return np.round(sizes.astype(np.float64) ** self.power, 6)
        unknown = sorted(set(self.shares) - set(names))
        if unknown:
            named = f"--mix names {self.column} {', '.join(unknown)}"
            raise ConfigError(f"{named}; {near(unknown[0], names)}")
        return np.array([self.shares.get(name, 0.0) for name in names])


@dataclass(frozen=True)
class Mixed(Deciding):
    """`inner` inside each group of `mix`; picks take turns so that every beginning holds the shares.

    A group's rows are those that `inner` orders when it sees the group alone.
    """

    inner: Selector
    mix: Mix

    name: ClassVar[str] = "mixed"

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.inner.needs, *self.mix.columns)))

    @property
    def wants(self) -> tuple[str, ...]:
        return tuple(name for name in wanted(self.inner) if name not in self.needs)

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, *self.needs))
        groups, names = self.mix.groups(table)
        sizes = np.bincount(groups, minlength=len(names))
        weights = self.mix.weights(names, sizes)
        quotas = apportion(weights, sizes, min(n, len(table)))
        order, turns = [np.zeros(0, np.int64)], [np.zeros(0)]
        score, stratum = np.full(len(table), np.nan), np.zeros(len(table), np.int64)
        told: tuple[list[str], list[str], list[str]] = ([], [], [])
        for group, quota in enumerate(quotas.tolist()):
            rows = np.flatnonzero(groups == group)
            part = decide(self.inner, table[rows], quota, seed)
            order.append(rows[part.order])
            # Whose share is smaller waits longer between two of its picks.
            turns.append((np.arange(len(part.order)) + 0.5) / max(weights[group], 1e-12))
            score[rows] = np.nan if part.score is None else part.score
            stratum[rows] = len(told[0]) + (0 if part.stratum is None else part.stratum)
            _tell(told, f"{self.mix.column} {names[group]}", part)
        picked = np.concatenate(order)
        return Decision(picked[np.argsort(np.concatenate(turns), kind="stable")], score, stratum, *told)


def _tell(told: tuple[list[str], list[str], list[str]], group: str, part: Decision) -> None:
    """Enter the strata of a group, each behind the group's name."""
    inner = list(part.names) if part.stratum is not None else [""]
    told[0].extend(f"{group}, {name}" if name else group for name in inner)
    told[1].extend(part.scorers or [""] * len(inner))
    told[2].extend(part.why or [""] * len(inner))


def _in_full(name: str) -> str:
    """The name of a capability that may be given in short."""
    return tuple(CAPABILITIES)[CAPABILITY_COLUMNS.index(capability(name))]


def _of_text(text: str, rest: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for part in rest.split(","):
        name, equals, share = part.rpartition("=")
        try:
            shares[name.strip()] = float(share)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            kinds = ", ".join(POWERS)
            raise ConfigError(f"--mix {text}: write {kinds}, power=0.3, source:a=0.3,b=0.7, or @FILE")
    return _checked(shares, text)


def _of_file(name: str) -> dict[str, float]:
    try:
        tree = json.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--mix @{name} cannot be read: {error}") from None
    if not isinstance(tree, dict) or not all(isinstance(share, int | float) for share in tree.values()):
        raise ConfigError(f"--mix @{name} holds no object of shares by name")
    return _checked({key: float(share) for key, share in tree.items()}, f"@{name}")


def _checked(shares: dict[str, float], text: str) -> dict[str, float]:
    if not shares or not all(0 <= share < float("inf") for share in shares.values()):
        raise ConfigError(f"--mix {text}: shares are numbers of at least 0")
    return shares
