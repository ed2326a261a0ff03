"""`magic`: answers that need the image and look at it, over the skills of a VLM (MAGIC, arXiv 2605.26004).

Gain is what the image saves the answer (`visual_necessity`); bridging relevance is how sharply the answer's
tokens look at the image; the neuron that a sample excites most is its skill. Of the paper only the abstract
was to be had. So these are choices: low gain is a gain of 0 or less; the objective is the mean of the ranks
of gain and bridging; skills take turns, which gives each the same share as far as it lasts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from curation.selectors.by_column import NECESSITY
from curation.selectors.d2 import ranked_share
from curation.selectors.decision import Deciding, Decision
from curation.selectors.grid import BRIDGING, NEURON
from curation.selectors.order import TIES, demand, groups_of, in_rounds, numbers, pick_order
from curation.selectors.per_cluster import labels
from curation.selectors.spec import Plain

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Magic(Plain, Deciding):
    """Skills take turns, the best of each first; low gain comes after all others, and what has none last.

    Ties go to the smaller (content_hash, uid); the seed has no influence; a smaller budget is a prefix.
    """

    name: ClassVar[str] = "magic"
    needs: ClassVar[tuple[str, ...]] = (NECESSITY, BRIDGING, NEURON)

    def decide(self, table: pl.DataFrame, n: int, seed: int) -> Decision:
        import polars as pl

        demand(table, (*TIES, *self.needs))
        gain, bridging = numbers(table[NECESSITY]), numbers(table[BRIDGING])
        score = (ranked_share(gain) + ranked_share(bridging)) / 2
        # 0: worth it, 1: low gain, 2: no gain known.
        tier = np.where(np.isnan(gain), 2, np.where(gain > 0, 0, 1))
        skills, values = groups_of([table[NEURON]])
        ranked = pick_order(table, [pl.Series(tier), pl.Series(score)], [False, True])
        turns = [in_rounds(skills, ranked[tier[ranked] == each]) for each in range(3)]
        names = labels(NEURON, values)
        scorers = ["mean rank of gain and bridging"] * len(names)
        return Decision(np.concatenate(turns)[:n], score, skills, names, scorers)
