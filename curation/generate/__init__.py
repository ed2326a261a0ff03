"""Our own synthetic image-text samples: one file per kind, drawn with Pillow, equal for equal seeds."""

from __future__ import annotations

import random
from collections.abc import Callable

from curation.generate.arithmetic import exercises
from curation.generate.charts import chart
from curation.generate.counting import crowd
from curation.generate.rendered import rendered_text
from curation.generate.sample import Sample
from curation.generate.scenes import scene
from curation.generate.shapes import placed_shapes
from curation.generate.tables import table

KINDS: dict[str, Callable[[random.Random], Sample]] = {
    "charts": chart,
    "tables": table,
    "rendered": rendered_text,
    "shapes": placed_shapes,
    "counting": crowd,
    "scenes": scene,
    "arithmetic": exercises,
}

__all__ = ["KINDS", "Sample"]
