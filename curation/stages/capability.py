"""Who scores capabilities and styles: one backend or none, all with one output table, `capability`.

A backend is a function of the settings, the encoder and the workspace's folder. It returns the stages that
end with a map stage named `capability`, whose columns are `uid` and `scorers.taxonomy.WRITES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curation.stages.endpoint import endpoint_capability
from curation.stages.probe import builtin_capability, probe_capability
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from curation.files import Location
    from curation.keys import Stage
    from curation.models.resolved import Model
    from schemas.config import Config

    Backend = Callable[[Config, Callable[[], Model], Location], list[Stage]]


def _none(config: Config, model: Callable[[], Model], root: Location) -> list[Stage]:
    return []


BACKENDS: dict[str, Backend] = {
    "none": _none,
    "builtin": builtin_capability,
    "probe": probe_capability,
    "endpoint": endpoint_capability,
}


def capability_stages(config: Config, model: Callable[[], Model], root: Location) -> list[Stage]:
    """The stages of the backend that `capability.backend` names.

    Args:
        config: the settings.
        model: the encoder, asked where it is needed.
        root: the workspace's folder `.curate`, where answers and trained scorers lie.

    Raises:
        ConfigError: there is no such backend.
    """
    name = config.capability.backend
    if name not in BACKENDS:
        raise ConfigError(f"capability.backend is {name!r}; there are {', '.join(BACKENDS)}")
    return BACKENDS[name](config, model, root)
