"""Near-twins: families of different pictures of which any two differ in one number, one word or one thing.

None of them is a copy of another, however alike they look: what prunes one is wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from curation.generate.twins.charts import bars, lines
from curation.generate.twins.diagrams import diagrams
from curation.generate.twins.family import MOST, Family
from curation.generate.twins.receipts import receipts
from curation.generate.twins.scenes import scenes
from curation.generate.twins.tables import tables

TWINS: dict[str, Callable[[random.Random, int], Family]] = {
    "receipts": receipts,
    "charts": bars,
    "plots": lines,
    "tables": tables,
    "diagrams": diagrams,
    "scenes": scenes,
}

__all__ = ["MOST", "TWINS", "Family"]
