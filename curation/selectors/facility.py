"""`facility` and `quality-diversity`: picks that together resemble every candidate, and are good as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from curation.selectors.cover import Coverage, lazy, stochastic
from curation.selectors.d2 import ranked_share
from curation.selectors.decision import Deciding, Decision
from curation.selectors.grid import IMAGE, TEXT, joint_vectors, vectors_of
from curation.selectors.order import TIES, demand, groups_of, numbers, pick_order
from curation.selectors.per_cluster import CLUSTER
from curation.selectors.similar import Similar, similar
from curation.selectors.spec import column_and_direction, knob
from schemas.errors import ConfigError
from schemas.grid import on_grid

if TYPE_CHECKING:
    import polars as pl

STOCHASTIC = "stochastic"
COVERS = {"joint": (IMAGE, TEXT), "image": (IMAGE,), "text": (TEXT,), "image,text": (IMAGE, TEXT)}


@dataclass(frozen=True)
class Facility(Deciding):
    """Facility location: the sum over candidates of the similarity to the nearest pick, by greedy steps.

    At least 1 - 1/e of the best sum on the lists it works on: for each candidate the 32 most similar ones,
    looked for in its cluster and the clusters around it (exact up to 4,096 candidates). Ties go to the
    smaller (content_hash, uid). With `lazy` steps the seed has no influence and a smaller budget is a prefix.

    Args:
        cover: what must be similar: `joint` vectors, or one modality, or both at once (`image,text`), where
            the similarities of images and of texts are added up.
        steps: `lazy` (exact) or `stochastic`, the best of a random draw each time.
    """

    cover: str = "joint"
    steps: str = "lazy"

    name: ClassVar[str] = "facility"

    @classmethod
    def parse(cls, argument: str | None) -> Facility:
        """The selector of `facility`, `facility:image,text` or `facility:joint@stochastic`.

        Raises:
            ConfigError: there is no such cover or step.
        """
        cover, at, steps = (argument or "").partition("@")
        made = cls(cover or "joint", steps if at else "lazy")
        if made.cover not in COVERS:
            raise ConfigError(f"facility covers {'; '.join(COVERS)}, not {cover!r}")
        if made.steps not in ("lazy", STOCHASTIC):
            raise ConfigError(f"facility takes lazy or {STOCHASTIC} steps, not {steps!r}")
        return made

    @property
    def needs(self) -> tuple[str, ...]:
        return COVERS[self.cover]

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, CLUSTER, *self.needs))
        canonical = pick_order(table, [], [])
        k = min(n, len(table))
        if not k:
            return Decision(canonical[:0])
        rows = table[canonical]
        coverage = Coverage(lists(rows, self.cover))
        if self.steps == STOCHASTIC:
            rng = np.random.default_rng([seed % 2**63, len(rows), k])
            order, added = stochastic(coverage, k, lambda size: rng.integers(0, len(rows), size))
        else:
            order, added = lazy(coverage, k)
        score = np.full(len(rows), np.nan)
        score[canonical[order]] = added
        return Decision(canonical[order], score)


@dataclass(frozen=True)
class QualityDiversity(Deciding):
    """One knob between score and coverage: weight * quality + (1 - weight) * facility location.

    Quality is the rank of `column` as a share in (0, 1], scaled so that all picks together weigh as much as
    all candidates. 0 is `facility`, 1 is `top`. The seed has no influence.
    """

    column: str
    lowest: bool = False
    weight: float = 0.5

    name: ClassVar[str] = "quality-diversity"

    @classmethod
    def parse(cls, argument: str | None) -> QualityDiversity:
        """The selector of `quality-diversity:COLUMN` or `quality-diversity:COLUMN@0.7`.

        Raises:
            ConfigError: there is no column, or the weight is not in [0, 1].
        """
        column, at, number = (argument or "").partition("@")
        name, lowest = column_and_direction(cls.name, column)
        wanted = f"{cls.name} takes a weight from 0 to 1, such as {cls.name}:{name}@0.7"
        return cls(name, lowest, knob(number if at else None, 0.5, lambda weight: 0 <= weight <= 1, wanted))

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.column, IMAGE, TEXT)

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        demand(table, (*TIES, CLUSTER, *self.needs))
        canonical = pick_order(table, [], [])
        k = min(n, len(table))
        if not k:
            return Decision(canonical[:0])
        rows = table[canonical]
        share = ranked_share(numbers(rows[self.column]) * (-1 if self.lowest else 1))
        # 40 bits keep the sums with the gains exact.
        quality = np.rint(share * (len(rows) / k) * self.weight * 2.0**16) / 2.0**16
        parts = [_scaled(part, 1.0 - self.weight) for part in lists(rows, "joint")]
        order, added = lazy(Coverage(parts, quality), k)
        score = np.full(len(rows), np.nan)
        score[canonical[order]] = added
        return Decision(canonical[order], score)


def lists(rows: pl.DataFrame, cover: str) -> list[Similar]:
    """The similar rows of each row, once for each vector that is to be covered."""
    if cover == "joint":
        views = [joint_vectors(rows)]
    else:
        views = [on_grid(view) for view in vectors_of(rows, COVERS[cover])]
    clusters, _ = groups_of([rows[CLUSTER]])
    return [similar(view, clusters) for view in views]


def _scaled(part: Similar, weight: float) -> Similar:
    gain = (np.rint(part.gain * np.float32(weight) * np.float32(2.0**22)) / np.float32(2.0**22)).astype(
        np.float32
    )
    return Similar(part.rows, gain, part.floor)
