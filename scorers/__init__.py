"""One file a scorer: a batch in, scores out. Kernels on arrays and Arrow batches; only `schemas` is imported.

A new scorer is one file here and one line below, or an entry point `curation.scorers` of another package.
One that says which columns of a sample it `reads` is run by `curate score` as it is; another has a stage that
makes its batches, in `curation/steps/score/`.
"""

from __future__ import annotations

from typing import cast

from schemas.protocols import ColumnScorer, Scorer
from scorers.alignment import Alignment
from scorers.capability import Capability
from scorers.grounding import Grounding
from scorers.head import Head
from scorers.hygiene import Hygiene
from scorers.judgement import Judgement
from scorers.phrases import PhraseGrounding
from scorers.picture_agreement import PictureAgreement
from scorers.probe import Probe
from scorers.synthetic import Synthetic
from scorers.text_agreement import TextAgreement
from scorers.text_flags import TextFlags

SCORERS: dict[str, type[Scorer]] = {
    "hygiene": Hygiene,
    "alignment": Alignment,
    "text_flags": TextFlags,
    "synthetic_quality": Synthetic,
    "head": Head,
    "capability": Capability,
    "capability_probe": Probe,
    "judgement": Judgement,
    "grounding": Grounding,
    "phrase_grounding": PhraseGrounding,
    "text_agreement": TextAgreement,
    "picture_agreement": PictureAgreement,
}
# Those that need no more than columns of a sample.
COLUMN_SCORERS = {
    name: cast("type[ColumnScorer]", scorer) for name, scorer in SCORERS.items() if hasattr(scorer, "reads")
}
