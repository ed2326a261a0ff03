"""The tutorial and the how-to guides: every block runs, one after the other, on a small drawn pool.

Above a block that cannot run here stands `<!-- not run: REASON -->`. A line of a block that ends with
`# exit code 1` (and perhaps why) must end so. What a block of `text` behind it shows must have been printed,
in this order; `…` stands for what is left out. A block of `toml` goes to the end of curate.toml.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from curation.generate.pool import write_pool
from jobs.cli import cli

ROOT = Path(__file__).parent.parent
TUTORIAL = "tutorial.md"
HOWTO = sorted(f"howto/{path.name}" for path in (ROOT / "docs" / "howto").glob("*.md"))
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n+)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
RUN = ("sh", "python", "toml")
ASSIGNED = re.compile(r"^export (.+)$")
FAILS = re.compile(r"# exit code 1\b")
IN_A_SHELL = re.compile(r"[|<>&;$`]")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    kind: str
    text: str
    reason: str | None = None

    def lines(self) -> Iterator[str]:
        """Commands, those that are continued on the next line put together."""
        for line in self.text.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith("#"):
                yield line.strip()


def blocks(page: str) -> list[Block]:
    """The blocks of a page under docs/, in order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [Block(found["kind"], found["text"], found["reason"]) for found in BLOCK.finditer(text)]


@dataclass
class Reader:
    """Somebody who follows a page in `folder`; what `python` blocks define stays."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    known: dict[str, Any]

    def run(self, block: Block) -> str:
        """What the block prints on stdout."""
        if block.kind == "python":
            exec(compile(block.text, "<block>", "exec"), self.known)
            return ""
        if block.kind == "toml":
            with (self.folder / "curate.toml").open("a", encoding="utf-8") as file:
                file.write(f"\n{block.text}")
            return ""
        return "".join(self.line(line) for line in block.lines())

    def line(self, line: str) -> str:
        if assigned := ASSIGNED.match(line):
            for part in shlex.split(assigned[1], comments=True):
                self.monkeypatch.setenv(*part.split("=", 1))
            return ""
        words = shlex.split(line, comments=True)
        # In this process, as far as no shell is needed: torch is imported once.
        if words[0] == "curate" and not any(IN_A_SHELL.search(word) for word in words if " " not in word):
            done = CliRunner().invoke(cli, words[1:])
            code, printed = done.exit_code, done.stdout
            told = done.output + (repr(done.exception) if code == 2 or done.exception else "")
        else:
            ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
            code, printed, told = ran.returncode, ran.stdout, ran.stdout + ran.stderr
        assert code == bool(FAILS.search(line)), f"{line}\n{told}"
        return printed


def shows(printed: str, text: str) -> str | None:
    """The first line of `text` that was not printed in this order, white space aside."""
    at, flat = 0, " ".join(printed.split())
    for line in text.splitlines():
        for part in line.split("…"):
            wanted = " ".join(part.split())
            found = flat.find(wanted, at)
            if found < 0:
                return line
            at = found + len(wanted)
    return None


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the how-to guides start from: the same 64 drawn records in several forms."""
    folder = tmp_path_factory.mktemp("guides")
    write_pool(folder, 64)
    (folder / "pool.json").rename(folder / "mixture.json")
    records = json.loads((folder / "mixture.json").read_text())
    good = [record for record in records if (folder / str(record.get("image"))).is_file()]
    (folder / "mmbench.json").write_text(json.dumps(good[:6]))
    here = Path.cwd()
    os.chdir(folder)
    try:
        for line in (
            "mixture.json corpus --format parquet",
            "mixture.json saved --format hf",
            "mixture.json tars --format webdataset",
        ):
            assert CliRunner().invoke(cli, ["convert", *line.split()]).exit_code == 0
    finally:
        os.chdir(here)
    (folder / "shards").mkdir()
    shutil.copy(folder / "tars" / "data" / "train-000000.tar", folder / "shards" / "00000.tar")
    (folder / "photos").mkdir()
    for path in sorted((folder / "images").iterdir())[:24]:
        shutil.copy(path, folder / "photos")
    shutil.rmtree(folder / "tars")
    return folder


@pytest.fixture
def reader(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """Somebody in `drawn`, which is put back afterwards. What was computed stays: other pages need it too."""
    there = {*drawn.iterdir(), drawn / ".curate"}
    monkeypatch.chdir(drawn)
    # `curate` and `python` of a shell are those of the tests.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    yield Reader(drawn, monkeypatch, {"__name__": "__main__"})
    for path in set(drawn.iterdir()) - there:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def follow(reader: Reader, page: str) -> None:
    printed = ""
    for block in blocks(page):
        if block.kind in RUN and block.reason is None:
            printed = reader.run(block)
        elif block.kind == "text" and block.reason is None:
            missing = shows(printed, block.text)
            assert missing is None, f"{page} shows {missing!r}, but this was printed:\n{printed}"


@pytest.mark.slow
def test_the_tutorial_leads_from_a_messy_file_to_a_subset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    follow(Reader(tmp_path, monkeypatch, {"__name__": "__main__"}), TUTORIAL)
    assert (tmp_path / "subset" / "data" / "train.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("page", HOWTO)
def test_every_block_of_a_guide_runs(page: str, reader: Reader) -> None:
    follow(reader, page)


def test_the_tutorial_leaves_nothing_out() -> None:
    assert [block.reason for block in blocks(TUTORIAL) if block.kind in RUN if block.reason] == []


def test_what_was_not_printed_is_found() -> None:
    assert shows("read 240 records\nselected  66 of 204", "read 240 …\n…\nselected 66 of 204") is None
    assert shows("read 240 records\n", "read 241 records") == "read 241 records"
    assert shows("a\nb\n", "b\na") == "a"
