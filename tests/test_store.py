"""Shards, ledger, manifests, the lock, `verify` and `gc`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from curation.commands.verify import collect_garbage, verify
from curation.storage.lock import locked
from curation.storage.store import Store
from schemas.columns import conform
from schemas.errors import SchemaError, WorkspaceError, WorkspaceLocked
from schemas.tables import key_of
from tests.places import here

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = pa.schema([pa.field("n", pa.int64(), nullable=False)])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / ".curate")


def numbers(*values: int) -> pa.RecordBatch:
    return pa.record_batch([pa.array(values, pa.int64())], schema=NUMBERS)


def test_a_shard_is_found_by_its_key_once_it_is_in_the_ledger(store: Store) -> None:
    ref = store.commit("t", "k1", NUMBERS, [numbers(1, 2)])
    found, conflicts = store.committed("t", ["k1", "k2"])
    assert found == {"k1": ref}
    assert conflicts == []


def test_the_bytes_do_not_depend_on_how_rows_are_cut_into_batches(store: Store) -> None:
    one = store.commit("t", "k1", NUMBERS, [numbers(*range(1000))])
    many = store.commit("t", "k2", NUMBERS, [numbers(n) for n in range(1000)])
    assert one.checksum == many.checksum


def test_a_file_without_a_ledger_entry_is_not_a_shard(store: Store) -> None:
    ref = store.commit("t", "k1", NUMBERS, [numbers(1)])
    next((here(store.root) / "ledger" / "t").iterdir()).unlink()
    assert store.shard_path("t", ref.checksum).exists()
    assert store.committed("t", ["k1"])[0] == {}


def test_a_ledger_entry_without_its_file_is_not_a_shard(store: Store) -> None:
    ref = store.commit("t", "k1", NUMBERS, [numbers(1)])
    store.shard_path("t", ref.checksum).unlink()
    assert store.committed("t", ["k1"])[0] == {}


def test_two_entries_with_other_bytes_are_reported_and_the_smaller_wins(store: Store) -> None:
    refs = [store.commit("t", "k1", NUMBERS, [numbers(n)]) for n in (1, 2)]
    found, conflicts = store.committed("t", ["k1"])
    assert conflicts == ["k1"]
    assert found["k1"].checksum == min(ref.checksum for ref in refs)


def test_readers_see_the_manifest_only(store: Store) -> None:
    first = store.commit("t", "k1", NUMBERS, [numbers(1, 2)])
    store.commit("t", "k2", NUMBERS, [numbers(3)])
    with pytest.raises(WorkspaceError, match="does not exist"):
        store.read("t")
    store.publish("t", {"name": "t"}, [first])
    assert store.read("t")["n"].to_pylist() == [1, 2]


def test_shards_are_numbered_in_manifest_order(store: Store) -> None:
    refs = [store.commit("t", f"k{n}", NUMBERS, [numbers(n)], links=[n]) for n in range(3)]
    manifest = store.publish("t", {}, refs[::-1])
    assert [shard.number for shard in manifest.shards] == [0, 1, 2]
    assert manifest == store.manifest("t")
    assert manifest.shards[0] == replace(refs[2], number=0)


def test_a_damaged_manifest_is_an_error_that_names_the_file(store: Store) -> None:
    store.publish("t", {}, [])
    (here(store.root) / "tables" / "t.json").write_text("{")
    with pytest.raises(WorkspaceError, match=r"t\.json is damaged"):
        store.manifest("t")


def test_keys_follow_from_values_not_from_the_order_of_names() -> None:
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})
    assert key_of(["samples", 1]) == "cebfb1936f848f1f3140d70c71983d3b"


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (pa.record_batch({"m": pa.array([1])}), r"columns \['n'\] are missing; the batch has \['m'\]"),
        (pa.record_batch({"n": pa.array(["1"])}), "n is string, declared int64"),
        (pa.record_batch({"n": pa.array([1, None])}), "n holds 1 nulls"),
    ],
)
def test_a_batch_that_is_not_as_declared_is_refused(batch: pa.RecordBatch, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        conform(batch, NUMBERS, stage="t")


def test_a_second_writer_is_told_who_holds_the_workspace(store: Store) -> None:
    holder = (
        "import sys, time\nfrom pathlib import Path\nfrom curation.storage.lock import locked\n"
        "with locked(Path(sys.argv[1]), 'curate embed'):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(store.root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with (
        pytest.raises(WorkspaceLocked, match=rf"process {process.pid} on .* \(curate embed"),
        locked(store.root, "x"),
    ):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with locked(store.root, "curate select"):
        assert json.loads((store.root / "lock").read_text())["command"] == "curate select"


def test_verify_finds_a_flipped_byte_and_a_missing_file(store: Store) -> None:
    refs = [store.commit("t", f"k{n}", NUMBERS, [numbers(n)]) for n in range(2)]
    store.publish("t", {}, refs)
    assert verify(store) == []
    path = here(store.shard_path("t", refs[0].checksum))
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    store.shard_path("t", refs[1].checksum).unlink()
    problems = verify(store)
    assert len(problems) == 2
    assert "shard 0 do not match" in problems[0]
    assert "shard 1 is missing" in problems[1]


def test_gc_removes_what_no_manifest_refers_to_and_nothing_else(store: Store) -> None:
    old = store.commit("t", "k1", NUMBERS, [numbers(1)])
    new = store.commit("t", "k2", NUMBERS, [numbers(2)])
    store.publish("t", {}, [new])
    n_files, n_bytes = collect_garbage(store)
    assert n_files == 2
    assert n_bytes > 0
    assert not store.shard_path("t", old.checksum).exists()
    assert store.committed("t", ["k1", "k2"])[0].keys() == {"k2"}
    assert verify(store) == []
