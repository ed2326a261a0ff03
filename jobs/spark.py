"""The Spark engine: the stages of the local one, a shard a task. Images never cross the JVM or a shuffle.

A task gets the paths of the shards it may read, runs the fused stages in its Python worker and commits
through the ledger. What comes back to the driver is a few numbers; what counts is the ledger. Retries,
speculation and lost executors are harmless for that reason.
"""

from __future__ import annotations

import os
import pickle
import re
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.executor.memory import MemoryLimit
from curation.storage.store import Store
from jobs.java import require_java
from jobs.tasks import DONE, PIECES, PIECES_A_BATCH, GroupTask, MapTask, Scatter
from schemas import errors
from schemas.config import parse_bytes
from schemas.settings import Run
from schemas.stages import GroupStage, MapStage, Modelled, Task

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Advance = Callable[[int], None]

POLL = 0.5  # seconds between looks at the status tracker
SETTLED = 2.0  # seconds at most until the tracker knows of the end of a job that has ended

# What Spark makes of an error in a Python worker, and of a task that it has given up.
ERRORS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
RAISED = re.compile(r"^schemas\.errors\.(\w+): (.+)$", re.MULTILINE)
GIVEN_UP = re.compile(
    r"Job aborted due to stage failure: .* failed (\d+) times?, .*?\(TID \d+\) (.+?)(?:\. |$)", re.MULTILINE
)


def session(master: str | None, conf: Mapping[str, str]) -> tuple[SparkSession, bool]:
    """The active session, or a new one; and whether it is ours to stop.

    Args:
        master: as spark-submit takes it; None leaves it to spark-submit and spark-defaults.
        conf: settings that win over spark-defaults. An active session is left as it is.

    Raises:
        EngineUnavailable: there is no Java, or it is too old.
    """
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        return active, False
    if SparkContext._active_spark_context is not None:
        return SparkSession.builder.getOrCreate(), False

    require_java()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.config("spark.ui.showConsoleProgress", "false")
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # else spark-submit has started us, and has named it
        builder = builder.appName("curate")
    if master is not None:
        builder = builder.master(master)
    for name, value in conf.items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    # What is an error to Spark reaches the caller as one, or is retried and counted.
    made.sparkContext.setLogLevel("FATAL")
    return made, True


def spark_engine(run: Run, store: Store) -> SparkEngine:
    """The engine of the settings: what the entry point `curation.engines` names."""
    memory = MemoryLimit(parse_bytes(run.memory))
    return SparkEngine(store, memory, run.master, run.spark_conf, run.partitions)


@dataclass
class SparkEngine:
    """Stages on Spark.

    Args:
        store: must be reachable from every executor under the same name.
        memory: of one Python worker; near it a task reads nothing ahead.
        master: see `session`.
        conf: see `session`.
        partitions: Spark partitions a stage; one a shard by default.
    """

    store: Store
    memory: MemoryLimit
    master: str | None = None
    conf: Mapping[str, str] = field(default_factory=dict)
    partitions: int | None = None
    retried: Counter[str] = field(default_factory=Counter, init=False)

    name: ClassVar[str] = "spark"

    @cached_property
    def _session(self) -> tuple[SparkSession, bool]:
        """Found or started when the first stage has something to do."""
        return session(self.master, self.conf)

    @property
    def spark(self) -> Any:
        """The session that stages run in: a SparkSession, or that of Spark Connect."""
        return self._session[0]

    def map(self, stages: Sequence[MapStage], tasks: Sequence[Task], advance: Advance) -> None:
        """Run the fused stages over every task and commit each shard."""
        run = MapTask(list(stages), self.store, self.memory)
        profile = self._gpu_profile() if any(_wants_gpu(stage) for stage in stages) else None
        rows = sum(task.rows for task in tasks)
        with self._settings(self._unshuffled(tasks)):
            frame = self._frame(tasks).mapInArrow(run, DONE, profile=profile)
            names = " + ".join(stage.name for stage in stages)
            self._collect(frame, names, rows, self._partitions(tasks), advance)

    def group(
        self,
        stage: GroupStage,
        tasks: Sequence[Task],
        bins: NDArray[np.int64],
        keys: dict[int, str],
        advance: Advance,
    ) -> None:
        """Regroup through Spark's shuffle, a bin a partition, and commit each bin."""
        n_bins = int(bins.max()) + 1
        settings = {**self._unshuffled(tasks), "spark.sql.execution.arrow.maxRecordsPerBatch": PIECES_A_BATCH}
        with self._settings(settings):
            pieces = self._frame(tasks).mapInArrow(Scatter(stage, bins, set(keys)), PIECES)
            grouped = pieces.repartitionById(n_bins, "bin").sortWithinPartitions("bin", "number")
            frame = grouped.mapInArrow(GroupTask(stage, self.store, keys, self.memory), DONE)
            done = self._collect(frame, stage.name, len(keys), n_bins, advance)
        # A bin without rows has no partition to run in.
        for number in set(keys) - {row["number"] for row in done}:
            self.store.commit(stage.name, keys[number], stage.writes, [])

    def close(self) -> None:
        """Stop the session if this engine started it."""
        if "_session" in self.__dict__ and self._session[1]:
            self.spark.stop()
            del self._session

    def _gpu_profile(self) -> Any:
        """A GPU a task, where the cluster has any; `local[*]` would wait for one forever."""
        conf = self.spark.conf
        offered = int(conf.get("spark.executor.resource.gpu.amount", "0") or 0)
        if not offered or str(conf.get("spark.master", "")).startswith("local"):
            return None
        from pyspark.resource import ExecutorResourceRequests, ResourceProfileBuilder, TaskResourceRequests

        executors = ExecutorResourceRequests().resource("gpu", offered)
        tasks = TaskResourceRequests().resource("gpu", 1)
        return ResourceProfileBuilder().require(executors).require(tasks).build

    def _frame(self, tasks: Sequence[Task]) -> Any:
        """The tasks as a frame: none in a closure, none in a shuffle, whose files die with executors."""
        pickles = pa.array([pickle.dumps(task) for task in tasks], pa.binary())
        numbers = pa.array(range(len(tasks)), pa.int32())
        return self.spark.createDataFrame(pa.table({"number": numbers, "task": pickles}))

    def _partitions(self, tasks: Sequence[Task]) -> int:
        return min(self.partitions or len(tasks), len(tasks))

    def _unshuffled(self, tasks: Sequence[Task]) -> dict[str, object]:
        """Settings under which a `_frame` has as many partitions as it should have from the start."""
        return {
            "spark.sql.leafNodeDefaultParallelism": self._partitions(tasks),
            "spark.sql.execution.arrow.localRelationThreshold": "1t",
        }

    @contextmanager
    def _settings(self, settings: Mapping[str, object]) -> Iterator[None]:
        """The session with `settings`, until it ends."""
        conf = self.spark.conf
        before = {name: conf.get(name, None) for name in settings}
        for name, value in settings.items():
            conf.set(name, str(value))
        try:
            yield
        finally:
            for name, value in before.items():
                conf.unset(name) if value is None else conf.set(name, value)

    def _collect(self, frame: Any, names: str, total: int, n_tasks: int, advance: Advance) -> list[Any]:
        """The rows of a frame that computes the tables `names`. Advances as tasks finish, counts what failed.

        Raises:
            CurateError: what a task raised, if it is one; EngineUnavailable where Spark has given a task up.
        """
        from pyspark.sql import SparkSession

        watch, session = None, self.spark
        try:
            if isinstance(session, SparkSession):
                tag = f"curate-{uuid.uuid4().hex}"
                watch = _Watch(session.sparkContext, tag, total, n_tasks, advance)
                return watch.collect(frame)
            rows: list[Any] = frame.collect()  # Spark Connect has no status tracker
            advance(total)
            return rows
        except Exception as error:
            meant = _meant(str(error))
            if meant is None:
                raise
            raise meant from error
        finally:
            self.retried += Counter({names: sum(watch.failed.values()) if watch else 0})


@dataclass
class _Watch:
    """Spark's status tracker, asked now and then."""

    context: Any
    tag: str
    total: int
    n_tasks: int
    advance: Advance
    shown: int = 0
    failed: dict[tuple[int, int], int] = field(default_factory=dict)  # by stage and attempt at the stage

    def collect(self, frame: Any) -> list[Any]:
        """The rows of a frame. A thread waits for them: this one looks on, and is free to take a Ctrl-C."""
        from pyspark import InheritableThread

        future: Future[list[Any]] = Future()

        def work() -> None:
            self.context.addJobTag(self.tag)
            try:
                future.set_result(frame.collect())
            except BaseException as error:
                future.set_exception(error)

        InheritableThread(target=work, daemon=True).start()
        try:
            while wait([future], POLL).not_done:
                self.look()
            # A job's last events may arrive after its result.
            end = time.monotonic() + SETTLED
            while self.look() and time.monotonic() < end:
                time.sleep(0.02)
            rows = future.result()
        except BaseException:
            self.context.cancelJobsWithTag(self.tag)
            raise
        self.advance(self.total - self.shown)
        return rows

    def look(self) -> bool:
        """Advance; True while a job is running."""
        tracker = self.context.statusTracker()
        numbers = self.context._jsc.sc().statusTracker().getJobIdsForTag(self.tag)
        jobs = [job for job in map(tracker.getJobInfo, numbers) if job is not None]
        infos = [tracker.getStageInfo(stage) for stage in {stage for job in jobs for stage in job.stageIds}]
        known = [info for info in infos if info is not None]
        self.failed |= {(info.stageId, info.currentAttemptId): info.numFailedTasks for info in known}
        wide = [info.numCompletedTasks for info in known if info.numTasks == self.n_tasks]
        done = min(self.total * min(wide, default=0) // max(self.n_tasks, 1), self.total)
        if done > self.shown:
            self.advance(done - self.shown)
            self.shown = done
        return any(job.status == "RUNNING" for job in jobs)


def _meant(report: str) -> errors.CurateError | None:
    """The CurateError behind what Spark reports of a task; None where a bug is behind it."""
    raised = RAISED.findall(report)
    if raised:
        name, sentence = raised[-1]
        meant: errors.CurateError = ERRORS[name](sentence)
        return meant
    given_up = GIVEN_UP.search(report)
    if given_up is None or "PythonException" in given_up[2]:
        return None
    return errors.EngineUnavailable(
        f"Spark gave up a task that failed {given_up[1]} times, the last time {given_up[2]}. Finished shards "
        "are kept; the executors' logs say more, and what workers lack most often is memory"
    )


def _wants_gpu(stage: MapStage) -> bool:
    return isinstance(stage, Modelled) and stage.model.device == "cuda"
