"""What the stages of a chain follow from: the settings, the encoder, and where the workspace lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from curation.models.resolved import Model
from curation.storage.files import Location
from schemas.config import Config


@dataclass(frozen=True)
class Context:
    """Every step makes its stages of one of these.

    Args:
        config: the settings.
        model: the encoder, asked where it is needed, as resolving it may load it.
        root: the workspace's folder `.curate`.
    """

    config: Config
    model: Callable[[], Model]
    root: Location

    @property
    def base(self) -> Location:
        """The folder of curate.toml, which its paths are relative to."""
        return self.root.parent
