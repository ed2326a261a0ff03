"""The local engine: no JVM. Batches are prepared in threads while the model works on the one before."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.executor.memory import MemoryLimit
from curation.executor.shuffle import Regrouped, scatter
from curation.storage.store import Store
from schemas.stages import GroupStage, Isolating, MapStage, Task

Advance = Callable[[int], None]


@dataclass(frozen=True)
class LocalEngine:
    """One worker process per device; `workers` > 1 starts more, each with its share of the cores.

    `close` it when the last stage is done.
    """

    store: Store
    memory: MemoryLimit
    workers: int = 1

    name: ClassVar[str] = "local"
    retried: ClassVar[dict[str, int]] = {}  # a local task is never tried twice

    @cached_property
    def _pool(self) -> ProcessPoolExecutor:
        """Started with the first stage and kept: a worker loads its libraries and models once."""
        threads = max(1, (os.cpu_count() or 1) // self.workers)
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, context, initializer=_start_worker, initargs=(threads,))

    def close(self) -> None:
        """End the workers, if there are any. What they have not started is dropped."""
        if "_pool" in self.__dict__:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, stages: Sequence[MapStage], tasks: Sequence[Task], advance: Advance) -> None:
        """Compute every task's shard of every stage and commit it. `advance` is told rows when done."""
        if self.workers == 1 or len(tasks) == 1:
            run_tasks(stages, tasks, self.store, self.memory, threads=os.cpu_count() or 1, advance=advance)
            return
        share = MemoryLimit(self.memory.bytes_ // self.workers)
        threads = max(1, (os.cpu_count() or 1) // self.workers)
        jobs = {
            self._pool.submit(_run_in_worker, stages, task, self.store, share, threads): task
            for task in tasks
        }
        for job in as_completed(jobs):
            job.result()
            advance(jobs[job].rows)

    def group(
        self,
        stage: GroupStage,
        tasks: Sequence[Task],
        bins: NDArray[np.int64],
        keys: dict[int, str],
        advance: Advance,
    ) -> None:
        """Regroup the rows by bin on disk, then run the bins one after the other and commit them."""
        with Regrouped(self.store.root / "tmp", set(keys)) as regrouped:
            for task in tasks:
                for number, part in scatter(stage, task, bins):
                    regrouped.add(number, part)
            for number, key in keys.items():
                table = regrouped.read(number)
                batches = stage.run(table) if table is not None else ()
                self.store.commit(stage.name, key, stage.writes, batches)
                advance(1)


@dataclass
class _Shard:
    """A shard being computed: the batches of each stage so far."""

    task: Task
    outputs: list[list[pa.RecordBatch]]


def run_tasks(
    stages: Sequence[MapStage],
    tasks: Iterable[Task],
    store: Store,
    memory: MemoryLimit,
    threads: int,
    advance: Advance = lambda rows: None,
) -> None:
    """Run fused stages over tasks in this process. Also what one task of a cluster engine calls."""
    source = stages[0].source
    window: deque[tuple[_Shard, pa.RecordBatch | None, Future[list[list[Any]]] | None]] = deque()

    def drain(most: int) -> None:
        while len(window) > most:
            shard, rows, future = window.popleft()
            if rows is None or future is None:
                _commit(stages, shard, store)
                continue
            for output, stage, prepared in zip(shard.outputs, stages, future.result(), strict=True):
                output.append(stage.finish(rows, prepared))
            advance(len(rows))

    pool = ThreadPoolExecutor(threads, thread_name_prefix="prepare")
    try:
        for task in tasks:
            shard = _Shard(task, [[] for _ in stages])
            for rows in _batches(source.plan(task)):
                window.append((shard, rows, pool.submit(_prepare, stages, task, rows)))
                drain(0 if memory.tight() else threads + 1)
            window.append((shard, None, None))
        drain(0)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _batches(planned: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    return (rows for rows in planned if len(rows))


def _prepare(stages: Sequence[MapStage], task: Task, rows: pa.RecordBatch) -> list[list[Any]]:
    """In a thread: load the batch piece by piece, so that only one decoded image is held at a time."""
    prepared: list[list[Any]] = [[] for _ in stages]
    source = stages[0].source
    for piece in source.load(task, rows):
        for pieces, value in zip(prepared, _prepare_piece(stages, source, piece), strict=True):
            pieces.append(value)
    return prepared


def _prepare_piece(stages: Sequence[MapStage], source: Any, piece: Any) -> list[Any]:
    try:
        return [stage.prepare(piece) for stage in stages]
    except Exception as error:
        # The boundary of one record: whatever a library raises on it, the record is quarantined, not the run.
        if not isinstance(source, Isolating):
            raise
        bad = source.failed(piece, error)
        return [stage.prepare(bad) for stage in stages]


def _commit(stages: Sequence[MapStage], shard: _Shard, store: Store) -> None:
    for stage, batches in zip(stages, shard.outputs, strict=True):
        store.commit(stage.name, shard.task.keys[stage.name], stage.writes, batches)


def _run_in_worker(
    stages: Sequence[MapStage], task: Task, store: Store, memory: MemoryLimit, threads: int
) -> None:
    run_tasks(stages, [task], store, memory, threads)
    if not gc.get_freeze_count():
        # What the first task has imported and loaded stays: to look through it for garbage takes a tenth of
        # the time of stages that make many small objects.
        gc.freeze()


def _start_worker(threads: int) -> None:
    """In a new worker: its share of the cores, no Ctrl-C of its own, and an end with its parent."""
    import ctypes
    import signal

    os.environ["OMP_NUM_THREADS"] = str(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # PR_SET_PDEATHSIG: a parent killed with SIGKILL must not leave workers that go on writing.
        ctypes.CDLL("libc.so.6").prctl(1, signal.SIGKILL)
    except OSError:
        return  # no glibc: the worker ends when its pipe to the parent closes
