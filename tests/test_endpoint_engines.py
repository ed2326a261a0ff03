"""Asking an endpoint on both engines, in the whole chain, killed and started again. A server counts."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from benchmarks.kills import digests
from curation.commands.annotate import clustering
from curation.endpoint.asker import close_askers
from curation.generate.pool import write_pool
from curation.workspace import Workspace
from jobs.cli import cli
from schemas.errors import ConfigError, EndpointUnavailable
from scorers.taxonomy import CAPABILITY_COLUMNS, WRITES
from tests.scripted_server import Out, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
CONCURRENCY = 8


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
    yield
    close_askers()


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool of 96 records, and a workspace in which everything but asking is done."""
    folder = tmp_path_factory.mktemp("clustered")
    write_pool(folder / "pool", 96, seed=7)
    data = {"demo": folder / "pool" / "pool.json"}
    Workspace.init(folder / "work", data, images=[folder / "pool"], model="builtin:tiny")
    Workspace(folder / "work", {"run.shard_rows": 32, "capability.backend": "none"}).cluster()
    return folder


@pytest.fixture
def work(clustered: Path, tmp_path: Path) -> Path:
    """A copy of the workspace; the pool stays where it is."""
    shutil.copytree(clustered / "work", tmp_path / "work")
    text = (tmp_path / "work" / "curate.toml").read_text().replace("../pool", str(clustered / "pool"))
    (tmp_path / "work" / "curate.toml").write_text(text)
    return tmp_path / "work"


def settings(url: str, **more: Any) -> dict[str, Any]:
    named = {"url": url, "model": "rater", "concurrency": CONCURRENCY, **more}
    asked = {f"endpoint.{name}": value for name, value in named.items()}
    return {"capability.backend": "endpoint", "run.shard_rows": 32, **asked}


def flags(url: str) -> list[str]:
    return ["--endpoint-url", url, "--endpoint-model", "rater", "--concurrency", str(CONCURRENCY)]


def run(work: Path, line: list[str]) -> Any:
    result = CliRunner().invoke(cli, ["-C", str(work), *line])
    close_askers()
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in line else result.stdout


# --- killed ------------------------------------------------------------------------------------------------


@contextmanager
def server_process(latency: float) -> Iterator[str]:
    """The URL of a server in a process of its own."""
    words = [sys.executable, str(ROOT / "tests" / "scripted_server.py"), "--latency", str(latency)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def log(server: str) -> list[dict[str, Any]]:
    """What the server saw, but for the requests that try the line."""
    with urllib.request.urlopen(f"{server}/log", timeout=30) as response:
        return [line for line in json.load(response)["log"] if not line["greeting"]]


def answers(work: Path) -> int:
    return len(list((work / ".curate" / "answers").rglob("*.json")))


def start(work: Path, server: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "jobs", "-C", str(work), "score", "--capability", "endpoint", "--quiet"]
    words += ["--shard-rows", "32", *flags(f"{server}/v1")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)


def kill(process: subprocess.Popen[bytes], server: str, moment: int) -> None:
    """With SIGKILL, once the server has answered `moment` requests in all."""
    end = time.monotonic() + 180
    while sum(line["answered"] for line in log(server)) < moment:
        assert process.poll() is None, "it came to its end before it was killed"
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.6)  # the server ends what it is at


@pytest.mark.slow
def test_killed_in_the_middle_and_started_again_it_repeats_no_answered_request(
    work: Path, clustered: Path, tmp_path: Path
) -> None:
    with server_process(0.4) as server:
        lost = 0
        for moment in (10, 30, 55):
            earlier, kept = log(server), answers(work)
            kill(start(work, server), server, moment)
            seen = log(server)
            again = {line["digest"] for line in seen[len(earlier) :]}
            assert len(again & {line["digest"] for line in earlier if line["answered"]}) <= lost
            # What this start was answered and is in no file was in flight.
            answered = {line["digest"] for line in seen[len(earlier) :] if line["answered"]}
            in_flight = len(answered) - (answers(work) - kept)
            assert 0 <= in_flight <= CONCURRENCY
            lost += in_flight
        before, kept = len(seen), answers(work)
        assert start(work, server).wait(timeout=180) == 0
        seen = log(server)
    counts = Counter(line["digest"] for line in seen)
    # To the last start was left exactly what no file held.
    assert len(seen) - before == len(counts) - kept
    assert sum(count - 1 for count in counts.values()) <= 3 * CONCURRENCY
    assert answers(work) == len(counts)
    with server_process(0.0) as server:
        reference = Workspace(tmp_path / "work", settings(f"{server}/v1"))
        table = reference.store.read("capability").to_pylist()
        shutil.rmtree(work / ".curate" / "answers")
        shutil.rmtree(work / ".curate" / "ledger" / "capability")
        (work / ".curate" / "tables" / "capability.json").unlink()
        reference.score()
        assert reference.store.read("capability").to_pylist() == table


# --- engines -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_several_workers_share_the_slots_and_give_the_same_table(work: Path, tmp_path: Path) -> None:
    with Server(latency=0.05) as server:
        one = Workspace(work, settings(server.url))
        one.score()
        expected = digests(work)["capability"]
        close_askers()
        shutil.rmtree(work / ".curate" / "answers")
        shutil.rmtree(work / ".curate" / "ledger" / "capability")
        (work / ".curate" / "tables" / "capability.json").unlink()
        server.most = 0
        Workspace(work, {**settings(server.url), "run.workers": 2}).score()
        assert digests(work)["capability"] == expected
        assert server.most <= CONCURRENCY


@pytest.mark.spark
@pytest.mark.slow
def test_spark_asks_the_same_and_gives_the_same_bytes(work: Path, tmp_path: Path) -> None:
    with Server(latency=0.02) as server:
        asked = {**settings(server.url), "endpoint.judge": True}
        Workspace(work, asked).score()
        expected, n = digests(work), len(server.asked)
        close_askers()
        shutil.rmtree(work / ".curate" / "answers")
        for table in ("capability", "judgement"):
            shutil.rmtree(work / ".curate" / "ledger" / table)
            (work / ".curate" / "tables" / f"{table}.json").unlink()
        Workspace(work, {**asked, "run.engine": "spark", "run.master": "local[2]"}).score()
        assert digests(work) == expected
        # Copies that two processes come to at the same moment are asked about by both.
        usable = Workspace(work).store.read("checked", ["error"])["error"].null_count
        assert n <= len(server.asked) - n <= 2 * usable


# --- in the chain ------------------------------------------------------------------------------------------


def test_a_selection_by_what_was_asked_and_an_export_of_it(work: Path, tmp_path: Path) -> None:
    with Server() as server:
        asked = ["--capability", "endpoint", "--judge", "--shard-rows", "32", *flags(server.url)]
        found = run(work, ["select", "--budget", "20%", "--strategy", "top:cap_humanities", *asked, "--json"])
        n = len(server.asked)
        # Without the flag nothing is asked, and the column is there all the same.
        again = ["--budget", "20%", "--strategy", "top:cap_humanities", "--shard-rows", "32", "--json"]
        assert run(work, ["select", *again])["n_selected"] == found["n_selected"]
    assert n > 100
    assert found["n_capability_scored"] == found["n_read"] - found["n_quarantined"]
    assert found["capability_null"] == found["judgement_null"] == {"quarantined": found["n_quarantined"]}
    run(work, ["export", "--out", str(tmp_path / "subset"), "--format", "parquet", "--shard-rows", "32"])
    exported = pq.read_table(next((tmp_path / "subset" / "data").glob("*.parquet")))
    assert set(exported.column_names) >= {"cap_humanities", "style_yes_no", "judge_clarity"}
    store = Workspace(work).store
    best = sorted(filter(None, store.read("capability")["cap_humanities"].to_pylist()))[-1]
    assert best in exported["cap_humanities"].to_pylist()
    assert run(work, ["verify", "--json"])["problems"] == []


def test_a_column_that_nobody_computed_names_the_flag(work: Path) -> None:
    line = ["-C", str(work), "select", "--budget", "20%", "--strategy", "top:cap_humanities"]
    result = CliRunner().invoke(cli, [*line, "--shard-rows", "32", "--capability", "none"])
    assert result.exit_code == 1
    assert "--capability" in result.stderr


@pytest.mark.slow
def test_scores_of_records_that_changed_are_seen_by_nobody(
    work: Path, clustered: Path, tmp_path: Path
) -> None:
    pool = tmp_path / "pool"
    shutil.copytree(clustered / "pool", pool)
    text = (work / "curate.toml").read_text().replace(str(clustered / "pool"), str(pool))
    (work / "curate.toml").write_text(text)
    run(work, ["score", "--capability", "builtin", "--shard-rows", "32"])
    asked = ["select", "--budget", "20%", "--strategy", "top:cap_humanities", "--shard-rows", "32"]
    run(work, [*asked, "--capability", "none"])
    records = (pool / "pool.json").read_text().replace("What", "Which")
    (pool / "pool.json").write_text(records)
    result = CliRunner().invoke(cli, ["-C", str(work), *asked, "--capability", "none"])
    assert result.exit_code == 1
    assert "--capability" in result.stderr


def test_a_pool_that_is_clustered_by_gradients_can_be_annotated(work: Path) -> None:
    workspace = Workspace(work, {"cluster.vectors": "gradient", "vlm.model": "builtin"})
    names = [stage.name for stage in clustering(workspace.context)]
    assert "gradients" in names
    assert "grounding" not in names
    by_embedding = clustering(Workspace(work, {"vlm.model": "builtin"}).context)
    assert not {"gradients", "grounding"} & {stage.name for stage in by_embedding}


def test_a_head_may_not_be_called_like_another_column(work: Path, tmp_path: Path) -> None:
    for name in ("uid", "alignment", "nll"):
        head = {"path": str(tmp_path / "h.safetensors"), "on": "image"}
        workspace = Workspace(work, {"score.heads": {name: head}})
        save_file({"weight": np.zeros((1, 256), np.float32)}, str(tmp_path / "h.safetensors"))
        with pytest.raises(ConfigError, match=f"have a column {name} of another kind"):
            workspace.score()


def test_scores_of_an_earlier_pool_are_seen_by_nobody(work: Path, clustered: Path, tmp_path: Path) -> None:
    with Server() as server:
        run(work, ["score", "--capability", "endpoint", "--shard-rows", "32", *flags(server.url)])
    records = json.loads((clustered / "pool" / "pool.json").read_text())[:20]
    more = clustered / "pool" / "more.json"
    more.write_text(json.dumps(records))
    Workspace.init(work, {"more": more}, images=[clustered / "pool"])
    shards = ["--shard-rows", "32", "--capability", "none"]
    run(work, ["select", "--budget", "20%", *shards])
    run(work, ["export", "--out", str(tmp_path / "subset"), "--format", "parquet", *shards])
    exported = pq.read_table(next((tmp_path / "subset" / "data").glob("*.parquet")))
    assert "cap_humanities" not in exported.column_names
    assert run(work, ["verify", "--json"])["problems"] == []
    line = ["-C", str(work), "select", "--budget", "20%", "--strategy", "top:cap_humanities", *shards]
    assert "--capability" in CliRunner().invoke(cli, line).stderr


# --- annotate ----------------------------------------------------------------------------------------------


def test_annotate_labels_a_sample_that_is_spread_over_the_clusters(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels.parquet"
    line = ["annotate", "--shard-rows", "32", "--json", "--sample"]
    with Server() as server:
        asked = flags(server.url)
        found = run(work, [*line, "12", "--out", str(out), *asked])
        assert len(server.asked) == 12
        store = Workspace(work).store
        few = store.read("labels")
        more = run(work, [*line, "30", *asked])
        assert len(server.asked) == 30
        many = store.read("labels")
        again = run(work, [*line, "30", *asked])
        assert len(server.asked) == 30
    assert found["n_sampled"] == found["n_labelled"] == 12
    assert more["requests"]["held"] == 12
    assert more["requests"]["asked"] == 18
    assert again["requests"] == {**again["requests"], "asked": 0, "held": 30, "prompt_tokens": 0}
    assert few.schema.names == ["uid", *WRITES.names]
    assert few["uid"].to_pylist() == sorted(few["uid"].to_pylist())
    assert set(few["uid"].to_pylist()) < set(many["uid"].to_pylist())
    clusters = store.read("clusters")
    where = dict(zip(clusters["uid"].to_pylist(), clusters["cluster"].to_pylist(), strict=True))
    counts = Counter(where[uid] for uid in few["uid"].to_pylist())
    assert max(counts.values()) - min(counts.values()) <= 1 or len(counts) == len(
        set(where.values()) - {None}
    )
    written = pq.read_table(out)
    assert written["uid"].to_pylist() == [uid.hex() for uid in few["uid"].to_pylist()]
    assert written.drop(["uid"]).equals(few.drop(["uid"]))


def test_annotate_asks_for_nothing_but_its_sample(work: Path, tmp_path: Path) -> None:
    toml = work / "curate.toml"
    with Server() as server:
        toml.write_text(
            f'{toml.read_text()}\n[capability]\nbackend = "endpoint"\n\n[endpoint]\nurl = "{server.url}"\n'
            'model = "rater"\njudge = true\n'
        )
        out = tmp_path / "labels.jsonl"
        text = run(work, ["annotate", "--sample", "5", "--shard-rows", "32", "--out", str(out)])
        assert len(server.asked) == 5
    assert text.startswith("labelled   5 of 5 samples by rater\nrequests   5 sent; 0 were answered already\n")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 5
    assert all(row[name] in range(6) for row in rows for name in CAPABILITY_COLUMNS)


def test_a_sample_larger_than_the_pool_is_all_of_it_without_copies(work: Path) -> None:
    with Server() as server:
        found = run(
            work, ["annotate", "--sample", "1000", "--shard-rows", "32", "--json", *flags(server.url)]
        )
    checked = Workspace(work).store.read("checked", ["content_hash", "error"]).to_pylist()
    assert found["n_sampled"] == len({row["content_hash"] for row in checked if row["error"] is None})


def test_labels_that_are_all_nonsense_are_not_kept(work: Path) -> None:
    with Server(lambda body, seen, number: Out(text="no")) as server:
        workspace = Workspace(work, settings(server.url))
        from curation.commands.annotate import annotate

        with pytest.raises(
            EndpointUnavailable, match=r"none of 5 answers of rater can be used; the first: malf"
        ):
            annotate(workspace, 5)
        assert workspace.store.find("labels") is None


@pytest.mark.parametrize("out", ["labels.csv", "nowhere/labels.parquet", "s3://x/labels.parquet"])
def test_annotate_refuses_an_out_that_it_cannot_write_before_it_asks(work: Path, out: str) -> None:
    with Server() as server:
        line = ["-C", str(work), "annotate", "--sample", "5", "--out", out, *flags(server.url)]
        result = CliRunner().invoke(cli, line)
    assert result.exit_code == 1
    assert "--out" in result.stderr
    assert not server.seen


def test_the_examples_of_annotate_run(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = re.findall(r"^ +curate (annotate .+)$", cli.commands["annotate"].help or "", re.MULTILINE)
    monkeypatch.chdir(work)
    with Server() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_MODEL", "rater")
        assert len(examples) == 2
        for line in examples:
            assert run(work, shlex.split(line.replace("http://localhost:8000/v1", server.url)))


def test_annotate_without_an_endpoint_says_how_to_name_one(work: Path) -> None:
    result = CliRunner().invoke(cli, ["-C", str(work), "annotate", "--sample", "5"])
    assert result.exit_code == 1
    assert "OPENAI_BASE_URL" in result.stderr


# --- beforehand --------------------------------------------------------------------------------------------


def test_a_dry_run_counts_requests_and_those_that_are_answered_and_sends_none(work: Path) -> None:
    with Server() as server:
        asked = ["--shard-rows", "32", "--json", *flags(server.url)]
        dry = run(work, ["annotate", "--sample", "10", "--dry-run", *asked])
        assert not server.seen
        assert (dry["n_requests"], dry["n_held"], dry["n_to_ask"]) == (10, 0, 10)
        assert dry["prompt_tokens"] > 10 * 300
        run(work, ["annotate", "--sample", "10", *asked])
        n = len(server.seen)
        dry = run(work, ["annotate", "--sample", "20", "--dry-run", *asked])
        assert (dry["n_requests"], dry["n_held"], dry["n_to_ask"]) == (20, 10, 10)
        scoring = ["score", "--capability", "endpoint", "--judge", *asked]
        dry = run(work, [*scoring, "--dry-run"])["endpoint"]
        assert len(server.seen) == n
        run(work, scoring)
        assert len(server.asked) == 10 + dry["n_to_ask"]
        assert dry["n_held"] == 10
        assert run(work, [*scoring, "--dry-run"])["endpoint"]["n_requests"] == 0
    text = run(work, ["annotate", "--sample", "50", "--dry-run", "--shard-rows", "32", *flags(server.url)])
    assert text.startswith("endpoint   0 requests to rater; 50 more are answered already\n")


def test_a_dry_run_of_a_pool_that_is_not_read_yet_is_an_estimate(clustered: Path, tmp_path: Path) -> None:
    data = {"demo": clustered / "pool" / "pool.json"}
    Workspace.init(tmp_path / "new", data, images=[clustered / "pool"], model="builtin:tiny")
    asked = ["--capability", "endpoint", *flags("http://127.0.0.1:1/v1"), "--dry-run", "--json"]
    dry = run(tmp_path / "new", ["score", *asked])["endpoint"]
    assert dry["estimated"] is True
    assert dry["n_requests"] == dry["n_to_ask"] == 96
