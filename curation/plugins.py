"""Scorers of other packages: the entry points `curation.scorers`, and the stage that runs one.

An entry point names a function or class that takes no argument and returns a scorer: what
`schemas.protocols.Scorer` says, and `reads`, the columns of its batches. Nothing is imported of a package
until one of its scorers is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from curation.scores import PLUGIN, fixed_columns
from curation.stages.inputs import Aligned, Input
from curation.store import read_shard
from schemas.columns import SAMPLES, UID
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.metadata import EntryPoint

    from schemas.protocols import PluginScorer, Task

GROUP = "curation.scorers"
VECTORS = ("image", "text")
READABLE = (*SAMPLES.names, *VECTORS)
METADATA = {b"unit", b"range", b"better"}


@dataclass(frozen=True)
class Plugin:
    """One entry point. Small and picklable: a worker that has the package loads the scorer itself."""

    name: str
    value: str  # module:attribute
    distribution: str  # the package that offers it, and its version

    @property
    def scorer(self) -> PluginScorer:
        """The scorer, loaded at the first call in this process.

        Raises:
            ConfigError: the package is not here, another version of it is, or it does not load.
        """
        return _load(self)

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
def _load(plugin: Plugin) -> PluginScorer:
    (here,) = plugins([plugin.name])
    if here != plugin:
        raise ConfigError(
            f"the scorer {plugin.name!r} is of {plugin.distribution} where the run was planned, and of "
            f"{here.distribution} here; give every worker the same packages"
        )
    point = next(
        point for point in entry_points(group=GROUP, name=plugin.name) if point.value == plugin.value
    )
    scorer = _made(point, plugin)
    problem = _problem(scorer)
    if problem:
        raise ConfigError(f"the scorer {plugin.name!r} of the package {plugin.distribution} {problem}")
    return scorer


def _made(point: EntryPoint, plugin: Plugin) -> PluginScorer:
    try:
        scorer: PluginScorer = point.load()()
    except Exception as error:  # other people's code may raise anything
        raise ConfigError(
            f"the scorer {plugin.name!r} of the package {plugin.distribution} cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
    return scorer


def _problem(scorer: Any) -> str | None:
    """What a scorer lacks to be one."""
    missing = [name for name in ("name", "version", "writes", "reads", "score") if not hasattr(scorer, name)]
    if missing:
        return f"has no {missing[0]}; see schemas.protocols.PluginScorer"
    unknown = [name for name in scorer.reads if name not in READABLE]
    if unknown:
        return f"reads {unknown[0]!r}; there are {', '.join(READABLE)}"
    for field in scorer.writes:
        if field.name in READABLE or not field.nullable:
            return f"writes {field.name!r}, which is taken or cannot be null"
        if not set(field.metadata or ()) >= METADATA:
            return f"does not say the unit, range and direction of {field.name!r} in the column's metadata"
    return None


@dataclass(frozen=True)
class PluginRows:
    """Source: the columns that a plug-in reads, and which samples are in quarantine."""

    reads: tuple[str, ...]

    batch: ClassVar[int] = 1024

    @property
    def inputs(self) -> tuple[Input, ...]:
        """See `schemas.protocols.Source`."""
        vectors = (Aligned("vectors"),) if set(self.reads) & set(VECTORS) else ()
        return (Aligned("samples"), Aligned("checked"), *vectors)

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        wanted: dict[str, list[str]] = {"samples": ["uid"], "checked": ["error"], "vectors": []}
        for name in self.reads:
            held = "vectors" if name in VECTORS else "samples"
            if name not in ("uid", "error"):
                wanted[held].append(name)
        parts = [
            read_shard(task.inputs[table][task.number], names) for table, names in wanted.items() if names
        ]
        columns = {name: part[name] for part in parts for name in part.column_names}
        yield from pa.table(columns).combine_chunks().to_batches(max_chunksize=self.batch)

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield rows


@dataclass(frozen=True)
class ScoreByPlugin:
    """A table `plugin_NAME` with the columns of another package's scorer; null for bad records."""

    plugin: Plugin
    source: PluginRows
    name: str

    version: ClassVar[int] = 1
    shape: ClassVar[str] = "map"

    @property
    def writes(self) -> pa.Schema:
        return pa.schema([UID, *self.plugin.scorer.writes])

    def params(self) -> dict[str, Any]:
        scorer = self.plugin.scorer
        return {
            "plugin": self.plugin.value,
            "package": self.plugin.distribution,
            "version": scorer.version,
            "reads": list(scorer.reads),
        }

    def prepare(self, piece: pa.RecordBatch) -> pa.RecordBatch:
        """Score the usable rows and put nulls between them."""
        scorer = self.plugin.scorer
        usable = piece["error"].is_null()
        scores = scorer.score(piece.filter(usable).select(list(scorer.reads)))
        if scores.num_rows != usable.true_count:
            raise ConfigError(
                f"the scorer {self.plugin.name!r} of the package {self.plugin.distribution} returned "
                f"{scores.num_rows} rows for {usable.true_count}"
            )
        places = pa.array(_places(usable.to_pylist()), pa.int64())
        columns = [scores.column(field.name).take(places) for field in scorer.writes]
        return pa.record_batch([piece["uid"], *columns], names=self.writes.names)

    def finish(self, rows: pa.RecordBatch, prepared: list[pa.RecordBatch]) -> pa.RecordBatch:
        return prepared[0]


def _places(usable: list[bool]) -> list[int | None]:
    """For each row its place among the usable ones, None for the others."""
    places: list[int | None] = []
    n = 0
    for one in usable:
        places.append(n if one else None)
        n += one
    return places


def plugin_stages(names: Sequence[str]) -> list[ScoreByPlugin]:
    """A stage for each plug-in.

    Raises:
        ConfigError: one is not installed or does not load, or two write a column of one name.
    """
    stages: list[ScoreByPlugin] = []
    owners: dict[str, Plugin] = {}
    ours = fixed_columns() if names else set()
    for plugin in plugins(names):
        for column in plugin.scorer.writes.names:
            if column in ours:
                raise ConfigError(
                    f"the scorer {plugin.name!r} of the package {plugin.distribution} writes {column!r}, "
                    "which is a column of curate's own"
                )
            if column in owners:
                raise ConfigError(
                    f"{owners[column].distribution} and {plugin.distribution} both write a column "
                    f"{column!r}; take one of them"
                )
            owners[column] = plugin
        stages.append(ScoreByPlugin(plugin, PluginRows(tuple(plugin.scorer.reads)), plugin.table))
    return stages


def plugin_columns(names: Sequence[str]) -> dict[str, str]:
    """The columns of these plug-ins, and the table that holds each."""
    return {column: plugin.table for plugin in plugins(names) for column in plugin.scorer.writes.names}
