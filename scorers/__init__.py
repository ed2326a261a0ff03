"""One file a scorer: a batch in, scores out. Kernels on arrays and Arrow batches; only `schemas` is imported.

A new scorer is one file here and one line below, or an entry point `curation.scorers` of another package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorers.alignment import Alignment
from scorers.capability import Capability
from scorers.head import Head
from scorers.hygiene import Hygiene
from scorers.judgement import Judgement
from scorers.synthetic import Synthetic
from scorers.text_flags import TextFlags

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.protocols import Scorer

SCORERS: dict[str, Callable[..., Scorer]] = {
    "hygiene": Hygiene,
    "alignment": Alignment,
    "text_flags": TextFlags,
    "synthetic_quality": Synthetic,
    "head": Head,
    "capability": Capability,
    "judgement": Judgement,
}
