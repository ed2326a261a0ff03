"""Who scores capabilities and styles: one backend or none, all with one output table, `capability`.

A backend makes the stages that end with a map stage named `capability`, whose columns are `uid` and
`scorers.taxonomy.WRITES`.
"""

from __future__ import annotations

from collections.abc import Callable

from curation.steps.context import Context
from curation.steps.score.endpoint import endpoint_capability
from curation.steps.score.probe import builtin_capability, probe_capability
from schemas.stages import Stage

BACKENDS: dict[str, Callable[[Context], list[Stage]]] = {
    "none": lambda context: [],
    "builtin": builtin_capability,
    "probe": probe_capability,
    "endpoint": endpoint_capability,
}


def capability_stages(context: Context) -> list[Stage]:
    """The stages of the backend that `capability.backend` names."""
    return BACKENDS[context.config.capability.backend](context)
