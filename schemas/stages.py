"""What a stage is: its three shapes, how it names what it reads, and the values that it exchanges.

A map has one shard in and one out. A fit or decide sees whole tables, narrowly. A group has bins of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeGuard, runtime_checkable

from schemas.tables import Manifest

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

# The last stages of each step. A step runs whatever of the steps before it is not done.
STEPS = ("ingest", "embed", "score", "cluster", "prune", "select")


@dataclass(frozen=True)
class Aligned:
    """The shard of `table` with the same number."""

    table: str


@dataclass(frozen=True)
class Linked:
    """The shards of `table` that rows of the same-numbered shard of `through` point into."""

    table: str
    through: str


@dataclass(frozen=True)
class Whole:
    """Every shard of `table`: artefacts of fit stages."""

    table: str


Input = Aligned | Linked | Whole


@dataclass(frozen=True)
class Task:
    """One shard to compute. `inputs` maps a table's name to the paths of the shards that may be read."""

    number: int
    rows: int
    inputs: dict[str, dict[int, str]] = field(default_factory=dict)  # table -> shard number -> path
    keys: dict[str, str] = field(default_factory=dict)  # table to write -> key of the shard
    value: Any = None  # what a source needs besides tables: the span of a file

    def path(self, table: str) -> str:
        """The shard of `table` with the task's own number."""
        return self.inputs[table][self.number]

    def artefact(self, table: str) -> str:
        """The one shard of a fit's table."""
        return self.inputs[table][0]


@dataclass(frozen=True)
class Output:
    """One shard of an output table. Shards of a table are numbered in the order in which they come."""

    table: str
    batch: pa.RecordBatch
    links: Sequence[int] = ()


class Pool(Protocol):
    """What a fit, decide or group sees: finished tables, read narrowly."""

    def find(self, table: str) -> Manifest | None: ...

    def manifest(self, table: str) -> Manifest: ...

    def paths(self, table: str) -> list[str]:
        """The files of a table's shards, in order."""
        ...

    def tables(self) -> list[str]: ...

    def schema(self, table: str) -> pa.Schema: ...

    def read(self, table: str, columns: Sequence[str] | None = None, number: int | None = None) -> pa.Table:
        """Rows of one shard, or of the whole table."""
        ...

    def iterate(self, table: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """One table a shard, in order."""
        ...


class Source(Protocol):
    """How the input of a map stage is loaded. Stages with equal sources are fused: one load serves them all.

    `inputs` says which shards it reads; the first one gives the rows.
    """

    @property
    def inputs(self) -> tuple[Input, ...]: ...

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        """Cut the task's shard into batches of fixed size. Cheap: narrow rows only."""
        ...

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[Any]:
        """Fetch what the stages need for `rows`, in pieces: read, decode, gather. Runs in a thread."""
        ...


@runtime_checkable
class Isolating(Protocol):
    """A source whose pieces are single records or images: a stage that raises on one must not end the run."""

    def failed(self, piece: Any, error: Exception) -> Any:
        """`piece` as a bad one, which every stage can prepare."""
        ...


class MapStage(Protocol):
    """One shard in, one shard out, a batch at a time: `prepare` in any thread, `finish` in order.

    A frozen, picklable dataclass. The output of a batch has one row for each row in, and depends on that
    batch alone.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def source(self) -> Source:
        """Stages with equal ones are fused."""
        ...

    @property
    def writes(self) -> pa.Schema: ...

    def params(self) -> dict[str, Any]:
        """What stands in the shard's key besides name, version and inputs. JSON values."""
        ...

    def prepare(self, piece: Any) -> Any:
        """Everything that needs no model, for one piece: resize, tokenise, measure. Thread-safe."""
        ...

    def finish(self, rows: pa.RecordBatch, prepared: Any) -> pa.RecordBatch:
        """The model's part, for all pieces of a batch, on the engine's own thread, batches in order."""
        ...


class Prepared:
    """Of a map stage without a model: `prepare` has made the batch, its only piece."""

    def finish(self, rows: pa.RecordBatch, prepared: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
        """That piece."""
        (batch,) = prepared
        return batch


@runtime_checkable
class Modelled(Protocol):
    """A map stage that runs a model: its tasks get a GPU where that is on one."""

    @property
    def model(self) -> Any:
        """What `device` it runs on: cpu or cuda."""
        ...


class PoolStage(Protocol):
    """A fit (a bounded sample in, one artefact out) or a decide (narrow columns in, tables out)."""

    version: ClassVar[int]

    @property
    def name(self) -> str: ...

    @property
    def reads(self) -> tuple[str, ...]:
        """Tables, whole."""
        ...

    @property
    def writes(self) -> dict[str, pa.Schema]:
        """Schema of each table that is written."""
        ...

    def params(self) -> dict[str, Any]: ...

    def run(self, pool: Pool) -> Iterator[Output]:
        """The shards of each table in order."""
        ...


@runtime_checkable
class Sharded(Protocol):
    """A fit or decide whose tables have as many shards as the table `alike`; without it they have one."""

    @property
    def alike(self) -> str: ...


class GroupStage(Protocol):
    """Rows regrouped into bins, then one bin in, a shard out."""

    name: ClassVar[str]
    version: ClassVar[int]

    @property
    def reads(self) -> tuple[str, ...]:
        """Tables, shard by shard."""
        ...

    @property
    def columns(self) -> dict[str, list[str] | None]:
        """What `rows` needs of each table; None: all columns."""
        ...

    @property
    def writes(self) -> pa.Schema: ...

    def params(self) -> dict[str, Any]: ...

    def bins(self, pool: Pool) -> NDArray[np.int64]:
        """The bin of each group, from narrow columns; balanced by cost, the dearest bin first."""
        ...

    def rows(self, parts: dict[str, pa.Table], bins: NDArray[np.int64]) -> Iterator[tuple[int, pa.Table]]:
        """The rows of one shard, bin by bin."""
        ...

    def run(self, rows: pa.Table) -> Iterator[pa.RecordBatch]:
        """One bin; its rows are sorted by uid."""
        ...


Stage = MapStage | PoolStage | GroupStage


def is_map(stage: Stage) -> TypeGuard[MapStage]:
    """One shard in, one shard out."""
    return hasattr(stage, "prepare")


def is_group(stage: Stage) -> TypeGuard[GroupStage]:
    """Regrouped rows, bin by bin."""
    return hasattr(stage, "bins")


def is_whole(stage: Stage) -> TypeGuard[PoolStage]:
    """Whole tables in: a fit or a decide."""
    return not is_map(stage) and not is_group(stage)


def outputs(stage: Stage) -> list[str]:
    """The tables that a stage writes."""
    return list(stage.writes) if is_whole(stage) else [stage.name]


def reads(stage: Stage) -> list[str]:
    """The tables that must be finished before a stage can run."""
    if is_map(stage):
        needed = stage.source.inputs
        return [item.table for item in needed] + [i.through for i in needed if isinstance(i, Linked)]
    assert is_group(stage) or is_whole(stage)
    return list(stage.reads)


class Engine(Protocol):
    """Where stages run. The same stage objects give the same bytes on every engine."""

    name: ClassVar[str]

    @property
    def retried(self) -> Mapping[str, int]:
        """Attempts at tasks that failed and were made up for, by the tables that they compute."""
        ...

    def map(self, stages: Sequence[MapStage], tasks: Sequence[Task], advance: Callable[[int], None]) -> None:
        """Run the fused `stages` over every task and commit each shard; `advance` is told rows."""
        ...

    def group(
        self,
        stage: GroupStage,
        tasks: Sequence[Task],
        bins: NDArray[np.int64],
        keys: dict[int, str],
        advance: Callable[[int], None],
    ) -> None:
        """Regroup the rows of `tasks` (a shard each) by bin, run the bins in `keys` and commit each.

        `advance` is told bins.
        """
        ...

    def close(self) -> None:
        """Give back what the engine started: processes, but no session that it found."""
        ...
