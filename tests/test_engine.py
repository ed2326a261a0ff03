"""The local engine on a stage made for the test: order, fusing, workers, failures, memory."""

from __future__ import annotations

import json
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pytest

from curation.executor.local import LocalEngine
from curation.executor.memory import MemoryLimit
from curation.executor.shuffle import Regrouped
from curation.storage.store import Store
from schemas.stages import Task

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES = pa.schema([pa.field("value", pa.int64(), nullable=False)])
AMPLE = MemoryLimit(10**12)


@dataclass(frozen=True)
class Counting:
    """Source: `rows` numbers from the task's value on; writes a line for each load."""

    journal: str
    inputs: ClassVar[tuple[Any, ...]] = ()

    def plan(self, task: Task) -> Iterator[pa.RecordBatch]:
        numbers = pa.record_batch({"n": pa.array(range(task.value, task.value + task.rows))})
        yield from (numbers.slice(start, 3) for start in range(0, task.rows, 3))

    def load(self, task: Task, rows: pa.RecordBatch) -> Iterator[int]:
        with Path(self.journal).open("a") as file:
            file.write("load\n")
        yield from rows["n"].to_pylist()


@dataclass(frozen=True)
class Power:
    """value = n ** exponent; raises at `bad`."""

    source: Counting
    name: str = "square"
    exponent: int = 2
    bad: int = -1

    version: ClassVar[int] = 1
    writes: ClassVar[pa.Schema] = VALUES

    def params(self) -> dict[str, Any]:
        return {}

    def prepare(self, piece: int) -> int:
        if piece == self.bad:
            raise RuntimeError(f"cannot take {piece}")
        power: int = piece**self.exponent
        return power

    def finish(self, rows: pa.RecordBatch, prepared: list[int]) -> pa.RecordBatch:
        return pa.record_batch([pa.array(prepared)], schema=VALUES)


def tasks(*names: str) -> list[Task]:
    return [Task(n, 10, keys={name: f"{name}{n}" for name in names}, value=10 * n) for n in range(4)]


def values(store: Store, name: str) -> list[int]:
    keys = [f"{name}{n}" for n in range(4)]
    found, _ = store.committed(name, keys)
    store.publish(name, {}, [found[key] for key in keys])
    return list(store.read(name)["value"].to_pylist())


@pytest.mark.parametrize(("workers", "memory"), [(1, AMPLE), (2, AMPLE), (1, MemoryLimit(1))])
def test_rows_keep_their_order_whatever_the_workers_and_the_memory(
    tmp_path: Path, workers: int, memory: MemoryLimit
) -> None:
    store = Store(tmp_path)
    advanced: list[int] = []
    stage = Power(Counting(str(tmp_path / "journal")))
    engine = LocalEngine(store, memory, workers)
    engine.map([stage], tasks("square"), advanced.append)
    engine.close()
    assert values(store, "square") == [n * n for n in range(40)]
    assert sum(advanced) == 40


def test_fused_stages_share_one_load(tmp_path: Path) -> None:
    store, journal = Store(tmp_path), tmp_path / "journal"
    source = Counting(str(journal))
    stages = [Power(source), Power(source, "cube", 3)]
    LocalEngine(store, AMPLE).map(stages, tasks("square", "cube"), lambda rows: None)
    assert values(store, "cube") == [n**3 for n in range(40)]
    assert values(store, "square") == [n**2 for n in range(40)]
    assert journal.read_text().count("load") == 4 * 4


def test_shards_before_a_failure_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stage = Power(Counting(str(tmp_path / "journal")), bad=25)
    with pytest.raises(RuntimeError, match="cannot take 25"):
        LocalEngine(store, AMPLE).map([stage], tasks("square"), lambda rows: None)
    assert set(store.committed("square", [f"square{n}" for n in range(4)])[0]) == {"square0", "square1"}


def test_a_piece_that_fails_is_replaced_where_the_source_isolates_it(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Isolated(Counting):
        def failed(self, piece: int, error: Exception) -> int:
            return -1

    store = Store(tmp_path)
    stage = Power(Isolated(str(tmp_path / "journal")), bad=25)
    LocalEngine(store, AMPLE).map([stage], tasks("square"), lambda rows: None)
    assert values(store, "square")[24:27] == [24 * 24, 1, 26 * 26]


def test_an_empty_shard_is_committed_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stage = Power(Counting(str(tmp_path / "journal")))
    LocalEngine(store, AMPLE).map([stage], [Task(0, 0, keys={"square": "k"}, value=0)], lambda rows: None)
    assert store.committed("square", ["k"])[0]["k"].rows == 0


def test_each_commit_is_in_the_log_once(tmp_path: Path) -> None:
    stage = Power(Counting(str(tmp_path / "journal")))
    LocalEngine(Store(tmp_path), AMPLE).map([stage], tasks("square"), lambda rows: None)
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [event["key"] for event in events] == [f"square{n}" for n in range(4)]


def test_rows_are_regrouped_into_more_bins_than_files_may_be_open(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    resource_limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(resource_limit, 256), most))
    request.addfinalizer(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (resource_limit, most)))
    bins = 300
    with Regrouped(tmp_path, set(range(bins))) as regrouped:
        for uid in (b"b", b"a"):
            for number in range(bins):
                regrouped.add(number, pa.table({"uid": [uid], "n": [number]}))
        regrouped.add(bins, pa.table({"uid": [b"c"], "n": [0]}))
        assert regrouped.read(bins) is None
        for number in range(bins):
            table = regrouped.read(number)
            assert table is not None
            assert table.to_pydict() == {"uid": [b"a", b"b"], "n": [number] * 2}
    assert list(tmp_path.iterdir()) == []
