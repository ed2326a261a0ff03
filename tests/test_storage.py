"""Workspaces at a URL: the real S3 client against a server on this machine, and files in memory."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from curation.commands.verify import collect_garbage, verify
from curation.generate.pool import write_pool
from curation.storage import journal
from curation.storage.files import Remote, each, locate, names, put, walk
from curation.storage.lock import STALE, _machine, locked
from curation.storage.rows import gather
from curation.storage.store import Store
from curation.workspace import Workspace
from schemas.errors import ConfigError, WorkspaceError, WorkspaceLocked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

SMALL = {"run.shard_rows": 64}
SELECT = """
import sys
from curation.workspace import Workspace
Workspace(sys.argv[1], {"run.shard_rows": 64}).select("30%")
"""
NUMBERS = pa.schema(
    [pa.field("n", pa.int64(), nullable=False), pa.field("wide", pa.binary(), nullable=False)]
)


class Server:
    """An S3 server in a process of its own; `lines` is its log."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self.started = threading.Event()
        self.address = ""
        threading.Thread(target=self._listen, daemon=True).start()
        assert self.started.wait(60), self.lines

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
            self.lines.append(plain)
            found = re.search(r"Running on (http://127\.0\.0\.1:\d+)", plain)
            if found:
                self.address = found.group(1)
                self.started.set()

    @contextmanager
    def requests(self) -> Iterator[list[str]]:
        """The requests that come while it is open."""
        time.sleep(0.2)  # the server logs a request after it has answered: those before are no part of it
        before = len(self.lines)
        made: list[str] = []
        yield made
        time.sleep(0.2)
        made += [line for line in self.lines[before:] if " HTTP/1.1" in line]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process, pytest.MonkeyPatch.context() as patch:
        try:
            running = Server(process)
            nothing = str(tmp_path_factory.mktemp("aws") / "none")
            patch.setenv("AWS_ENDPOINT_URL", running.address)
            patch.setenv("AWS_ACCESS_KEY_ID", "test")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
            patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            patch.setenv("AWS_CONFIG_FILE", nothing)
            patch.setenv("AWS_SHARED_CREDENTIALS_FILE", nothing)
            import fsspec

            fsspec.filesystem("s3", use_listings_cache=False).mkdir("bucket")
            yield running
        finally:
            process.kill()


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool")
    write_pool(folder, 120, seed=3)
    return folder


@pytest.fixture(scope="module")
def local(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    path = tmp_path_factory.mktemp("local")
    Workspace.init(path, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    workspace = Workspace(path, SMALL)
    workspace.select("30%")
    return workspace


@pytest.fixture(scope="module")
def remote(pool: Path, server: Server) -> Workspace:
    Workspace.init("s3://bucket/done", {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    workspace = Workspace("s3://bucket/done", SMALL)
    workspace.select("30%")
    return workspace


@pytest.fixture
def store(server: Server, request: pytest.FixtureRequest) -> Store:
    return Store(Remote(f"s3://bucket/{request.node.name}/.curate"))


def checksums(workspace: Workspace) -> dict[str, list[str]]:
    store = workspace.store
    return {table: [shard.checksum for shard in store.manifest(table).shards] for table in store.tables()}


def numbers(*values: int, width: int = 1) -> pa.RecordBatch:
    rng = np.random.default_rng(0)
    wide = [rng.bytes(width) for _ in values]
    return pa.record_batch([pa.array(values, pa.int64()), pa.array(wide, pa.binary())], schema=NUMBERS)


# --- the chain on S3 ------------------------------------------------------------------------------------


def test_a_workspace_on_s3_has_the_shards_of_a_local_one(local: Workspace, remote: Workspace) -> None:
    assert len(checksums(local)) > 20
    assert checksums(remote) == checksums(local)
    assert remote.counts("prune") == local.counts("prune")


def test_the_same_command_again_computes_nothing_on_s3(remote: Workspace, server: Server) -> None:
    with server.requests() as made:
        counts = Workspace(remote.base, SMALL).select("30%")
    assert counts["computed"] == {}
    # No request for each shard, and each manifest is fetched once for the run.
    assert len(made) < 6 * len(remote.store.tables())


def test_a_killed_run_on_s3_continues_and_ends_with_the_same_shards(
    local: Workspace, pool: Path, server: Server
) -> None:
    url = "s3://bucket/killed"
    Workspace.init(url, {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    with subprocess.Popen([sys.executable, "-c", SELECT, url]) as process:
        while len(walk(locate(url) / ".curate/ledger")) < 12:
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    counts = Workspace(url, SMALL).select("30%")
    # Its lock did not stand in the way, and what it had committed was not computed again.
    assert counts["computed"].get("samples") is None
    assert checksums(Workspace(url)) == checksums(local)


def test_the_command_line_takes_a_url(remote: Workspace) -> None:
    command = [sys.executable, "-m", "jobs", "-C", str(remote.base)]
    done = subprocess.run(
        [*command, "select", "--budget", "30%", "--dry-run", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["n_records"] == remote.counts("ingest")["n_read"]
    with locked(remote.store.root, "curate select"):
        done = subprocess.run([*command, "gc"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "this workspace is in use by process" in done.stderr


def test_an_export_from_s3_is_that_of_the_local_workspace(
    local: Workspace, remote: Workspace, tmp_path: Path
) -> None:
    for name, workspace in (("local", local), ("remote", remote)):
        workspace.export(tmp_path / name, format="llava")
    files = {
        name: {
            path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.*")
        }
        for name in ("local", "remote")
    }
    assert {"train.json", "curate.json"} <= {path.name for path in files["local"]}
    assert files["local"] == files["remote"]


def test_a_local_workspace_imports_no_fsspec(local: Workspace) -> None:
    code = SELECT + "assert 'fsspec' not in sys.modules\n"
    subprocess.run([sys.executable, "-c", code, str(local.base)], check=True)


# --- shards on S3 ---------------------------------------------------------------------------------------


def test_verify_and_gc_work_on_s3(store: Store) -> None:
    shards = [store.commit("t", f"k{n}", NUMBERS, [numbers(n)]) for n in range(4)]
    store.publish("t", {}, shards[:3])
    assert verify(store) == []
    assert collect_garbage(store)[0] == 2  # the fourth shard and its entry
    assert store.committed("t", ["k0", "k1", "k2", "k3"])[0].keys() == {"k0", "k1", "k2"}
    store.shard_path("t", shards[0].checksum).unlink()
    put(store.shard_path("t", shards[1].checksum), b"other bytes")
    missing, damaged = verify(store)
    assert "the file of shard 0 is missing" in missing
    assert "the bytes of shard 1 do not match" in damaged
    assert store.committed("t", ["k0", "k1"])[0].keys() == {"k1"}


def test_a_shard_that_another_process_commits_is_seen_at_once(store: Store) -> None:
    store.commit("t", "k0", NUMBERS, [numbers(0)])
    assert store.committed("t", ["k0", "k1"])[0].keys() == {"k0"}
    code = "import pickle, sys\nstore, batch = pickle.loads(sys.stdin.buffer.read())\n"
    code += "store.commit('t', 'k1', batch.schema, [batch])\n"
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps((store, numbers(1))), check=True)
    assert store.committed("t", ["k0", "k1"])[0].keys() == {"k0", "k1"}


def test_a_forked_process_makes_a_connection_of_its_own(store: Store) -> None:
    ref = store.commit("t", "k0", NUMBERS, [numbers(7)])
    store.publish("t", {}, [ref])
    code = (
        "import os, pickle, sys\nstore = pickle.loads(sys.stdin.buffer.read())\nstore.read('t')\n"
        "child = os.fork()\nrows = store.read('t')['n'].to_pylist()\n"
        "if not child: os._exit(0 if rows == [7] else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], input=pickle.dumps(store), check=True)


def test_of_a_large_shard_only_the_row_groups_needed_are_fetched(store: Store, server: Server) -> None:
    ref = store.commit("t", "k", NUMBERS, [numbers(*range(1000), width=3000)])
    path = str(store.shard_path("t", ref.checksum))
    rows = np.array([130, 700, 129], np.int32)
    with server.requests() as made:
        found = gather({0: path}, np.zeros(3, np.int32), rows, ["n", "wide"])
    assert found["n"].to_pylist() == [130, 700, 129]
    # Its size, its footer, and two of its eight row groups.
    assert [line.count("HEAD") for line in made] == [1, 0, 0, 0]


def test_a_snapshot_fetches_a_manifest_once_and_sees_what_it_publishes(store: Store, server: Server) -> None:
    ref = store.commit("t", "k0", NUMBERS, [numbers(7)])
    store.publish("t", {}, [ref])
    with store.snapshot():
        with server.requests() as made:
            assert store.manifest("t").rows == 1
        assert made == []
        store.publish("t", {}, [ref, ref])
        assert store.manifest("t").rows == 2
    with server.requests() as made:
        assert store.manifest("t").rows == 2
    assert len(made) == 1


def test_each_process_writes_a_log_of_its_own(remote: Workspace) -> None:
    root = remote.store.root
    commits = {entry["table"] for entry in journal.entries(root) if entry["event"] == "commit"}
    assert commits == set(remote.store.tables())
    assert len(names(root / "log")) < 20  # several events an object


# --- the lock on S3 -------------------------------------------------------------------------------------


def test_a_second_writer_on_s3_is_told_who_holds_the_workspace(store: Store) -> None:
    with (
        locked(store.root, "curate select"),
        pytest.raises(WorkspaceLocked, match=r"process \d+ on .* \(curate select, since"),
        locked(store.root, "curate prune"),
    ):
        pass
    assert not (store.root / "lock").exists()
    with locked(store.root, "curate prune"):
        pass


def test_of_two_that_want_the_lock_at_once_one_gets_it(store: Store) -> None:
    together, ended = threading.Barrier(2), threading.Barrier(2)
    outcomes = []

    def work() -> None:
        together.wait()
        try:
            with locked(store.root, "x"):
                outcomes.append("held")
                ended.wait()
        except WorkspaceLocked:
            outcomes.append("refused")
            ended.wait()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["held", "refused"]


@pytest.mark.parametrize(
    ("machine", "pid", "age", "is_held"),
    [
        ("another", 1, 0, True),
        ("another", 1, STALE + 1, False),
        (None, 1, 0, True),  # process 1 lives
        (None, 2**22 + 1, 0, False),  # a process of this machine that cannot be
    ],
)
def test_a_lock_holds_as_long_as_its_process_seems_alive(
    store: Store, machine: str | None, pid: int, age: float, *, is_held: bool
) -> None:
    holder = {"host": "h", "pid": pid, "time": 0, "command": "c", "machine": machine or _machine()}
    put(store.root / "lock", json.dumps({**holder, "heartbeat": time.time() - age}).encode())
    if is_held:
        with pytest.raises(WorkspaceLocked, match=f"process {pid} on h"), locked(store.root, "x"):
            pass
    else:
        with locked(store.root, "x"):
            assert json.loads((store.root / "lock").read_text())["command"] == "x"


# --- what is refused ------------------------------------------------------------------------------------


def test_relative_paths_are_refused_in_a_config_at_a_url(server: Server) -> None:
    put(locate("s3://bucket/relative/curate.toml"), b'[datasets.demo]\npath = "pool.json"\n')
    with pytest.raises(ConfigError, match=r"pool\.json is relative; .*s3://bucket/relative.* are absolute"):
        Workspace("s3://bucket/relative").ingest()


def test_data_on_s3_is_read_and_so_are_images_there(pool: Path, server: Server, tmp_path: Path) -> None:
    import fsspec

    system = fsspec.filesystem("s3", use_listings_cache=False)
    system.put(str(pool), "bucket/pool", recursive=True)
    found = {}
    for name, data in (("here", str(pool / "pool.json")), ("there", "s3://bucket/pool/pool.json")):
        Workspace.init(tmp_path / name, {"demo": data}, model="builtin:tiny")
        workspace = Workspace(tmp_path / name, SMALL)
        workspace.ingest()
        rows = workspace.store.read("checked", ["uid", "images_hash", "pixels_hash", "content_hash", "error"])
        found[name] = rows.to_pylist()
    assert found["there"] == found["here"]
    assert sum(row["images_hash"] is not None for row in found["there"]) > 50
    assert workspace.ingest()["computed"] == {}


def test_an_export_to_a_url_is_that_to_a_folder(local: Workspace, server: Server, tmp_path: Path) -> None:
    local.export("s3://bucket/subset", format="sharegpt")
    local.export(tmp_path / "subset", format="sharegpt")
    files = [path for path in (tmp_path / "subset").rglob("*") if path.is_file()]
    assert len(files) > 4
    for path in files:
        there = locate(f"s3://bucket/subset/{path.relative_to(tmp_path / 'subset').as_posix()}")
        assert there.read_bytes() == path.read_bytes()


def test_init_at_a_url_writes_absolute_paths(
    pool: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pool)
    made = Workspace.init("s3://bucket/init/", {"demo": "pool.json"}, images=["."], model="builtin:tiny")
    assert made.config.datasets["demo"].path == str(pool / "pool.json")
    assert made.config.datasets["demo"].images == (str(pool),)


def test_a_place_without_a_workspace_is_named(server: Server) -> None:
    with pytest.raises(WorkspaceError, match=r"there is no curate\.toml in s3://bucket/nothing; start with"):
        Workspace("s3://bucket/nothing")
    with pytest.raises(WorkspaceError, match=r"s3://no-bucket/curate\.toml .* bucket does not exist"):
        put(locate("s3://no-bucket/curate.toml"), b"")
    with pytest.raises(WorkspaceError, match=r"nosuch://x/curate\.toml: .*nosuch"):
        Workspace("nosuch://x")


# --- files ----------------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "local", "path"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | Remote:
    """An object store, a file system behind fsspec (which renames), and a plain path."""
    where = {"memory": f"memory://{tmp_path.name}", "local": f"local://{tmp_path}", "path": str(tmp_path)}
    return locate(where[request.param])


def test_files_are_written_listed_read_and_removed(folder: Path | Remote) -> None:
    assert names(folder / "a") == []
    assert walk(folder / "a") == []
    put(folder / "a" / "one.txt", b"1")
    put(folder / "a" / "b" / "two.txt", b"22")
    put(folder / "a" / ".hidden", b"")
    put(folder / "a" / "one.txt", b"one")
    assert sorted(names(folder / "a")) == ["b", "one.txt"]
    assert (folder / "a" / "one.txt").read_text() == "one"
    sizes = {str(path).removeprefix(str(folder)): size for path, size in walk(folder / "a")}
    assert sizes == {"/a/.hidden": 0, "/a/b/two.txt": 2, "/a/one.txt": 3}
    assert (folder / "a" / "one.txt").exists()
    (folder / "a" / "one.txt").unlink()
    assert not (folder / "a" / "one.txt").exists()
    with pytest.raises(FileNotFoundError):
        (folder / "a" / "one.txt").read_bytes()
    assert (folder / "a" / "b" / "two.txt").parent.name == "b"


def test_shards_are_the_same_bytes_wherever_they_are_written(folder: Path | Remote, tmp_path: Path) -> None:
    store = Store(folder / ".curate")
    ref = store.commit("t", "k", NUMBERS, [numbers(*range(300))])
    assert ref == Store(tmp_path / "another").commit("t", "k", NUMBERS, [numbers(*range(300))])
    store.publish("t", {}, [ref])
    assert store.read("t", ["n"])["n"].to_pylist() == list(range(300))
    assert store.schema("t").names == ["n", "wide"]
    assert verify(store) == []


def test_a_place_is_a_path_or_a_url() -> None:
    from pathlib import Path

    assert locate("work") == Path("work")
    assert locate("file:///data/work") == Path("/data/work")
    assert locate("s3://bucket/some/") == Remote("s3://bucket/some")
    assert str(locate("gs://bucket") / ".curate") == "gs://bucket/.curate"
    assert pickle.loads(pickle.dumps(locate("s3://bucket/work"))) == Remote("s3://bucket/work")


@pytest.mark.parametrize("remote", [False, True])
def test_each_keeps_the_order(*, remote: bool) -> None:
    assert list(each(lambda n: n * n, range(100), remote=remote)) == [n * n for n in range(100)]


def test_a_file_that_many_write_at_once_is_always_whole(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    data = [bytes([65 + number]) * 300_000 for number in range(4)]
    put(path, data[0])
    seen: set[bytes] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    def write(mine: bytes) -> None:
        for _ in range(30):
            put(path, mine)

    reader = threading.Thread(target=look)
    writers = [threading.Thread(target=write, args=(mine,)) for mine in data]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert seen <= set(data)
    assert names(tmp_path) == ["one.json"]
