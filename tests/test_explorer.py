"""The explorer: who is answered, with what, and a selection that follows what was marked on the page."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import psutil
import pytest
from click.testing import CliRunner

from curation.explorer.marks import Marks
from curation.generate.pool import write_pool
from curation.workspace import Workspace
from jobs.cli import cli

if TYPE_CHECKING:
    from tests.browser import Visit

PATIENCE = 120_000  # ms, on a machine that others use too
HOSTILE = (
    '</script><script>document.title="taken"</script><img src=x onerror=alert(1)> "quoted" \'single\' &amp; '
    "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd \U0001f600 \x1b[31m\x07 " + "long " * 20_000
)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of 40 generated records and one that is up to no good, selected."""
    folder = tmp_path_factory.mktemp("explored")
    write_pool(folder, 40)
    records = json.loads((folder / "pool.json").read_text())
    shown = next(record["image"] for record in records if record.get("image"))
    turns = [{"from": "human", "value": f"<image>\n{HOSTILE}"}, {"from": "gpt", "value": HOSTILE}]
    records.append({"id": "<b>hostile</b>", "image": shown, "source": "<i>x</i>", "conversations": turns})
    (folder / "pool.json").write_text(json.dumps(records))
    workspace = Workspace.init(folder, {"pool": folder / "pool.json"}, images=[folder], model="builtin:tiny")
    workspace.select(budget="30%")
    return folder


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    data: bytes


@dataclass
class Server:
    """A running `curate explore`."""

    url: str
    process: subprocess.Popen[str]

    def ask(self, path: str, body: bytes | None = None, *, given: bool = True, **headers: str) -> Answer:
        """The answer to a request, with the cookie if it is `given`; `_` in a header stands for `-`."""
        port = urlsplit(self.url).port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        token = self.url.partition("token=")[2]
        sent = {"cookie": f"curate-{port}={token}"} if given else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(connection):
            connection.request("GET" if body is None else "POST", path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())

    def told(self, name: str, body: object = None, **asked: object) -> Any:
        """The JSON that answers."""
        data = None if body is None else json.dumps(body).encode()
        response = self.ask(f"/api/{name}?{urlencode(asked)}", data, content_type="application/json")
        tree = json.loads(response.data)
        assert response.status == 200, tree
        return tree


@pytest.fixture(scope="module")
def server(pool: Path) -> Iterator[Server]:
    """The command, as a user starts and ends it."""
    words = [sys.executable, "-m", "jobs", "-C", str(pool), "explore", "--no-open", "--json", "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    yield Server(json.loads(process.stdout.readline())["url"], process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    process.stdout.close()


def test_only_who_has_the_token_is_answered_and_only_on_loopback(server: Server) -> None:
    for path in ("/", "/static/main.js", "/api/pool", "/api/marks", "/picture/00/0"):
        assert server.ask(path, given=False).status == 403
        assert server.ask(f"{path}?token=guessed", given=False).status == 403
        assert server.ask(path, given=False, cookie="curate=guessed; x").status == 403
    opened = server.ask(f"/?{urlsplit(server.url).query}", given=False)
    assert opened.status == 200
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    at = {
        each.laddr.ip
        for each in psutil.Process(server.process.pid).net_connections()
        if each.status == "LISTEN"
    }
    assert at == {"127.0.0.1"}


def test_other_origins_and_other_names_of_the_host_are_refused(server: Server) -> None:
    port = urlsplit(server.url).port
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1",
        f"127.0.0.1.evil.example:{port}",
        f"0.0.0.0:{port}",
    ):
        assert server.ask("/api/pool", host=host).status == 403, host
    assert server.ask("/api/pool", host=f"localhost:{port}").status == 200
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{port}", "http://127.0.0.1:1"):
        assert server.ask("/api/pool", origin=origin).status == 403, origin
        assert server.ask("/api/save", b"{}", origin=origin, content_type="application/json").status == 403
    for site in ("cross-site", "same-site"):
        assert server.ask("/api/pool", sec_fetch_site=site).status == 403
    answered = server.ask("/api/pool", origin=f"http://127.0.0.1:{port}")
    assert answered.status == 200
    assert not [name for name in answered.headers if name.lower().startswith("access-control")]
    rules = answered.headers["content-security-policy"]
    assert "default-src 'none'" in rules
    assert "unsafe" not in rules


def test_no_path_leads_out_of_the_pages_files_and_the_samples_pictures(server: Server, pool: Path) -> None:
    (pool / "secret.txt").write_text("secret")
    there = str(pool / "secret.txt")
    steps = (
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "....//app.py",
        there,
        "index.html/../../app.py",
        ".",
    )
    for path in (
        *(f"/static/{step}" for step in steps),
        f"/picture/{there}/0",
        "/picture/..%2f..%2fsecret.txt/0",
    ):
        answered = server.ask(path)
        assert answered.status == 404, path
        assert b"secret" not in answered.data
    sample = server.told("samples", where="n_images > 0", n=1)["rows"][0]
    assert server.ask(f"/picture/{sample['uid']}/0").headers["content-type"] == "image/webp"
    assert server.ask(f"/picture/{sample['uid']}/0?whole").status == 200
    for path in (f"/picture/{sample['uid']}/99", f"/picture/{'0' * 32}/0", f"/picture/{sample['uid']}/-1"):
        assert server.ask(path).status == 404
    assert server.ask("/api/mark", b"uid=1", content_type="text/plain").status == 415
    assert server.ask("/api/mark", b"[]", content_type="application/json").status == 400


def test_samples_are_filtered_sorted_and_come_in_pages(server: Server, pool: Path) -> None:
    rows = (
        Workspace(pool)
        .scores()
        .collect()
        .sort("n_chars", descending=True, nulls_last=True, maintain_order=True)
    )
    wanted = rows.filter((rows["n_chars"] > 30) & rows["kept"])["uid"].to_list()
    pages = [
        server.told("samples", where="n_chars > 30 and kept", sort="n_chars", order="falling", offset=at, n=4)
        for at in range(0, len(wanted), 4)
    ]
    assert len(wanted) > 4
    assert pages[0]["n"] == len(wanted)
    assert sorted(row["uid"] for page in pages for row in page["rows"]) == sorted(wanted)
    values = [row["value"] for page in pages for row in page["rows"]]
    assert values == sorted(values, reverse=True)
    refused = server.ask(f"/api/samples?{urlencode({'where': 'beauty > 1'})}")
    assert refused.status == 400
    assert "no column 'beauty'" in json.loads(refused.data)["error"]


def test_samples_are_found_by_text_picture_and_likeness(server: Server) -> None:
    sample = server.told("samples", where="n_images = 1 and kept", n=1)["rows"][0]
    picture = server.ask(f"/picture/{sample['uid']}/0?whole").data
    by_picture = json.loads(server.ask("/api/search/picture?n=3", picture).data)
    assert by_picture["rows"][0]["cosine"] == pytest.approx(1, abs=1e-3)
    assert server.told("search", {"text": sample["text"], "n": 3, "by": "text"})["rows"][0]["by"] == "text"
    alike = server.told("search", {"like": sample["uid"], "n": 5, "where": "kept"})
    assert sample["uid"] not in [row["uid"] for row in alike["rows"]]
    assert all(row["kept"] for row in alike["rows"])


def test_a_sample_its_cluster_and_what_was_dropped_are_told(server: Server) -> None:
    found = server.told("clusters")["rows"]
    assert (
        sum(cluster["size"] for cluster in found) == server.told("samples", where="cluster is not null")["n"]
    )
    assert found[0]["label"]
    pair = server.told("pairs")["rows"][0]
    told = server.told(f"sample/{pair['dropped']['uid']}")
    assert told["reason"] == pair["reason"]
    assert told["pruned"]["kept"]["uid"] == pair["kept"]["uid"]
    assert told["turns"][0]["role"] == "user"


def test_what_people_wrote_into_a_list_stays(tmp_path: Path) -> None:
    uid, other = "0" * 32, "f" * 32
    (tmp_path / "must-keep.txt").write_text(f"# mine\nchart-7\n{uid}\n")
    marks = Marks(tmp_path)
    assert marks.marked == {uid: "keep"}
    marks.set(uid, "drop")
    marks.set(other, "keep")
    marks.save()
    assert (tmp_path / "must-keep.txt").read_text() == f"# mine\nchart-7\n{other}\n"
    assert (tmp_path / "must-drop.txt").read_text() == f"{uid}\n"
    assert Marks(tmp_path).marked == {other: "keep", uid: "drop"}


@pytest.mark.browser
def test_two_samples_are_marked_on_the_page_and_a_selection_follows(
    server: Server, pool: Path, visit: Visit
) -> None:
    page = visit(server.url)
    page.set_default_timeout(PATIENCE)
    page.wait_for_selector(".card")
    assert "token" not in page.url
    uids = []
    for where, key in (("kept", "d"), ("not kept and error is null and reason = 'over_budget'", "k")):
        page.fill("#where", where)
        page.press("#where", "Enter")
        page.wait_for_function(
            "text => document.getElementById('says').textContent.endsWith(text)", arg=where
        )
        page.click(".card")
        page.wait_for_selector("#marking")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector(".card:nth-child(2)[aria-selected]")
        page.wait_for_selector("#marking")
        uids.append(page.get_attribute(".card:nth-child(2)", "data-uid"))
        page.keyboard.press(key)
        page.wait_for_selector(f".card:nth-child(2)[data-mark={'drop' if key == 'd' else 'keep'}]")
        page.keyboard.press("Escape")
        page.wait_for_selector("#panel", state="hidden")
    page.click("text=Marked")
    page.click("#save")
    page.wait_for_selector("#save:disabled")
    command = page.inner_text("#command")
    words = shlex.split(command)
    assert words[0] == "curate"
    done = CliRunner().invoke(cli, [*words[1:], "--json"])
    assert done.exit_code == 0, done.output
    kept = dict(Workspace(pool).samples().select("uid", "kept").collect().iter_rows())
    assert [kept[uid] for uid in uids] == [False, True]
    # The page follows the new selection by itself.
    assert server.told("samples", where="kept")["n"] == sum(kept.values())


@pytest.mark.browser
def test_hostile_text_is_text_on_the_page(server: Server, visit: Visit) -> None:
    page = visit(f"{server.url}#where={urlencode({'': 'n_chars > 10000'})[1:]}", colours="dark", width=390)
    page.set_default_timeout(PATIENCE)
    page.wait_for_selector(".card")
    assert page.locator(".card").count() == 1
    assert "</script><script>" in page.inner_text(".card .caption")
    page.click(".card")
    page.wait_for_selector(".turn")
    assert page.inner_text(".panel h2") == "<b>hostile</b>"
    page.click(".more >> nth=0")
    assert len(page.inner_text(".turn >> nth=0")) > 90_000
    assert page.title() != "taken"
    assert page.locator(".panel script, .panel .talk img, .panel i:not(.dot)").count() == 0
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390, "no sideways scrolling"
