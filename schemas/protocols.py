"""What a plug-in or an engine implements: protocols and the small frozen values they exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray
    from PIL import Image


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


@runtime_checkable
class Stamped(Protocol):
    """A reader whose records follow from more than the file."""

    def stamp(self, file: Path) -> int:
        """The time, in ns, at which what lies beside `file` was changed last."""
        ...


class Writer(Protocol):
    """One output format. Gets the kept rows, one batch after the other."""

    @property
    def name(self) -> str: ...

    @property
    def images(self) -> tuple[str, ...]:
        """Which of link, copy, paths and bytes it can do with images; the first where nothing is said."""
        ...

    @property
    def scored(self) -> bool:
        """Whether scores leave with the samples where nothing is said."""
        ...

    @property
    def loading(self) -> dict[str, str]:
        """Lines that load FOLDER, by who reads them; for the card."""
        ...

    def files(self, split: str, *, alone: bool) -> str:
        """The pattern of a split's files, for `load_dataset`; "" where it cannot read them."""
        ...

    def write(self, out: Path, splits: Any, facts: Any) -> dict[str, Any]:
        """Write under `out` and return what to print.

        Args:
            out: the folder; it may hold what an interrupted attempt left.
            splits: iterators of record batches by the name of the split, each to be consumed once, in order.
            facts: `curation.writers.facts.Facts`.
        """
        ...


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


class EncoderKind(Protocol):
    """A family of encoders: a line of `ENCODERS`, or behind an entry point `curation.encoders`."""

    packages: ClassVar[tuple[str, ...]]
    """Whose versions the vectors follow from."""

    def identity(self, model: str) -> dict[str, str]:
        """What stands for `model` in the keys of shards: its name, and a checksum of weights that are here.

        Raises:
            ModelUnavailable: there is no such model.
        """
        ...

    def load(self, model: str, *, device: str, dtype: str) -> Encoder:
        """`model` on a device, cpu or cuda, with weights of float32 or bfloat16.

        Raises:
            ModelUnavailable: it cannot be loaded.
        """
        ...


class Scorer(Protocol):
    """A batch in, named columns out, null where it cannot score. The arrays' rows are the batch's."""

    name: ClassVar[str]
    version: ClassVar[int]

    @property
    def writes(self) -> pa.Schema:
        """The columns, each with metadata `unit`, `range` and `better` (higher | lower | neither)."""
        ...

    def score(self, batch: Any) -> pa.RecordBatch: ...


class ColumnScorer(Scorer, Protocol):
    """A scorer of columns of a sample: built in, or behind an entry point `curation.scorers`.

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


class Bar(Protocol):
    """What a running stage is told to advance."""

    def advance(self, n: int) -> None: ...


class Ahead(NamedTuple):
    """A stage that has something to do, the step it belongs to, and the seconds that it may take."""

    name: str
    step: str
    seconds: float


class Progress(Protocol):
    """Where a run says what it is doing."""

    def course(self, ahead: Callable[[], Sequence[Ahead]]) -> AbstractContextManager[None]:
        """What is done inside goes through the stages that `ahead` lists; asked at the first bar, if any."""
        ...

    def bar(self, title: str, total: int, unit: str) -> AbstractContextManager[Bar]: ...

    def note(self, text: str) -> None: ...
