"""What became of each sample, as far as the chain has come: one small number a sample."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.report.records import Ints, positions_of
from curation.steps.prune.decide import EXACT, FLIPPED, NEAR, PERCEPTUAL, PIXELS, REDUNDANT, SURPLUS
from curation.steps.select.select import FILTERED, KEPT, LEAK, LISTED, OVER_BUDGET, QUARANTINED, TARGET
from schemas.stages import Pool

Flags = NDArray[np.bool_]

OPEN = "not_decided"  # readable, and no duplicate as far as is known; nothing is selected yet
COPIES = (EXACT, PIXELS, NEAR, PERCEPTUAL, FLIPPED)
PRUNED = (*COPIES, REDUNDANT, SURPLUS)
OTHERS = (FILTERED, LEAK, LISTED, TARGET)
ALL = (KEPT, OVER_BUDGET, OPEN, *PRUNED, *OTHERS, QUARANTINED)


@dataclass(frozen=True)
class Outcomes:
    """Of each sample in pool order the place of its outcome in ALL.

    Args:
        code: (n,) those places.
        pruned: whether duplicates are known.
        selected: whether a selection says so, and not only what came before.
    """

    code: NDArray[np.uint8]
    pruned: bool
    selected: bool

    @classmethod
    def of(cls, pool: Pool) -> Outcomes:
        """From `selection` where it is of the pool as it is, else from `pruned` and `checked`."""
        checked = pool.read("checked", ["error"])
        selection = pool.find("selection")
        if selection is not None and selection.rows == len(checked):
            reasons = pool.read("selection", ["reason"])["reason"].combine_chunks().dictionary_encode()
            known = np.array([ALL.index(name) for name in reasons.dictionary.to_pylist()], np.uint8)
            return cls(known[reasons.indices.to_numpy()], pruned=True, selected=True)
        code = np.full(len(checked), ALL.index(OPEN), np.uint8)
        code[checked["error"].is_valid().to_numpy()] = ALL.index(QUARANTINED)
        if pool.find("pruned") is None:
            return cls(code, pruned=False, selected=False)
        rows = pool.read("pruned", ["uid", "reason"])
        at = positions_of(pool, rows["uid"])
        reasons = pc.index_in(rows["reason"], value_set=pa.array(ALL)).to_numpy().astype(np.uint8)
        code[at[at >= 0]] = reasons[at >= 0]
        return cls(code, pruned=True, selected=False)

    def are(self, *names: str) -> Flags:
        """(n,) which samples have one of these outcomes."""
        return np.isin(self.code, [ALL.index(name) for name in names])

    @property
    def kept(self) -> Flags:
        """(n,) what is kept; before a selection, what is not out yet."""
        return self.are(KEPT) if self.selected else self.are(OPEN)

    @property
    def readable(self) -> Flags:
        """(n,) what is not in quarantine."""
        return ~self.are(QUARANTINED)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many samples have each outcome, in the order of ALL; those that none has are left out."""
        found = np.bincount(self.code, minlength=len(ALL)).tolist()
        return {name: n for name, n in zip(ALL, found, strict=True) if n}

    @property
    def present(self) -> Ints:
        """The places in ALL that are not empty, in order."""
        return np.flatnonzero(np.bincount(self.code, minlength=len(ALL)))
