"""`hygiene`: plain figures of text and images, no model."""

from __future__ import annotations

from importlib.metadata import version

from curation.steps.ingest.samples import SAMPLES_WITH_IMAGES
from curation.steps.score.scored import Scored
from scorers.hygiene import Hygiene


def hygiene_stage() -> Scored:
    """See `scorers.hygiene`."""
    settings = {"py3langid": version("py3langid")}
    return Scored("hygiene", Hygiene.version, Hygiene.writes, SAMPLES_WITH_IMAGES, Hygiene().score, settings)
