"""The terminal: what data may not do to it, widths, progress, what is said before anything is computed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner, Result
from rich.cells import cell_len
from rich.console import Console

from curation.generate.pool import write_pool
from curation.progress import Course, Lines, Terminal
from curation.steps.select.filters import clauses
from curation.steps.select.values import demand_values
from jobs.cli import cli
from schemas.bounds import Bound
from schemas.errors import ConfigError
from schemas.protocols import Ahead
from schemas.visible import in_json, shown, visible

ROOT = Path(__file__).parent.parent
HOSTILE = {
    "clears": "\x1b[2J\x1b]0;title\x07",
    "eight bit": "\x9b31m",
    "turns": "abc\u202edef\u2066",
    "breaks": "one\r\nkept       forged\u2028two",
    "hides": "a\u200bb\U000e0041\x00",
    "markup": "[bold]</script>'\"[/bold]",
    "half": "\ud800",
}
SGR = re.compile(r"\x1b\[[0-9;]*m")  # what rich writes for bold and colours
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066-\u2069\U000e0041\ud800-\udfff]")


def invoke(folder: Path, *words: str, **environment: str) -> Result:
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner(env=environment).invoke(cli, list(words))
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with 40 records that were read; every sixth is hostile in id and name of its image."""
    folder = tmp_path_factory.mktemp("terminal")
    write_pool(folder, 40)
    records = json.loads((folder / "pool.json").read_text())
    for record, text in zip(records[::6], HOSTILE.values(), strict=True):
        record["id"] = f"id {text}"
        record["image"] = f"images/{text}.png"
    for record in records[1::2]:
        record["conversations"][-1]["value"] = "".join(HOSTILE.values()) + "x" * 100_000
    records[1]["id"] = "long"
    (folder / "pool.json").write_text(json.dumps(records))
    for line in (["init", "pool.json", "--images", ".", "--model", "builtin:tiny"], ["ingest"]):
        result = (
            invoke(folder, *line, "--max-errors", "100%") if line == ["ingest"] else invoke(folder, *line)
        )
        assert result.exit_code == 0, result.output
    return folder


LINES = (
    ["status", "--errors", "--limit", "40"],
    ["status"],
    ["status", "--all"],
    ["explain", "long"],
    ["explain", f"id {HOSTILE['clears']}"],
    ["explain", HOSTILE["clears"]],
    ["validate", "pool.json", "--images", ".", "--all"],
    ["init", HOSTILE["breaks"]],
    ["select", "--budget", "30%", "--dry-run"],
)


@pytest.mark.parametrize("line", LINES, ids=lambda line: visible(" ".join(line)))
def test_nothing_of_a_record_is_obeyed_and_all_fits_into_80_columns(line: list[str], pool: Path) -> None:
    plain = invoke(pool, *line)
    terminal = invoke(pool, *line, COLUMNS="80", FORCE_COLOR="1")
    for result in (plain, terminal):
        assert result.output.strip()
        assert not OBEYED.search(SGR.sub("", result.output)), SGR.sub("", result.output)
    lines = SGR.sub("", terminal.stdout).splitlines()
    assert [text for text in lines if cell_len(text) > 80 and "curate " not in text] == []
    assert len(plain.output) < 60_000


def test_the_json_of_a_hostile_record_says_the_same_and_is_not_obeyed(pool: Path) -> None:
    result = invoke(pool, "explain", "long", "--json")
    assert not OBEYED.search(result.stdout)
    (match,) = json.loads(result.stdout)["matches"]
    assert HOSTILE["turns"] in match["text"]
    assert len(match["text"]) > 100_000


def test_escapes_are_told_from_text_and_joiners_stay() -> None:
    assert visible("a\x1b[0m\n") == r"a\x1b[0m\n"
    family = "\U0001f468\u200d\U0001f469 \u0645\u06cc\u200c\u062e"
    assert visible(family) == family
    assert json.loads(in_json(json.dumps("\u202e\U000e0041", ensure_ascii=False))) == "\u202e\U000e0041"
    assert shown("x" * 50, 10) == "x" * 10 + "… (40 more characters)"


def test_no_color_is_honoured(pool: Path) -> None:
    colours = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38)")
    line = ("status", "--all")
    assert colours.search(invoke(pool, *line, COLUMNS="80", FORCE_COLOR="1", TERM="xterm").stdout)
    quiet = invoke(pool, *line, COLUMNS="80", FORCE_COLOR="1", TERM="xterm", NO_COLOR="1").stdout
    assert not colours.search(quiet)


# --- status, explain ---------------------------------------------------------------------------------------


def test_status_begins_with_a_sentence_and_folds_what_is_done(pool: Path) -> None:
    lines = invoke(pool, "status").stdout.splitlines()
    assert re.fullmatch(r"40 records are read, \d+ of them in quarantine; nothing is selected yet", lines[0])
    assert any(re.match(r"ingest +done +(\d) of \1", line) for line in lines), lines
    assert not any(line.startswith("distinct_images") for line in lines)
    assert "distinct_images" in invoke(pool, "status", "--all").stdout


def test_explain_says_beside_the_verdict_what_decided(pool: Path) -> None:
    ident = f"id {HOSTILE['markup']}"
    lines = invoke(pool, "explain", ident).stdout.splitlines()
    assert lines[0] == "outcome    nothing is selected yet"
    assert lines[1].startswith("because    missing_image: ")


# --- before anything is computed ---------------------------------------------------------------------------


def test_a_command_without_a_workspace_imports_nothing_that_computes(tmp_path: Path) -> None:
    code = """
import sys
from jobs.cli import cli
try:
    cli(["status"])
except SystemExit as end:
    heavy = [name for name in ("torch", "numpy", "pyarrow", "polars", "rich") if name in sys.modules]
    print(end.code, heavy)
"""
    done = run_python(code, tmp_path)
    assert done.stdout.strip() == "1 []"
    assert "curate init DATA" in done.stderr


def test_a_model_that_nobody_has_is_refused_before_the_pool_is_read(tmp_path: Path) -> None:
    write_pool(tmp_path, 24)
    assert invoke(tmp_path, "init", "pool.json", "--images", ".").exit_code == 0
    code = """
import sys
from jobs.cli import cli
try:
    cli(["select", "--budget", "30%", "--model", sys.argv[1]])
except SystemExit as end:
    print(end.code, "torch" in sys.modules)
"""
    wrong = run_python(code, tmp_path, "ViT-B-32/laion2b_s34b")
    assert wrong.stdout.strip() == "1 False"
    assert "laion2b_s34b_b79k" in wrong.stderr
    absent = run_python(
        code, tmp_path, "ViT-B-32/openai", HF_HUB_OFFLINE="1", HF_HUB_CACHE=str(tmp_path / "hub")
    )
    assert absent.stdout.strip() == "1 False"
    assert "HF_HUB_OFFLINE" in absent.stderr
    assert not (tmp_path / ".curate" / "samples").exists()


def run_python(code: str, folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


@pytest.mark.slow
def test_open_clips_list_is_read_from_its_source_as_it_is() -> None:
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained

    from curation.models.tags import places

    found = {(arch, tag): tuple(place) for arch, tags in places().items() for tag, place in tags.items()}
    configs = {(arch, tag): get_pretrained_cfg(arch, tag) for arch, tag in list_pretrained()}
    assert found == {pair: (config["url"], config["hf_hub"]) for pair, config in configs.items()}


def test_init_says_where_the_images_are_and_corrects_where_they_were_thought(tmp_path: Path) -> None:
    write_pool(tmp_path / "data" / "deep", 24)
    (tmp_path / "empty").mkdir()
    work = tmp_path / "work"
    work.mkdir()
    wrong = invoke(work, "init", "../data/deep/pool.json", "--images", "../empty")
    assert wrong.exit_code == 0
    (again,) = re.findall(r"curate (init \S+ --images \S+)", wrong.stdout)
    assert "none of the first" in wrong.stdout
    right = invoke(work, *again.split())
    assert right.exit_code == 0, right.output
    assert "of the first" in right.stdout or "the first" in right.stdout
    assert "empty" not in (work / "curate.toml").read_text()
    assert str(tmp_path / "data" / "deep") in (work / "curate.toml").read_text()
    assert "already" in invoke(work, "init", "../data/deep/pool.json").output


@pytest.mark.parametrize(("kind", "text"), [("at-least", "source:chart=5"), ("at-most", "source:Charts=5")])
def test_a_bound_on_a_value_that_no_sample_has_names_the_one_that_was_meant(
    kind: Literal["at-least", "at-most"], text: str
) -> None:
    table = pl.DataFrame({"source": ["charts", "photos", None]})
    with pytest.raises(ConfigError, match=r"no sample has source '.*'; did you mean 'charts'\?"):
        demand_values(table, [Bound.parse(kind, text)], [], n_candidates=3)
    demand_values(table, [Bound.parse(kind, "source:charts=5")], [], n_candidates=3)


def test_a_condition_on_a_value_that_no_sample_has_warns(caplog: pytest.LogCaptureFixture) -> None:
    table = pl.DataFrame({"source": ["charts", "photos"], "n_words": [1, 2]})
    demand_values(table, [], clauses(["source = 'photos' and n_words > 7"]), n_candidates=0)
    assert not caplog.records
    demand_values(table, [], clauses(["source in ('photos', 'charst') or n_words > 1"]), n_candidates=1)
    (record,) = caplog.records
    assert "no sample has source 'charst'; did you mean 'charts'?" in record.getMessage()
    with pytest.raises(ConfigError, match="'chart'"):
        demand_values(table, [], clauses(["source = 'chart'"]), n_candidates=0)


# --- progress ----------------------------------------------------------------------------------------------

AHEAD = [
    Ahead("a", "read", 10.0),
    Ahead("b", "embed", 40.0),
    Ahead("c", "embed", 20.0),
    Ahead("d", "choose", 5.0),
]


def test_a_course_says_which_step_of_how_many_and_the_time_left_of_the_whole() -> None:
    course = Course(lambda: AHEAD)
    course.enter(["a"])
    assert course.step(["a"]) == ("read", 1, 3)
    assert course.later(["a"], 0.0, 0.0) == pytest.approx(65.0)
    course.leave(["a"], 10.0)
    course.enter(["b"])
    assert course.step(["b"]) == ("embed", 2, 3)
    # Half of b took three times as long as was thought: so will all else, but for the doubt.
    assert 25.0 < course.later(["b"], 60.0, 0.5) < 3 * 25.0
    course.enter(["d"])  # c was there already
    assert course.later(["d"], 0.0, 0.0) == 0.0


def test_a_command_with_nothing_to_do_does_not_ask_what_is_ahead() -> None:
    def asked() -> list[Ahead]:
        raise AssertionError

    with Lines().course(asked):
        pass


def test_stages_that_are_over_at_once_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    with lines.course(lambda: AHEAD):
        for stage in AHEAD:
            with lines.bar(stage.name, 10, "rows") as bar:
                bar.advance(10)
    assert capsys.readouterr().err == "to do: read, embed, choose; about 75 s\n"
    terminal, out = Terminal(), StringIO()
    terminal.console = Console(file=out, force_terminal=True, width=80)
    with terminal.course(lambda: AHEAD):
        for stage in AHEAD:
            with terminal.bar(stage.name, 10, "rows") as bar:
                bar.advance(10)
    assert not re.search(r"\w", re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", out.getvalue()))


def test_what_a_bar_is_called_by_is_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(every=0.0)
    lines.note(HOSTILE["clears"])
    assert capsys.readouterr().err == visible(HOSTILE["clears"]) + "\n"


# --- completion, doctor ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "begun", "expected"),
    [
        (["select", "--strategy"], "mm", "mmssr"),
        (["select", "--strategy"], "top:align", "top:alignment"),
        (["export", "--format"], "lla", "llama_factory"),
        (["init", "--format"], "ll", "llava"),
        (["score", "--capability"], "pro", "probe"),
        (["embed", "--model"], "ViT-B-32/laion2b_s", "ViT-B-32/laion2b_s34b_b79k"),
        ([], "doc", "doctor"),
    ],
)
def test_a_shell_completes(words: list[str], begun: str, expected: str) -> None:
    complete = BashComplete(cli, {}, "curate", "_CURATE_COMPLETE")
    assert expected in [item.value for item in complete.get_completions(words, begun)]


def test_the_script_for_the_shell_is_printed(tmp_path: Path) -> None:
    assert "_CURATE_COMPLETE=bash_complete" in invoke(tmp_path, "completion", "bash").stdout


def test_the_doctor_exits_with_one_only_if_something_needed_is_broken(tmp_path: Path) -> None:
    healthy = invoke(tmp_path, "doctor", "--json", JAVA_HOME=str(tmp_path))
    found = {check["name"]: check for check in json.loads(healthy.stdout)["checks"]}
    assert healthy.exit_code == 0, healthy.stdout
    assert found["spark"]["state"] == "warning"
    assert found["spark"]["fix"].startswith("apt-get install")
    assert {"python", "torch", "memory", "disk", "temp", "models"} <= set(found)
    (tmp_path / "curate.toml").write_text("[select]\nbudgett = 3\n")
    broken = invoke(tmp_path, "doctor")
    assert broken.exit_code == 1
    assert "BROKEN" in broken.stdout
    assert "budgett" in broken.stdout
