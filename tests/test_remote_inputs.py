"""Data at URLs and of the hub: copied once, read as any other, copied anew where it changed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curation.commands.init import initialise
from curation.progress import Silent
from curation.readers import hub, remote
from curation.workspace import Workspace
from schemas.errors import ConfigError, ReadError
from tests.hub_server import SHA, hub_of

ROOT = Path(__file__).parents[1]


def png(value: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 4), (value, 0, 0)).save(out, "PNG")
    return out.getvalue()


def llava(number: int, image: str) -> dict[str, Any]:
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A dot."}]
    return {"id": number, "image": image, "conversations": turns}


def lines(*records: dict[str, Any]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


@pytest.fixture
def memory(request: pytest.FixtureRequest) -> str:
    """A folder in memory, with data and images."""
    system = fsspec.filesystem("memory")
    root = f"/{hashlib.sha256(request.node.name.encode()).hexdigest()[:8]}"
    for i in range(4):
        system.pipe(f"{root}/img/{i}.png", png(i))
        system.pipe(f"{root}/part-{i}.jsonl", lines(llava(i, f"img/{i}.png")))
    return f"memory:/{root}"


def ingested(folder: Path, url: str, **overrides: Any) -> list[dict[str, Any]]:
    Workspace.init(folder, {"pool": url}, model="builtin:tiny")
    workspace = Workspace(folder, {"run.max_errors": "100%", **overrides})
    workspace.ingest()
    rows: list[dict[str, Any]] = workspace.store.read("samples").to_pylist()
    return rows


def shas(rows: list[dict[str, Any]]) -> list[list[bytes]]:
    return [[ref["sha256"] for ref in row["images"]] for row in rows]


SHAS = [[hashlib.sha256(png(i)).digest()] for i in range(4)]


def test_a_file_at_a_url_is_read_and_its_images_begin_there(memory: str, tmp_path: Path) -> None:
    (row,) = ingested(tmp_path, f"{memory}/part-2.jsonl")
    assert (row["error"], row["key"]) == (None, "part-2.jsonl#0")
    assert shas([row]) == SHAS[2:3]
    assert row["images"][0]["path"] == f"{memory}/img/2.png"
    assert row["images"][0]["name"] == "img/2.png"


def test_a_pattern_at_a_url_stands_for_its_files_in_order(memory: str, tmp_path: Path) -> None:
    rows = ingested(tmp_path / "a", f"{memory}/part-*.jsonl")
    assert [row["key"] for row in rows] == [f"part-{i}.jsonl#0" for i in range(4)]
    assert shas(rows) == SHAS
    assert [row["key"] for row in ingested(tmp_path / "b", f"{memory}/part-{{3,1}}.jsonl")] == [
        "part-3.jsonl#0",
        "part-1.jsonl#0",
    ]


def test_a_folder_at_a_url_is_copied_whole(memory: str, tmp_path: Path) -> None:
    rows = ingested(tmp_path, memory)
    assert shas(rows) == SHAS
    assert all(row["images"][0]["path"].startswith(str(tmp_path)) for row in rows)


def test_samples_are_those_of_a_local_copy(memory: str, tmp_path: Path) -> None:
    fsspec.filesystem("memory").get(memory, str(tmp_path / "local"), recursive=True)
    here, there = ingested(tmp_path / "a", str(tmp_path / "local")), ingested(tmp_path / "b", memory)
    for name in ("uid", "key", "record", "turns", "content_hash"):
        assert [row[name] for row in here] == [row[name] for row in there]


def test_what_is_at_the_url_is_copied_once_and_anew_where_it_changed(memory: str, tmp_path: Path) -> None:
    ingested(tmp_path, f"{memory}/part-*.jsonl")
    copies = {path: path.stat().st_ino for path in (tmp_path / ".curate" / "inputs").glob("*/*.jsonl")}
    assert len(copies) == 4
    assert Workspace(tmp_path).ingest()["computed"] == {}
    system = fsspec.filesystem("memory")
    system.pipe(f"{memory}/part-1.jsonl", lines(llava(7, "img/1.png"), llava(8, "img/3.png")))
    system.rm(f"{memory}/part-0.jsonl")
    assert Workspace(tmp_path).ingest()["n_read"] == 4
    now = {path: path.stat().st_ino for path in copies if path.exists()}
    assert sorted(path.name for path in now) == ["part-1.jsonl", "part-2.jsonl", "part-3.jsonl"]
    assert sorted(path.name for path, inode in now.items() if inode == copies[path]) == [
        "part-2.jsonl",
        "part-3.jsonl",
    ]


def test_a_copy_that_was_stopped_goes_on_behind_the_files_that_are_there(memory: str, tmp_path: Path) -> None:
    found = remote.inputs_at(memory, tmp_path, Silent())
    (found.folder / "part-1.jsonl").unlink()
    (found.folder / ".part-2.jsonl.abc.part").write_bytes(b"half")
    kept = (found.folder / "part-3.jsonl").stat().st_ino
    remote.inputs_at(memory, tmp_path, Silent())
    assert (found.folder / "part-1.jsonl").read_bytes() == lines(llava(1, "img/1.png"))
    assert (found.folder / "part-3.jsonl").stat().st_ino == kept
    assert not list(found.folder.glob("*.part"))


def test_a_copy_that_is_lost_is_made_anew_and_nothing_is_computed(memory: str, tmp_path: Path) -> None:
    ingested(tmp_path, memory)
    shutil.rmtree(tmp_path / ".curate" / "inputs")
    assert Workspace(tmp_path).ingest()["computed"] == {}


def test_init_looks_at_what_is_at_a_url(memory: str, tmp_path: Path) -> None:
    found = initialise(str(tmp_path), [f"{memory}/part-0.jsonl"], model="builtin:tiny")
    assert found["datasets"]["part-0"]["reader"] == "llava"
    assert found["datasets"]["part-0"]["path"] == f"{memory}/part-0.jsonl"
    with pytest.raises(ConfigError, match=r"in curate\.toml already"):
        initialise(str(tmp_path), [f"again={memory}/part-0.jsonl"])


@pytest.mark.parametrize("end", ["/none.jsonl", "/none-*.jsonl", "/{part-0,none}.jsonl"])
def test_what_is_not_there_is_named(memory: str, end: str, tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"none.*(does not exist|no such file)"):
        initialise(str(tmp_path), [f"data={memory}{end}"])
    assert not (tmp_path / "curate.toml").exists()


def test_images_may_lie_at_a_url_of_their_own(memory: str, tmp_path: Path) -> None:
    data = tmp_path / "pool.jsonl"
    data.write_bytes(
        lines(llava(0, "0.png"), llava(1, "../img/1.png"), llava(2, "9.png"), llava(3, "./3.png"))
    )
    Workspace.init(tmp_path / "w", {"pool": data}, images=[f"{memory}/img"], model="builtin:tiny")
    workspace = Workspace(tmp_path / "w", {"run.max_errors": "100%"})
    workspace.ingest()
    rows = workspace.store.read("samples").to_pylist()
    assert [row["error"] for row in rows] == [None, "image_outside_roots", "missing_image", None]
    assert shas([rows[0], rows[3]]) == [SHAS[0], SHAS[3]]


def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="leads elsewhere"):
        remote._file("bucket/../../x", "../../x", {"size": 1})


# --- http ------------------------------------------------------------------------------------------------


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    root = tmp_path / "site"
    (root / "a folder").mkdir(parents=True)
    for i in range(4):
        (root / "a folder" / f"{i}.png").write_bytes(png(i))
    (root / "pool.jsonl").write_bytes(lines(*(llava(i, f"a folder/{i}.png") for i in range(4))))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_data_and_images_are_read_over_http(site: str, tmp_path: Path) -> None:
    rows = ingested(tmp_path / "w", f"{site}/pool.jsonl?download=true")
    assert [row["error"] for row in rows] == [None] * 4
    assert shas(rows) == SHAS


# --- the hub ---------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset as it lies on the hub: two splits of Parquet with HF images."""
    from datasets import Dataset, Features, Value
    from datasets import Image as ImageFeature

    features = Features({"image": ImageFeature(), "caption": Value("string")})
    for split, first in (("train", 0), ("test", 600)):
        rows = [
            {"image": {"bytes": png(i % 4), "path": None}, "caption": f"dot {i}"}
            for i in range(first, first + 600)
        ]
        made = Dataset.from_list(rows, features=features)
        (tmp_path / "ds" / "data").mkdir(parents=True, exist_ok=True)
        made.to_parquet(str(tmp_path / "ds" / "data" / f"{split}-00000-of-00001.parquet"))
    return tmp_path / "ds"


def rows_of(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(file) for file in sorted(folder.glob("*.parquet"))])


def test_a_dataset_is_streamed_into_parquet_and_read(folder: Path, tmp_path: Path) -> None:
    hub.stream(hub.HubDataset(str(folder)), tmp_path / "out", Silent())
    assert sorted(path.name for path in (tmp_path / "out").glob("*.parquet")) == [
        "test-00000.parquet",
        "train-00000.parquet",
    ]
    rows = ingested(tmp_path / "w", str(tmp_path / "out"))
    assert [row["error"] for row in rows] == [None] * 1200
    assert [row["turns"][1]["text"] for row in rows[:2]] == ["dot 600", "dot 601"]
    assert shas(rows[600:604]) == SHAS


def test_one_split_is_streamed_where_it_is_asked_for(folder: Path, tmp_path: Path) -> None:
    hub.stream(hub.HubDataset(str(folder), split="test"), tmp_path / "out", Silent())
    assert rows_of(tmp_path / "out")["caption"].to_pylist() == [f"dot {i}" for i in range(600, 1200)]


def test_streaming_goes_on_behind_the_files_that_are_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_FILE_BYTES", 1)
    for name in ("whole", "stopped"):
        hub.stream(hub.HubDataset(str(folder)), tmp_path / name, Silent())
    files = sorted((tmp_path / "stopped").glob("train-*.parquet"))
    assert len(files) == 3
    for file in (*files[1:], tmp_path / "stopped" / ".done"):
        file.unlink()
    (tmp_path / "stopped" / ".train-00001.parquet.part").write_bytes(b"half")
    hub.stream(hub.HubDataset(str(folder)), tmp_path / "stopped", Silent())
    assert rows_of(tmp_path / "stopped") == rows_of(tmp_path / "whole")


def test_images_that_lie_beside_are_taken_along(tmp_path: Path) -> None:
    (tmp_path / "ds").mkdir()
    for i in range(3):
        (tmp_path / "ds" / f"{i}.png").write_bytes(png(i))
    (tmp_path / "ds" / "metadata.jsonl").write_bytes(
        b"".join(b'{"file_name": "%d.png", "text": "dot %d"}\n' % (i, i) for i in range(3))
    )
    hub.stream(hub.HubDataset(str(tmp_path / "ds")), tmp_path / "out", Silent())
    rows = ingested(tmp_path / "w", str(tmp_path / "out"))
    assert shas(rows) == SHAS[:3]


def test_a_dataset_with_code_is_refused_and_its_code_not_run(tmp_path: Path) -> None:
    (tmp_path / "coded").mkdir()
    (tmp_path / "coded" / "coded.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    with pytest.raises(Exception, match=r"(?i)script|no .*data files"):
        hub.stream(hub.HubDataset(str(tmp_path / "coded")), tmp_path / "out", Silent())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("hf://datasets/org/name", hub.HubDataset("org/name")),
        (
            "hf://datasets/org/na.me@v1?config=en&split=train",
            hub.HubDataset("org/na.me", "en", "train", "v1"),
        ),
    ],
)
def test_urls_of_the_hub_say_config_split_and_revision(url: str, asked: hub.HubDataset) -> None:
    assert hub.is_dataset(url)
    assert hub.parsed(url) == asked


def test_other_urls_are_no_datasets_of_the_hub() -> None:
    assert not hub.is_dataset("hf://datasets/org/name/data/train.parquet")
    with pytest.raises(ConfigError, match="config=NAME&split=NAME"):
        hub.parsed("hf://datasets/org/name?streaming=1")


def of_hub(address: str, folder: Path, *arguments: str) -> str:
    """What the command line says, with the hub at `address`: its client reads that when it is imported."""
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "jobs", "-C", str(folder / "w"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_dataset_of_a_hub_is_streamed_once_at_one_revision(folder: Path, tmp_path: Path) -> None:
    with hub_of(folder) as (address, asked):
        of_hub(address, tmp_path, "init", "hf://datasets/org/name?split=test", "--model", "builtin:tiny")
        of_hub(address, tmp_path, "init", "one=hf://datasets/org/name/data/test-*.parquet")
        resolved = [path for path in asked if "/resolve/" in path]
        assert all(f"/resolve/{SHA}/" in path or "/resolve/main/" in path for path in resolved)
        before = len(asked)
        of_hub(address, tmp_path, "ingest")
        assert not [path for path in asked[before:] if "/resolve/" in path]
    table = Workspace(tmp_path / "w").store.read("samples", ["dataset", "turns", "images"]).to_pylist()
    by_name = {name: [row for row in table if row["dataset"] == name] for name in ("name", "one")}
    assert [len(rows) for rows in by_name.values()] == [600, 600]
    for rows in by_name.values():
        assert [row["turns"][1]["text"] for row in rows] == [f"dot {i}" for i in range(600, 1200)]
        assert shas(rows[:4]) == SHAS


def test_a_hub_that_cannot_be_reached_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ReadError, match="hf://datasets/org/name cannot be loaded"):
        initialise(str(tmp_path), ["hf://datasets/org/name"])
