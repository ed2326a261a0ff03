"""What a plug-in or an engine implements: protocols and the small frozen values they exchange."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray
    from PIL import Image

# --- reading ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """A contiguous run of records in one file: what one worker reads, and what one shard holds.

    `offset` and `length` are bytes for text and tar files, rows for Parquet and Arrow files.
    """

    offset: int
    length: int
    first_record: int
    n_records: int
    first_line: int | None = None  # 1-based; None where the format has no lines


@dataclass(frozen=True)
class ImageAt:
    """Where an image's bytes lie: a path as the record spells it, or a place inside a container file."""

    path: str  # as in the record (container is None), or the name the container gives the image
    container: str | None = None  # absolute path of the tar, Parquet or Arrow file
    offset: int = 0  # bytes
    length: int = -1  # bytes; -1: to the end of the file
    column: str | None = (
        None  # column path in a Parquet or Arrow file, such as "image.bytes" or "images.1.bytes"
    )
    row: int | None = None


@dataclass(frozen=True)
class Record:
    """One record as a reader found it. `error` is (code, sentence) where it could not be understood."""

    key: str  # unique in its file: the record's index, or the `__key__` of a WebDataset
    raw: bytes  # the record as read, byte for byte
    line: int | None = None  # 1-based
    record_id: str | None = None
    source: str | None = None
    turns: tuple[tuple[str, str], ...] = ()  # (role, text), role in system | user | assistant | as read
    images: tuple[ImageAt, ...] = ()
    error: tuple[str, str] | None = None


class Reader(Protocol):
    """One input format. Never holds a file in memory; never decodes an image."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    def files(self, path: Path) -> list[Path]:
        """The data files at `path` (a file or a folder), in a fixed order; none if it is another format."""
        ...

    def spans(self, file: Path, rows: int) -> Iterator[Span]:
        """Cut `file` into runs of at most `rows` records, in order, reading it once in bounded memory.

        Raises:
            ReadError: the file as a whole is not of this format.
        """
        ...

    def read(self, file: Path, span: Span) -> Iterator[Record]:
        """The records of `span`, in order: exactly `span.n_records`, the bad ones with an `error`."""
        ...


class Writer(Protocol):
    """One output format. Gets the kept rows in pool order, one batch after the other."""

    name: ClassVar[str]

    def write(self, out: Path, batches: Iterator[pa.RecordBatch], context: Any) -> dict[str, Any]:
        """Write under `out` and return what to print: files, rows, bytes."""
        ...


# --- models ----------------------------------------------------------------------------------------------


class Encoder(Protocol):
    """An image tower and a text tower into one space. Unit vectors out."""

    @property
    def name(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def context_length(self) -> int: ...

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        ...

    def preprocess(self, image: Image.Image) -> NDArray[np.uint8]:
        """(3, H, W) uint8. Thread-safe; touches no model."""
        ...

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, 3, H, W) uint8 -> (n, d) float32 rows of unit length."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` with the special ones, not truncated."""
        ...

    def split(self, text: str) -> list[str]:
        """Pieces of `text` that each fit the context. Never drops a word."""
        ...

    def tokenize(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """(n, context_length) int64. Thread-safe; touches no model."""
        ...

    def used_lengths(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) how many leading tokens of each row decide its vector."""
        ...

    def encode_texts(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, length) int64 -> (n, d) float32 rows of unit length; `length` covers what the rows use."""
        ...


class VisionLanguageModel(Protocol):
    """A causal language model that sees images. Its methods come with the scorers that need it."""

    name: str


# --- stages ----------------------------------------------------------------------------------------------


class Source(Protocol):
    """How the input of a map stage is loaded. Stages with equal sources are fused: one load serves them all.

    `inputs` says which shards it reads (`curation.stages.inputs`); the first one gives the rows.
    """

    inputs: ClassVar[tuple[Any, ...]]

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        """Cut the task's shard into batches of fixed size. Cheap: narrow rows only."""
        ...

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[Any]:
        """Fetch what the stages need for `rows`, in pieces: read, decode, gather. Runs in a thread."""
        ...


@dataclass(frozen=True)
class ShardRef:
    """One committed shard of a table: its place in the manifest, and the checksum that names its file."""

    number: int
    key: str
    checksum: str
    rows: int
    errors: int = 0
    links: tuple[int, ...] = ()  # numbers of the shards of another table that its rows point into


@dataclass(frozen=True)
class Task:
    """One shard to compute. `inputs` maps a table's name to the paths of the shards that may be read."""

    number: int
    rows: int
    inputs: dict[str, dict[int, str]] = field(default_factory=dict)  # table -> shard number -> path
    keys: dict[str, str] = field(default_factory=dict)  # table to write -> key of the shard
    value: Any = None  # what a source needs besides tables: the span of a file
    links: tuple[int, ...] = ()


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

    shape: ClassVar[str]  # "map"

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def source(self) -> Any:
        """A `Source`; stages with equal ones are fused."""
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


class PoolStage(Protocol):
    """A fit (a bounded sample in, one artefact out) or a decide (narrow columns in, tables out)."""

    version: ClassVar[int]
    shape: ClassVar[str]  # "fit" | "decide"

    @property
    def name(self) -> str: ...

    @property
    def reads(self) -> tuple[str, ...]:
        """Tables, whole."""
        ...

    @property
    def writes(self) -> Any:
        """Schema of each table that is written."""
        ...

    def params(self) -> dict[str, Any]: ...

    def shards(self, pool: Any) -> int:
        """How many shards each output table will have."""
        ...

    def run(self, pool: Any) -> Iterator[Any]:
        """`curation.stages.pool.Output`s, the shards of each table in order."""
        ...


class GroupStage(Protocol):
    """Rows regrouped into bins, then one bin in, a shard out."""

    name: ClassVar[str]
    version: ClassVar[int]
    shape: ClassVar[str]  # "group"

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

    def bins(self, pool: Any) -> NDArray[np.int64]:
        """The bin of each group, from narrow columns; balanced by cost, the dearest bin first."""
        ...

    def rows(self, parts: dict[str, pa.Table], bins: NDArray[np.int64]) -> Iterator[tuple[int, pa.Table]]:
        """The rows of one shard, bin by bin."""
        ...

    def run(self, rows: pa.Table) -> Iterator[pa.RecordBatch]:
        """One bin; its rows are sorted by uid."""
        ...


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


# --- scores and selections -------------------------------------------------------------------------------


class Scorer(Protocol):
    """A batch in, named columns out, null where it cannot score. The arrays' rows are the batch's."""

    name: ClassVar[str]
    version: ClassVar[int]

    @property
    def writes(self) -> pa.Schema:
        """The columns, each with metadata `unit`, `range` and `better` (higher | lower | neither)."""
        ...

    def score(self, batch: Any) -> pa.RecordBatch: ...


class PluginScorer(Scorer, Protocol):
    """A scorer of another package, behind an entry point `curation.scorers`.

    `score` gets the readable samples of a batch with the columns of `reads`, and returns a row for each. A
    row's values must follow from that row alone: batches are cut by shard.
    """

    reads: ClassVar[tuple[str, ...]]
    """Columns of `samples`, and `image` and `text`: the sample's unit vectors, null where absent."""


class Selector(Protocol):
    """Picks rows of a score table. A pure function: equal table, budget and seed give equal picks."""

    name: ClassVar[str]

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns of the score table, besides uid, content_hash and cluster."""
        ...

    def select(self, table: pl.DataFrame, n: int, seed: int) -> NDArray[np.int64]:
        """Row positions of exactly `min(n, len(table))` picks, in pick order, without repeats."""
        ...
