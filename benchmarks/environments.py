"""Environments of the peers we are measured against: a folder of packages each, over those that run here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.consumers.environments import REPOSITORY, Unavailable, environment

if TYPE_CHECKING:
    from collections.abc import Sequence

# Without dependencies, as in tests/consumers/environments.py: what runs here already is not named.
PACKAGES = {
    "semhash": (
        "semhash==0.5.0", "model2vec==0.10.0", "vicinity==0.4.6", "usearch==2.26.6", "numkong==7.8.6",
        "pyversity==0.2.0", "frozendict==2.5.1", "orjson==3.13.0",
    ),
    "imagededup": ("imagededup==0.3.3.post2",),
    "cleanvision": ("cleanvision==0.3.7", "tabulate==0.10.0"),
    "apricot": ("apricot-select==0.6.1", "numba==0.68.1", "llvmlite==0.50.0", "nose==1.3.7"),
    "submodlib": ("submodlib-py==0.0.3", "numba==0.68.1", "llvmlite==0.50.0"),
}  # fmt: skip
NOT_MEASURED = {
    "fastdup": "not tried: it pins numpy, Pillow and OpenCV to versions of its own",
    "data-juicer": "not tried",
    "clip-retrieval": "not tried: it needs weights from a model hub",
}
"""Peers that nobody has measured yet, and why."""


def versions(peers: Sequence[str]) -> list[str]:
    """What is measured of each peer, as `name==version`."""
    return [PACKAGES[peer][0] for peer in peers]


def variables(peer: str) -> dict[str, str]:
    """The environment's variables for a process that may import the peer.

    Raises:
        Unavailable: pip cannot get it.
    """
    folder = environment(f"peer-{peer}", PACKAGES[peer])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)])}


__all__ = ["NOT_MEASURED", "PACKAGES", "Unavailable", "variables", "versions"]
