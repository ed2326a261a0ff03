"""Selectors: pure functions of a score table. A new one is one file here and one line below.

Other packages offer theirs through the entry point group `curation.selectors`: a function that takes the text
after the colon of the spec, or None, and returns a selector.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from curation.selection.per_cluster import RandomPerCluster, TopPerCluster
from curation.selection.random_ import Random
from curation.selection.top import Top
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.protocols import Selector

GROUP = "curation.selectors"

SELECTORS: dict[str, Callable[[str | None], Selector]] = {
    "random": Random.parse,
    "random-per-cluster": RandomPerCluster.parse,
    "top": Top.parse,
    "top-per-cluster": TopPerCluster.parse,
}


def selector(spec: str) -> Selector:
    """The selector of a spec `NAME` or `NAME:ARGUMENT`, such as `random` or `top:alignment`.

    Raises:
        ConfigError: there is no such selector, or its argument is wrong.
    """
    name, colon, argument = spec.partition(":")
    factory = SELECTORS.get(name) or _plugin(name)
    return factory(argument if colon else None)


def _plugin(name: str) -> Callable[[str | None], Selector]:
    offered = {point.name: point for point in entry_points(group=GROUP)}
    if name not in offered:
        existing = ", ".join(sorted({*SELECTORS, *offered}))
        raise ConfigError(f"there is no selection strategy {name!r}; there are {existing}")
    factory: Callable[[str | None], Selector] = offered[name].load()
    return factory
