"""What the documents say is what the code does."""

from __future__ import annotations

import doctest
import importlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from curation.catalog import WHOLE_POOL
from jobs.cli import cli
from schemas import errors

ROOT = Path(__file__).parent.parent
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *[str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))],
]
SITE = "mkdocs.yml"
PACKAGES = ("schemas", "scorers", "clustering", "curation", "jobs")
EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]
CODES = {value for name, value in vars(errors).items() if name.isupper()}


def blocks(page: str) -> str:
    """The text of a page's fenced blocks."""
    return "\n".join(re.findall(r"```\w*\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL))


def commands(page: str) -> list[str]:
    """Every line `curate …` or `… curate …` of a page's fenced blocks, without what is before `curate`."""
    found = re.findall(r"^(?:\$ )?(?:.*(?:&& |/))?curate (\S.*)$", blocks(page), re.MULTILINE)
    return [re.sub(r"\s+#.*$", "", line) for line in found]


def test_the_generated_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "docs/build.py", "--check"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_documents_exist_with_their_flags(page: str) -> None:
    lines = [shlex.split(line) for line in commands(page)] if page != "docs/cli.md" else []
    lines += [words[words.index("--") + 1 :] for words in lines if "--" in words]  # what is submitted
    for line in lines:
        words = line[: line.index("--")] if "--" in line else line
        if words[0] == "-C":
            words = words[2:]
        if words[0].startswith("-"):
            continue
        assert words[0] in cli.commands, line
        command = cli.commands[words[0]]
        known = {
            name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)
        }
        assert {word for word in words if word.startswith("--")} <= known, line
        required = {p.opts[0] for p in command.params if isinstance(p, click.Option) and p.required}
        assert required <= set(words), line


def test_the_readme_is_short_and_has_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    demo, tests = (line for line in text.splitlines() if line.startswith("python3 -m venv"))
    assert demo.endswith("curate demo")
    assert tests.endswith("pytest --all")
    for line in (demo, tests):
        assert "-c constraints.txt" in line


@pytest.mark.parametrize("page", PAGES)
def test_links_between_the_documents_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), target


def test_every_page_stands_once_in_the_navigation() -> None:
    pages = re.findall(r"([\w/-]+\.md)$", (ROOT / SITE).read_text(encoding="utf-8"), re.MULTILINE)
    beside = ["changelog.md", "contributing.md"]
    assert sorted(pages) == sorted([page[len("docs/") :] for page in PAGES[2:]] + beside)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_hold_no_outputs_and_their_links_lead_somewhere(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert all(
        cell["outputs"] == [] and cell["execution_count"] is None
        for cell in cells
        if cell["cell_type"] == "code"
    )
    said = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    for target in re.findall(r"\]\(([^)#:]+)\)", said):
        assert (path.parent / target).exists(), target


def test_every_dependency_has_a_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "dependencies.md").read_text()
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[<>=!~\[ ]", requirement)[0] for requirement in wanted}
    listed = set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE))
    assert listed == names


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_docstrings_say_what_comes_back(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert not found.failed


def test_the_data_model_names_every_code_and_every_whole_pool_table() -> None:
    page = (ROOT / "docs" / "data-model.md").read_text()
    assert {code for code in CODES if f"`{code}`" not in page} == set()
    assert {table for table in WHOLE_POOL if f"`{table}`" not in page} == set()
