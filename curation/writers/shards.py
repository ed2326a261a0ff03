"""Files of bounded size, each whole or not there. What an interrupted export made is not made again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from curation.writers.kept import split

Made = TypeVar("Made")
SHARD_BYTES = 500_000_000


def write_shards(
    batches: Iterator[pa.RecordBatch],
    made: Callable[[pa.RecordBatch], tuple[Made, int]],
    opened: Callable[[Path], AbstractContextManager[Callable[[Made], object]]],
    path: Callable[[int, int], Path],
    limit: int = SHARD_BYTES,
) -> list[int]:
    """Write rows to as many files as it takes, one at least; return how many rows each has.

    A file is called NUMBER-ROWS.part in its folder until all are there: so an export that goes on knows how
    many rows it need not make.

    Args:
        batches: rows, the same in every attempt.
        made: what is written of a run of rows whose images fit into memory, and its bytes.
        opened: opens a file, and gives the function that writes to it.
        path: the name of file i of n.
        limit: bytes of a file, which a single run may exceed.
    """
    folder = path(0, 1).parent
    folder.mkdir(parents=True, exist_ok=True)
    stem = path(0, 1).stem.split("-")[0]
    waiting = _Waiting(part for batch in batches for part in split(batch))
    done: list[Path] = []
    while waiting.part is not None or not done:
        number = len(done)
        held = next(folder.glob(f".{stem}-{number}-*.part"), None)
        if held is not None:
            waiting.skip(_rows_of(held))
            done.append(held)
            continue
        partial, rows = folder / f".{stem}-{number}.writing", 0
        with opened(partial) as write:
            size = 0
            while waiting.part is not None:
                content, n_bytes = made(waiting.part)
                if size and size + n_bytes > limit:
                    break
                write(content)
                size, rows = size + n_bytes, rows + len(waiting.part)
                waiting.step()
        done.append(partial.rename(folder / f".{stem}-{number}-{rows}.part"))
    for number, file in enumerate(done):
        file.rename(path(number, len(done)))
    return [_rows_of(file) for file in done]


def _rows_of(part: Path) -> int:
    """What the name of a finished file says."""
    return int(part.stem.rpartition("-")[2])


class _Waiting:
    """The run of rows that comes next; None at the end."""

    def __init__(self, parts: Iterator[pa.RecordBatch]) -> None:
        self._parts = parts
        self.step()

    def step(self) -> None:
        self.part = next(self._parts, None)

    def skip(self, rows: int) -> None:
        while rows > 0 and self.part is not None:
            rows -= len(self.part)
            self.step()
