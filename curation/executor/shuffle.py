"""Rows regrouped by bin on disk, once: what a group stage reads. Each bin comes back sorted by uid."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.storage.files import Location, Remote
from curation.storage.store import read_shard
from schemas.stages import GroupStage, Task


class Regrouped:
    """A folder of bins, removed at the end. Takes only the bins in `wanted`.

    Args:
        scratch: where the folder is made; for a workspace at a URL, in this machine's temporary folder.
        wanted: the bins to keep.
    """

    def __init__(self, scratch: Location, wanted: set[int]) -> None:
        self.scratch = Path(tempfile.gettempdir()) if isinstance(scratch, Remote) else scratch
        self.wanted = wanted

    def __enter__(self) -> Regrouped:
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="curate-", dir=self.scratch))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, number: int, rows: pa.Table) -> None:
        if number not in self.wanted:
            return
        # A stream behind the others of the bin: there may be more bins than files that a process may open.
        with self._path(number).open("ab") as file, pa.ipc.new_stream(file, rows.schema) as stream:
            stream.write_table(rows.combine_chunks())

    def read(self, number: int) -> pa.Table | None:
        """The rows of a bin, or None where it has none."""
        if not self._path(number).exists():
            return None
        parts = []
        with pa.memory_map(str(self._path(number))) as file:
            while file.tell() < file.size():
                parts.append(pa.ipc.open_stream(file).read_all())
            return pa.concat_tables(parts).sort_by("uid").combine_chunks()

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}.arrow"


def scatter(stage: GroupStage, task: Task, bins: NDArray[np.int64]) -> Iterator[tuple[int, pa.Table]]:
    """The rows of one shard, bin by bin."""
    parts = {table: read_shard(task.path(table), columns) for table, columns in stage.columns.items()}
    yield from stage.rows(parts, bins)
