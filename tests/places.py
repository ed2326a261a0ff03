"""Workspaces of tests lie on this machine, which their type does not say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curation.storage.files import Location


def here(place: Location) -> Path:
    """A place as the local Path that it is."""
    assert isinstance(place, Path)
    return place
