"""What other packages offer: entry points by group, and of `curation.scorers` what a scorer must be.

An entry point of a scorer names a function or class that takes no argument and returns a scorer: what
`schemas.protocols.Scorer` says, and `reads`, the columns of its batches. Nothing is imported of a package
until one of its scorers is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from curation.catalog import PLUGIN
from schemas.columns import SAMPLES
from schemas.errors import ConfigError
from schemas.protocols import ColumnScorer

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "curation.scorers"
VECTORS = ("image", "text")
READABLE = (*SAMPLES.names, *VECTORS)
METADATA = {b"unit", b"range", b"better"}


def offered(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group, by name."""
    return {point.name: point for point in entry_points(group=group)}


@dataclass(frozen=True)
class Plugin:
    """One entry point. Small and picklable: a worker that has the package loads the scorer itself."""

    name: str
    value: str  # module:attribute
    distribution: str  # the package that offers it, and its version

    @property
    def scorer(self) -> ColumnScorer:
        """The scorer, loaded at the first call in this process.

        Raises:
            ConfigError: the package is not here, another version of it is, or it does not load.
        """
        return _load(self)

    @property
    def said(self) -> str:
        """How errors call it."""
        return f"the scorer {self.name!r} of the package {self.distribution}"

    @property
    def table(self) -> str:
        """The table that it fills."""
        return PLUGIN + self.name


def plugins(names: Sequence[str]) -> list[Plugin]:
    """The plug-ins of these names.

    Raises:
        ConfigError: one is not installed, or two packages offer it.
    """
    if not names:
        return []  # looking through what is installed takes a while
    points = {
        point: f"{point.dist.name} {point.dist.version}" for point in entry_points(group=GROUP) if point.dist
    }
    found = []
    for name in dict.fromkeys(names):
        offers = {point: package for point, package in points.items() if point.name == name}
        if not offers:
            there = ", ".join(sorted({point.name for point in points})) or "none"
            raise ConfigError(
                f"no installed package offers a scorer {name!r} (entry point {GROUP}); there are: {there}"
            )
        if len(set(offers.values())) > 1:
            raise ConfigError(
                f"{' and '.join(sorted(offers.values()))} both offer a scorer {name!r}; remove one"
            )
        point, package = next(iter(offers.items()))
        found.append(Plugin(name, point.value, package))
    return found


@lru_cache(maxsize=32)
def _load(plugin: Plugin) -> ColumnScorer:
    (here,) = plugins([plugin.name])
    if here != plugin:
        raise ConfigError(
            f"the scorer {plugin.name!r} is of {plugin.distribution} where the run was planned, and of "
            f"{here.distribution} here; give every worker the same packages"
        )
    point = next(
        point for point in entry_points(group=GROUP, name=plugin.name) if point.value == plugin.value
    )
    try:
        scorer: ColumnScorer = point.load()()
    except Exception as error:  # other people's code may raise anything
        raise ConfigError(f"{plugin.said} cannot be loaded: {type(error).__name__}: {error}") from error
    problem = _problem(scorer)
    if problem:
        raise ConfigError(f"{plugin.said} {problem}")
    return scorer


def _problem(scorer: Any) -> str | None:
    """What a scorer lacks to be one."""
    missing = [name for name in ("name", "version", "writes", "reads", "score") if not hasattr(scorer, name)]
    if missing:
        return f"has no {missing[0]}; see schemas.protocols.ColumnScorer"
    unknown = [name for name in scorer.reads if name not in READABLE]
    if unknown:
        return f"reads {unknown[0]!r}; there are {', '.join(READABLE)}"
    for field in scorer.writes:
        if field.name in READABLE or not field.nullable:
            return f"writes {field.name!r}, which is taken or cannot be null"
        if not set(field.metadata or ()) >= METADATA:
            return f"does not say the unit, range and direction of {field.name!r} in the column's metadata"
    return None


def plugin_columns(names: Sequence[str]) -> dict[str, str]:
    """The columns of these plug-ins, and the table that holds each."""
    return {column: plugin.table for plugin in plugins(names) for column in plugin.scorer.writes.names}
