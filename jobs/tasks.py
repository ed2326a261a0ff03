"""What runs in Spark's Python workers: shards and bins, committed through the ledger."""

from __future__ import annotations

import gc
import os
import pickle
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.executor.local import run_tasks
from curation.executor.memory import MemoryLimit
from curation.executor.shuffle import scatter
from curation.storage.store import Store
from schemas.errors import ConfigError
from schemas.stages import GroupStage, MapStage

Batches = Iterator[pa.RecordBatch]

DONE = "number int, rows long"
PIECES = "bin int, number int, piece binary"
# What regrouped rows travel in, and pieces a batch: by default Spark takes 10,000 into one.
PIECE_BYTES = 4 << 20
PIECES_A_BATCH = 8
# Bytes that a bin takes at least for each of its own while it is sorted; measured.
COPIES = 3
MANY = 50_000  # objects that the garbage collector of a Python worker looks through; torch alone has more


@dataclass(frozen=True)
class MapTask:
    """Shards of a partition, through the loop of the local engine."""

    stages: list[MapStage]
    store: Store
    memory: MemoryLimit

    def __call__(self, batches: Batches) -> Batches:
        threads = _settle_in()
        for batch in batches:
            for number, data in zip(batch["number"].to_pylist(), batch["task"].to_pylist(), strict=True):
                task = pickle.loads(data)
                run_tasks(self.stages, [task], self.store, self.memory, threads)
                yield _done(number, task.rows)


@dataclass(frozen=True)
class Scatter:
    """Rows of a shard as one piece a bin: Arrow bytes, so that the JVM sees no vectors."""

    stage: GroupStage
    bins: NDArray[np.int64]
    wanted: set[int]

    def __call__(self, batches: Batches) -> Batches:
        _settle_in()
        for batch in batches:
            for data in batch["task"].to_pylist():
                task = pickle.loads(data)
                for number, rows in scatter(self.stage, task, self.bins):
                    if number in self.wanted:
                        yield from pieces_of(number, task.number, rows)


@dataclass(frozen=True)
class GroupTask:
    """The bins of a partition, one after the other."""

    stage: GroupStage
    store: Store
    keys: dict[int, str]
    memory: MemoryLimit

    def __call__(self, batches: Batches) -> Batches:
        _settle_in()
        for number, pieces in groupby(unpacked(batches), key=itemgetter(0)):
            yield self._run(number, self._rows(piece for _, piece in pieces))

    def _run(self, number: int, rows: pa.Table) -> pa.RecordBatch:
        self.store.commit(self.stage.name, self.keys[number], self.stage.writes, self.stage.run(rows))
        return _done(number, len(rows))

    def _rows(self, pieces: Iterable[pa.Table]) -> pa.Table:
        """The rows of a bin, sorted by uid.

        Raises:
            ConfigError: they are so many that this process would not stay inside --memory.
        """
        held, size = [], 0
        for piece in pieces:
            held.append(piece)
            size += piece.nbytes
            if COPIES * size > self.memory.bytes_:
                raise ConfigError(
                    f"{self.stage.name}: clusters are too large for --memory, "
                    f"{self.memory.bytes_ / 1e9:g} GB here; raise it, or have more of them (--clusters)"
                )
        return pa.concat_tables(held).sort_by("uid").combine_chunks()


def _settle_in() -> int:
    """Threads of this task: spark.task.cpus, for torch too; and the GPU that Spark gave it, if any."""
    from pyspark import TaskContext

    if len(gc.get_objects()) > MANY:
        # pyspark.daemon collects garbage after each task: a quarter of a second with torch and a model.
        gc.freeze()
    context = TaskContext.get()
    if context is None:
        return 1
    gpus = context.resources().get("gpu")
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus.addresses)
    cpus = int(context.cpus())
    os.environ["OMP_NUM_THREADS"] = str(cpus)
    if "torch" in sys.modules:  # which has read it already
        sys.modules["torch"].set_num_threads(cpus)
    return cpus


def _done(number: int, rows: int) -> pa.RecordBatch:
    return pa.record_batch({"number": pa.array([number], pa.int32()), "rows": pa.array([rows], pa.int64())})


def pieces_of(number: int, shard: int, rows: pa.Table) -> Batches:
    """The rows of a shard that are of bin `number`, PIECE_BYTES at a time."""
    step = max(PIECE_BYTES * len(rows) // max(rows.nbytes, 1), 1)
    for start in range(0, len(rows), step):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows.slice(start, step))
        numbers = {"bin": pa.array([number], pa.int32()), "number": pa.array([shard], pa.int32())}
        yield pa.record_batch({**numbers, "piece": pa.array([sink.getvalue().to_pybytes()], pa.binary())})


def unpacked(batches: Batches) -> Iterator[tuple[int, pa.Table]]:
    """Pieces, each with the number of its bin."""
    for batch in batches:
        for number, piece in zip(batch["bin"].to_pylist(), batch["piece"], strict=True):
            yield number, pa.ipc.open_stream(piece.as_buffer()).read_all()
