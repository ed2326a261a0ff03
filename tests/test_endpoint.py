"""Asking an endpoint, against a real server that answers as a script says."""

from __future__ import annotations

import base64
import io
import json
import math
import random
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from curation.commands.verify import collect_garbage
from curation.endpoint.address import endpoint_of
from curation.endpoint.answers import Answers
from curation.endpoint.asker import asker, close_askers
from curation.endpoint.dialect import known_endpoint, resolve_endpoint
from curation.endpoint.retry import backoff, of_status, retry_after
from curation.executor.keys import keys_of
from curation.generate.pool import write_pool
from curation.progress import Silent
from curation.steps.score.capability import capability_stages
from curation.steps.score.endpoint import judgement_stages
from curation.workspace import Workspace
from schemas.errors import ConfigError, EndpointUnavailable, ReadError
from scorers.questions import Answer, Malformed, json_object, points
from scorers.taxonomy import CAPABILITY_COLUMNS, STYLE_COLUMNS
from tests.places import here
from tests.scripted_server import Body, Out, Script, Server, answer, good, images_of, is_greeting, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curation.endpoint.address import Endpoint

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No endpoint of whoever runs the tests, and no loop left behind."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("curation.endpoint.retry.FIRST_WAIT", 0.01)
    yield
    close_askers()


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 records, some of them bad, and one with two images and two turns."""
    folder = tmp_path_factory.mktemp("pool")
    write_pool(folder, 24, seed=5)
    records = json.loads((folder / "pool.json").read_text())
    wide = folder / "images" / "wide.png"
    Image.effect_noise((1200, 300), 90).convert("RGB").save(wide)
    images = ["images/wide.png", next(r["image"] for r in records if r.get("image", "").endswith(".png"))]
    turns = ["<image>\n<image>\nWhich is wider?", "The first.", "Sure?", "Yes."]
    told = [{"from": ("human", "gpt")[n % 2], "value": text} for n, text in enumerate(turns)]
    records.append({"id": "two", "image": images, "conversations": told})
    (folder / "pool.json").write_text(json.dumps(records))
    return folder


@pytest.fixture
def workspace(pool: Path, tmp_path: Path) -> Workspace:
    """Ingested."""
    Workspace.init(tmp_path / "work", {"demo": pool / "pool.json"}, images=[pool], model="builtin:tiny")
    made = Workspace(tmp_path / "work")
    made.ingest()
    return made


@contextmanager
def served(script: Script = good, **more: Any) -> Iterator[Server]:
    with Server(script, **more) as server:
        yield server
        close_askers()  # its connections end before the server does


def settings(server: Server, **more: Any) -> dict[str, Any]:
    given = {"url": server.url, "model": "rater", "attempts": 4, **more}
    named = {f"endpoint.{name}": value for name, value in given.items()}
    return {"capability.backend": "endpoint", "run.shard_rows": 16, **named}


def score(workspace: Workspace, server: Server, **more: Any) -> list[dict[str, Any]]:
    """The rows of `capability`, asked for by the local engine."""
    opened = Workspace(workspace.base, settings(server, **more))
    opened.ingest()
    return ask(opened)["capability"]


def ask(opened: Workspace) -> dict[str, list[dict[str, Any]]]:
    """Run the stages that ask, and nothing else of the chain."""
    store = opened.store
    resolve_endpoint(opened.config, store.root, Silent())
    stages = [*capability_stages(opened.context), *judgement_stages(opened.context)]
    opened.planner().run(stages)
    return {stage.name: store.read(stage.name).to_pylist() for stage in stages}


def endpoint(server: Server, folder: Path, **more: Any) -> Endpoint:
    Workspace.init(folder, {}, model="builtin:tiny")
    (folder / "curate.toml").write_text('[datasets.x]\npath = "x"\n')
    return known_endpoint(Workspace(folder, settings(server, **more)).config, folder / ".curate")


def asked(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that were asked about."""
    return [row for row in found if not (row["capability_reason"] or "").startswith("quarantined")]


def start(body: Body) -> tuple[str, ...]:
    """What requests about one sample have in common."""
    return (*images_of(body), text_of(body).partition("</instance>")[0])


def about(body: Body, word: str) -> bool:
    return word in start(body)[-1]


def first_time(out: Out) -> Script:
    """`out` for every request that comes first, then good answers."""
    return lambda body, seen, number: out if seen == 0 and not is_greeting(body) else Out()


# --- what is sent ------------------------------------------------------------------------------------------


def test_a_sample_is_one_request_and_its_answer_fills_its_row(workspace: Workspace) -> None:
    with served() as server:
        found = asked(score(workspace, server))
    assert max(server.counts.values()) == 1
    assert len(server.seen) == len(server.asked) + 1
    for row in found:
        assert all(row[name] in range(6) for name in CAPABILITY_COLUMNS)
        assert {name for name in STYLE_COLUMNS if row[name]} == {"style_yes_no", "style_comparison"}
        assert row["capability_reason"] is None
    bodies = [seen.body for seen in server.asked]
    for body in bodies:
        assert body["model"] == "rater"
        assert body["temperature"] == 0
        assert body["response_format"]["json_schema"]["strict"] is True
        assert "logprobs" not in body


def test_images_are_scaled_down_and_inlined_and_text_goes_without(workspace: Workspace) -> None:
    with served() as server:
        score(workspace, server, side=64)
    bodies = [seen.body for seen in server.asked]
    two = next(body for body in bodies if about(body, "Which is wider?"))
    assert (
        "[image 1]\n[image 2]\nWhich is wider?\nAnswer: The first.\nQuestion: Sure?\nAnswer: Yes."
        in text_of(two)
    )
    sizes = [opened(url).size for url in images_of(two)]
    assert sizes[0] == (64, 16)
    assert len(sizes) == 2
    assert max(side for body in bodies for url in images_of(body) for side in opened(url).size) == 64
    texts = [body for body in bodies if not images_of(body)]
    assert texts
    assert all(isinstance(body["messages"][-1]["content"], str) for body in texts)


def opened(url: str) -> Image.Image:
    kind, _, data = url.partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_bad_records_are_not_asked_about_and_say_so(workspace: Workspace) -> None:
    with served() as server:
        found = score(workspace, server)
    bad = [row for row in found if row not in asked(found)]
    assert len(bad) == len([e for e in workspace.store.read("checked", ["error"])["error"].to_pylist() if e])
    assert all(row[name] is None for row in bad for name in CAPABILITY_COLUMNS)


def test_each_capability_alone_is_the_expectation_over_digits(workspace: Workspace) -> None:
    with served() as server:
        found = asked(score(workspace, server, mode="each"))
    assert len(server.asked) % 15 == 0
    said = [int(answer(seen.body)) for seen in server.asked if seen.body.get("logprobs")]
    expected = {0.75 * digit + 0.25 * min(digit + 1, 5) for digit in said}
    assert {row[name] for row in found for name in CAPABILITY_COLUMNS} == expected
    assert {row["style_word_short_phrase"] for row in found} == {1.0}
    # All but the end is shared, for the server's cache of prefixes.
    assert len(server.asked) == 15 * len({start(seen.body) for seen in server.asked})


def test_judgements_are_asked_in_the_same_pass(workspace: Workspace) -> None:
    with served() as server:
        opened = Workspace(workspace.base, settings(server, judge=True))
        opened.ingest()
        tables = ask(opened)
    assert len(server.asked) % 2 == 0
    rows = [row for row in tables["judgement"] if row["judge_reason"] is None]
    assert len(rows) == len(asked(tables["capability"]))
    assert all(row["judge_relevance"] in range(6) for row in rows)


# --- what is not sent again --------------------------------------------------------------------------------


def test_what_was_answered_is_never_asked_again_whatever_becomes_of_the_shards(workspace: Workspace) -> None:
    with served() as server:
        before = score(workspace, server)
        n = len(server.seen)
        assert score(workspace, server) == before
        # Other shards, so every row is computed anew, from the answers that are kept.
        collected = Workspace(workspace.base, {**settings(server), "run.shard_rows": 32})
        collected.ingest()
        again = ask(collected)["capability"]
    assert sorted(again, key=lambda row: row["uid"]) == sorted(before, key=lambda row: row["uid"])
    assert len(server.seen) == n


def test_gc_keeps_the_answers(workspace: Workspace) -> None:
    with served() as server:
        score(workspace, server)
    answers = here(workspace.base) / ".curate" / "answers"
    there = sorted(answers.rglob("*.json"))
    collect_garbage(workspace.store)
    assert sorted(answers.rglob("*.json")) == there
    assert len(there) == len(server.asked)


def test_equal_requests_that_are_under_way_at_once_are_sent_once(workspace: Workspace) -> None:
    with served(latency=0.2) as server:
        made = endpoint(server, here(workspace.base) / "other")
        row = {
            "turns": [{"role": "user", "text": "Why?"}, {"role": "assistant", "text": "So."}],
            "images": [],
        }
        from curation.steps.score.endpoint import submit
        from scorers.capability import Capability

        futures = [submit(made, Capability(), row, 10**8)[0] for _ in range(5)]
        assert len({json.dumps(dict(future.result().values)) for future in futures}) == 1
        assert len(server.asked) == 1


def test_the_first_of_two_answers_to_one_request_is_the_one_that_both_take(tmp_path: Path) -> None:
    answers = Answers(tmp_path, "a/b: c")
    kept: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda n=n: kept.append(answers.keep("abcdef", {"text": str(n)})))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({held["text"] for held in kept}) == 1
    assert answers.get("abcdef") == kept[0]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["abcdef.json"]


@pytest.mark.parametrize("damage", [b"", b'{"request": "abc', b"null", b'{"request": "other", "text": "x"}'])
def test_a_damaged_answer_counts_as_none_and_is_replaced(tmp_path: Path, damage: bytes) -> None:
    answers = Answers(tmp_path, "m")
    answers.keep("abc", {"text": "first"})
    path = answers.path("abc")
    assert isinstance(path, Path)
    path.write_bytes(damage)
    assert answers.get("abc") is None
    assert answers.keep("abc", {"text": "second"})["text"] == "second"
    assert answers.get("abc") == {"request": "abc", "text": "second"}


def test_answers_lie_at_a_url_too() -> None:
    from curation.storage.files import Remote

    answers = Answers(Remote("memory://bucket/answers"), "m")
    assert answers.get("abc") is None
    answers.keep("abc", {"text": "x"})
    assert answers.get("abc") == {"request": "abc", "text": "x"}


# --- patience ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_what_passes_is_tried_again(workspace: Workspace, status: int) -> None:
    with served(first_time(Out(status))) as server:
        found = asked(score(workspace, server))
        counts = asker(
            known_endpoint(Workspace(workspace.base, settings(server)).config, workspace.store.root)
        )
        assert counts.counts["retried"] == len(server.asked) / 2
    assert set(server.counts.values()) == {1, 2}
    assert all(row["capability_reason"] is None for row in found)


@pytest.mark.parametrize(
    "out", [Out(cut=True), Out(raw=b"<html>"), Out(raw=b"{}"), Out(raw=b'{"choices": []}')]
)
def test_a_response_that_ends_early_or_is_none_is_asked_for_again(workspace: Workspace, out: Out) -> None:
    with served(first_time(out)) as server:
        found = asked(score(workspace, server))
    assert all(row["capability_reason"] is None for row in found)


def test_silence_ends_with_the_timeout(workspace: Workspace) -> None:
    with served(first_time(Out(wait=30))) as server:
        start = time.monotonic()
        found = asked(score(workspace, server, timeout=0.5))
    assert time.monotonic() - start < 15
    assert all(row["capability_reason"] is None for row in found)


@pytest.mark.parametrize(
    "spell", [lambda: "1", lambda: "1.5", lambda: formatdate(time.time() + 2.5, usegmt=True)]
)
def test_retry_after_silences_everybody(workspace: Workspace, spell: Any) -> None:
    told: list[float] = []

    def script(body: Body, seen: int, number: int) -> Out:
        if number == 4:
            told.append(time.monotonic())
            return Out(429, headers={"Retry-After": spell()})
        return Out()

    with served(script, latency=0.05) as server:
        score(workspace, server, concurrency=4)
    after = [seen.time - told[0] for seen in server.seen if seen.time > told[0] + 0.15]
    assert min(after) >= 0.95
    assert max(server.counts.values()) == 2


def test_being_told_to_slow_down_uses_up_no_attempt(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.endpoint.retry.LONGEST_WAIT", 0.05)
    with served(
        lambda body, seen, number: Out(429) if seen < 5 and not is_greeting(body) else Out()
    ) as server:
        found = asked(score(workspace, server, attempts=2))
    assert all(row["capability_reason"] is None for row in found)
    assert set(server.counts.values()) == {1, 6}


def test_being_told_to_slow_down_for_ever_stops_the_run(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.endpoint.retry.LONGEST_WAIT", 0.05)
    monkeypatch.setattr("curation.endpoint.client.MOST_PATIENCE", 1.0)
    with (
        served(lambda body, seen, number: Out() if number < 6 else Out(429, "too many")) as server,
        pytest.raises(EndpointUnavailable, match="429 too many"),
    ):
        score(workspace, server, attempts=2)


def test_no_more_requests_are_under_way_than_allowed(workspace: Workspace) -> None:
    with served(latency=0.1) as server:
        score(workspace, server, concurrency=3)
    assert server.most == 3


def test_the_rate_is_kept(workspace: Workspace) -> None:
    with served() as server:
        score(workspace, server, rate=20.0)
    times = [seen.time for seen in server.asked]
    assert len(times) / 20 * 0.8 < times[-1] - times[0]


def test_waits_double_up_to_a_minute_and_differ() -> None:
    rng = random.Random(0)
    waits = [backoff(attempt, rng) for attempt in range(1, 40)]
    assert all(0.005 <= first <= 0.02 for first in waits[:1])
    assert all(30 <= wait <= 60 for wait in waits[15:])
    assert len(set(waits[15:])) > 20


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("7", now=0) == 7
    assert retry_after("0.5", now=0) == 0.5
    assert retry_after("-3", now=0) == 0
    assert retry_after("Thu, 01 Jan 1970 00:01:30 GMT", now=60) == 30
    assert retry_after("Thu, 01 Jan 1970 00:01:30 GMT", now=1e9) == 0
    assert retry_after("soon", now=0) is None
    assert retry_after(None, now=0) is None


@pytest.mark.parametrize(
    ("status", "headers", "message", "kind"),
    [
        (429, {}, "slow down", "again"),
        (429, {"retry-after": "5"}, "slow down", "again"),
        (429, {"retry-after": "86400"}, "quota of the day", "stop"),
        (429, {}, "You exceeded your current quota (insufficient_quota)", "stop"),
        (500, {}, "", "again"),
        (529, {}, "overloaded", "again"),
        (501, {}, "", "stop"),
        (400, {}, "too long", "refused"),
        (413, {}, "", "refused"),
        (422, {}, "", "refused"),
        (401, {}, "", "stop"),
        (403, {}, "", "stop"),
        (404, {}, "", "stop"),
        (302, {}, "", "stop"),
    ],
)
def test_a_status_says_whether_to_wait_to_leave_it_or_to_stop(
    status: int, headers: dict[str, str], message: str, kind: str
) -> None:
    assert of_status(status, headers, message, now=0).kind == kind


# --- answers that are none ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "I cannot help with that.", '{"scores": {"humanities"', "[1, 2]"])
def test_a_malformed_answer_is_asked_for_once_more_in_other_words(workspace: Workspace, text: str) -> None:
    def script(body: Body, seen: int, number: int) -> Out:
        return Out() if "nothing before or after" in text_of(body) else Out(text=text, finish="length")

    with served(script) as server:
        found = asked(score(workspace, server))
    assert all(row["capability_reason"] is None for row in found)
    assert len(server.asked) == 2 * len({start(seen.body) for seen in server.asked})
    assert max(server.counts.values()) == 1


@pytest.mark.parametrize("value", [10**400, -(10**400), 1e400, math.nan, 5.1, -1, "9" * 400])
def test_a_number_of_any_size_that_is_out_of_range_is_malformed(value: object) -> None:
    with pytest.raises(Malformed, match=r"^x is .{1,60}, not 0 to 5$"):
        points(value, "x")
    if not isinstance(value, str):
        found = json_object(Answer(json.dumps({"x": value})))
        with pytest.raises(Malformed):
            points(found["x"], "x")


def test_nonsense_twice_is_null_with_a_reason_and_is_not_asked_again(workspace: Workspace) -> None:
    with served(lambda body, seen, number: Out(text="What a lovely picture!")) as server:
        found = asked(score(workspace, server))
        n = len(server.seen)
        other = Workspace(workspace.base, {**settings(server), "run.shard_rows": 32})
        other.ingest()
        ask(other)
        assert len(server.seen) == n
    assert {row["capability_reason"] for row in found} == {
        "malformed: it holds no JSON object: 'What a lovely picture!'"
    }
    assert all(row[name] is None for row in found for name in (*CAPABILITY_COLUMNS, *STYLE_COLUMNS))


def test_one_capability_without_a_digit_leaves_the_others_their_points(workspace: Workspace) -> None:
    def script(body: Body, seen: int, number: int) -> Out:
        return Out(text="very") if "training the humanities" in text_of(body) else Out()

    with served(script) as server:
        found = asked(score(workspace, server, mode="each"))
    for row in found:
        assert row["cap_humanities"] is None
        assert row["cap_stem_knowledge"] is not None
        assert row["capability_reason"] == "malformed: humanities: it is not one number: 'very'"


# --- requests that never succeed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        (Out(400, "prompt is too long"), "refused: 400 prompt is too long"),
        (Out(500, "boom"), "no_answer: 500 boom (2"),
    ],
)
def test_a_sample_that_the_endpoint_cannot_take_is_null_and_the_others_are_not(
    workspace: Workspace, out: Out, reason: str
) -> None:
    with served(lambda body, seen, number: out if about(body, "Which is wider?") else Out()) as server:
        found = asked(score(workspace, server, attempts=2, concurrency=1))
    (bad,) = [row for row in found if row["capability_reason"]]
    assert bad["capability_reason"].startswith(reason)
    assert len(found) > 10


def test_where_everything_is_refused_the_run_stops(workspace: Workspace) -> None:
    with (
        served(
            lambda body, seen, number: Out() if is_greeting(body) else Out(400, "no images please")
        ) as server,
        pytest.raises(EndpointUnavailable, match="400 no images please"),
    ):
        score(workspace, server, concurrency=1, mode="each")
    assert len(server.asked) == 20


def test_an_answer_on_its_way_when_the_run_stops_is_kept(workspace: Workspace) -> None:
    """The first sample's failures end the run; the second's answer is late."""

    def script(body: Body, seen: int, number: int) -> Out:
        return Out(wait=0.5 * number) if number in (0, 2) else Out(503, "loading")

    with served(script) as server:
        with pytest.raises(EndpointUnavailable, match="503 loading"):
            score(workspace, server, attempts=2, concurrency=2)
        close_askers(stopped=True)
        late = server.seen[2]
        assert late.answered
        before = len(server.seen)
        server.script = good
        score(workspace, server, attempts=2, concurrency=2)
    assert late.digest not in {seen.digest for seen in server.seen[before:]}


def test_an_endpoint_that_goes_down_stops_the_run_and_the_next_one_continues(workspace: Workspace) -> None:
    def script(body: Body, seen: int, number: int) -> Out:
        return Out() if number < 8 else Out(503, "loading")

    with served(script) as server:
        with pytest.raises(
            EndpointUnavailable, match=r"503 loading \(|503 loading\. What was answered is kept"
        ):
            score(workspace, server, attempts=2, concurrency=2)
        close_askers(stopped=True)
        answered = {seen.digest for seen in server.seen if seen.answered}
        assert len(answered) == 8
        before = len(server.seen)
        server.script = good
        found = asked(score(workspace, server, attempts=2, concurrency=2))
    assert before > 8
    assert not answered & {seen.digest for seen in server.seen[before:]}
    assert all(row["capability_reason"] is None for row in found)


@pytest.mark.parametrize(
    ("status", "says", "advice"),
    [
        (401, f"Incorrect API key provided: {KEY}", "OPENAI_API_KEY"),
        (404, "The model rater does not exist", "--endpoint-model"),
        (400, "rater is not a multimodal model", "see its log"),
        (403, "not yours", "may not use this model"),
    ],
)
def test_what_will_never_work_stops_before_anything_is_asked(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, status: int, says: str, advice: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with served(lambda body, seen, number: Out(status, says)) as server:
        with pytest.raises(EndpointUnavailable) as raised:
            score(workspace, server)
        assert len(server.seen) == 1
        assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"
    said = str(raised.value)
    for part in (server.url, "'rater'", str(status), advice):
        assert part in said
    assert KEY not in said


def test_nobody_at_the_url_is_said_at_once(workspace: Workspace) -> None:
    with served() as server:
        pass
    with pytest.raises(EndpointUnavailable, match=r"no connection.*is it running"):
        score(workspace, server)


def test_a_key_that_expires_in_the_middle_stops_the_run(workspace: Workspace) -> None:
    with (
        served(lambda body, seen, number: Out() if number < 6 else Out(401, "expired")) as server,
        pytest.raises(EndpointUnavailable, match="401 expired"),
    ):
        score(workspace, server, concurrency=2)
    assert len(server.seen) <= 8


def test_the_key_is_nowhere(workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    held = tmp_path / "key"
    held.write_text(KEY + "\n")
    caplog.set_level("DEBUG", "curation")
    with served(first_time(Out(500, f"who is {KEY}?"))) as server:
        score(workspace, server, key_file=str(held))
        assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {KEY}"}
    files = [path for path in here(workspace.base).rglob("*") if path.is_file()]
    assert len(files) > 30
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert KEY not in caplog.text


def test_an_image_that_changed_since_it_was_ingested_stops_the_run(pool: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(pool, copy)
    Workspace.init(tmp_path / "w", {"demo": copy / "pool.json"}, images=[copy], model="builtin:tiny")
    with served() as server:
        opened = Workspace(tmp_path / "w", settings(server))
        opened.ingest()
        Image.new("RGB", (9, 9)).save(copy / "images" / "wide.png")
        with pytest.raises(ReadError, match="changed since it was ingested"):
            ask(opened)


# --- dialects ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "says", "mode", "expected"),
    [
        (
            "json_schema",
            "response_format.type json_schema is not supported",
            "joint",
            {"structured": "object"},
        ),
        ("response_format", "Unexpected fields: {'response_format'}", "joint", {"structured": "none"}),
        ("max_tokens", "Use 'max_completion_tokens' instead", "joint", {"limit": "max_completion_tokens"}),
        ("temperature", "Unsupported value: temperature", "joint", {"temperature": False}),
        ("top_logprobs", "top_logprobs must be at most 5", "each", {"logprobs": 5}),
        ("logprobs", "logprobs is not supported", "each", {"logprobs": 0}),
    ],
)
def test_what_an_endpoint_does_not_take_is_left_out(
    workspace: Workspace, field: str, says: str, mode: str, expected: dict[str, Any]
) -> None:
    def refused(body: Body) -> bool:
        if field == "top_logprobs":
            return bool(body.get(field, 0) > 5)
        return field in body or field in json.dumps(body.get("response_format", ""))

    with served(lambda body, seen, number: Out(422, says) if refused(body) else Out()) as server:
        found = asked(score(workspace, server, mode=mode))
        config = Workspace(workspace.base, settings(server, mode=mode)).config
        dialect = known_endpoint(config, workspace.store.root).dialect
    assert {name: getattr(dialect, name) for name in expected} == expected
    assert all(row["capability_reason"] is None for row in found)
    assert not [seen for seen in server.asked if seen.status != 200]
    assert all(value is not None for row in found for name, value in row.items() if name.startswith("cap_"))


def test_a_dialect_is_found_out_once(workspace: Workspace) -> None:
    with served() as server:
        for _ in range(3):
            score(workspace, server)
        assert sum(is_greeting(seen.body) for seen in server.seen) == 1


def test_a_form_that_is_asked_for_by_name_is_not_given_up(workspace: Workspace) -> None:
    with (
        served(lambda body, seen, number: Out(422, "response_format")) as server,
        pytest.raises(EndpointUnavailable, match="422 response_format"),
    ):
        score(workspace, server, structured="schema")


# --- settings ----------------------------------------------------------------------------------------------


def config_of(folder: Path, **given: Any) -> Any:
    folder.mkdir(exist_ok=True)
    (folder / "curate.toml").write_text('[datasets.x]\npath = "x"\n')
    return Workspace(folder, {f"endpoint.{name}": value for name, value in given.items()}).config


def test_flags_win_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://one/v1/")
    monkeypatch.setenv("OPENAI_MODEL", "a")
    made = endpoint_of(config_of(tmp_path), tmp_path)
    assert (made.url, made.model, made.secret()) == ("http://one/v1", "a", None)
    made = endpoint_of(config_of(tmp_path, url="https://two/v1", model="b"), tmp_path)
    assert (made.url, made.model) == ("https://two/v1", "b")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "no endpoint is configured"),
        ({"url": "http://x/v1"}, "for no model"),
        ({"url": "localhost:8000", "model": "m"}, "write http://HOST"),
        ({"url": f"https://me:{KEY}@x/v1", "model": "m"}, "no user, password"),
        ({"url": f"https://x/v1?key={KEY}", "model": "m"}, "no user, password"),
    ],
)
def test_an_endpoint_that_is_not_named_or_named_wrongly_is_refused(
    tmp_path: Path, given: dict[str, str], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason) as raised:
        endpoint_of(config_of(tmp_path, **given), tmp_path)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("text", ["two words", "schlüssel", "a\nb"])
def test_what_cannot_be_a_key_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    held = tmp_path / "key"
    held.write_text(text)
    made = endpoint_of(config_of(tmp_path / "w", url="http://x/v1", model="m", key_file=str(held)), tmp_path)
    with pytest.raises(EndpointUnavailable, match="is no key") as raised:
        made.secret()
    assert text not in str(raised.value)
    missing = replace(made, key_file=str(tmp_path / "nowhere"))
    with pytest.raises(EndpointUnavailable, match="nowhere"):
        missing.secret()


def test_the_address_is_not_in_the_keys_of_shards(workspace: Workspace) -> None:
    with served() as server:
        before = score(workspace, server)
        stage = workspace.store.manifest("capability")
    with served() as other:
        assert other.url != server.url
        assert score(workspace, other) == before
        assert [is_greeting(seen.body) for seen in other.seen] == [True]
        made = Workspace(workspace.base, settings(other))
        (built,) = capability_stages(made.context)
        assert stage is not None
        assert keys_of(built, made.store)["capability"] == [shard.key for shard in stage.shards]
    assert server.url not in json.dumps(stage.stage)
