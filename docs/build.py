"""Write docs/cli.md from `--help`, docs/api.md and the tables of docs/data-model.md; --check compares."""

from __future__ import annotations

import difflib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pyarrow as pa

from curation.catalog import SCORES, TABLES, WHOLE_POOL, Table
from curation.selectors import SELECTORS
from jobs.cli import cli

DOCS = Path(__file__).parent
HEAD = """\
# The command line

Written by `make docs` from the commands' own `--help`; do not edit. Flags win over `curate.toml`. Exit codes:
0 ok, 1 an error you can fix (one or two sentences), 2 wrong usage, 130 interrupted.
"""
WIDTH = 100
NEITHER = "\N{EN DASH}"
# The page of the Python API: mkdocstrings puts docstrings in place of the lines that begin with `:::`.
API = """\
# Python

Written by `make docs` from docstrings; do not edit. How it is used, with examples: [in Python](python.md).

## The workspace

::: curation.workspace.Workspace
    options:
      inherited_members:
        [samples, scores, images, image_bytes, show, search, explain, add_scores, drop_scores,
         list_scores, write_scores, tables, write_table, asked, with_settings]

## Without a workspace

::: curation.trainers.check

::: curation.generate.pool.write_pool

## Errors

::: schemas.errors

## What can be added

Each is a Protocol; [contributing](../CONTRIBUTING.md) says how to add one, here or in a package of your own.

::: schemas.protocols

::: schemas.columns.figure

## Selectors

A selector is a pure function of a table of candidates, a number and a seed. Formulas are in
[concepts](concepts/index.md).
"""


def command_line() -> str:
    """The text of docs/cli.md."""
    sections = [HEAD, _section("curate", cli, None)]
    sections += [_section(f"curate {name}", command, name) for name, command in cli.commands.items()]
    return "\n".join(sections)


def _section(title: str, command: click.Command, name: str | None) -> str:
    parent = click.Context(cli, info_name="curate", terminal_width=WIDTH) if name else None
    context = click.Context(command, info_name=name or "curate", parent=parent, terminal_width=WIDTH)
    context.help_option_names = ["-h", "--help"]
    return f"## {title}\n\n```text\n{command.get_help(context)}\n```\n"


def api() -> str:
    """The text of docs/api.md."""
    return API + "".join(f"\n### {name}\n\n{_class(parse.__self__)}" for name, parse in SELECTORS.items())


def _class(kind: type) -> str:
    options = "    options: {show_root_heading: false, show_root_toc_entry: false, members: false}"
    return f"::: {kind.__module__}.{kind.__name__}\n{options}\n"


def data_model() -> str:
    """The text of docs/data-model.md, its marked parts written anew."""
    text = (DOCS / "data-model.md").read_text(encoding="utf-8")
    for name, lines in {"tables": _tables(), "scores": _scores(), "whole pool": _whole_pool()}.items():
        before, _, rest = text.partition(f"<!-- {name}:")
        _, _, behind = rest.partition("<!-- end -->")
        part = [f"<!-- {name}: written by `make docs` -->", "", *lines, "", "<!-- end -->"]
        text = before + "\n".join(part) + behind
    return text


def _tables() -> Iterator[str]:
    yield "| table | a row is | columns besides `uid` |"
    yield "|---|---|---|"
    for table in TABLES.values():
        yield f"| `{table.name}`{_flag(table)} | {table.row} | {table.holds} |"


def _flag(table: Table) -> str:
    return f" (`{table.flag}`)" if table.flag else ""


def _scores() -> Iterator[str]:
    yield "| table | column | unit | range | better |"
    yield "|---|---|---|---|---|"
    for table, columns in SCORES.items():
        described = [column for column in columns if column.metadata]
        for said, alike in itertools.groupby(described, key=_said):
            yield f"| `{table}` | {', '.join(f'`{column.name}`' for column in alike)} | {' | '.join(said)} |"


def _said(column: pa.Field) -> tuple[str, str, str]:
    said = {key.decode(): value.decode() for key, value in column.metadata.items()}
    better = NEITHER if said["better"] == "neither" else said["better"]
    return said["unit"], said["range"].replace("inf", "∞"), better


def _whole_pool() -> Iterator[str]:
    yield ", ".join(f"`{name}`" for name in WHOLE_POOL) + "."


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them."""
    stale = 0
    written = {"cli.md": command_line(), "api.md": api(), "data-model.md": data_model()}
    for name, text in written.items():
        page = DOCS / name
        held = page.read_text(encoding="utf-8") if page.exists() else ""
        if "--check" not in arguments:
            page.write_text(text, encoding="utf-8")
        elif held != text:
            sys.stdout.writelines(
                difflib.unified_diff(held.splitlines(True), text.splitlines(True), f"docs/{name}", "the code")
            )
            print(f"docs/{name} is out of date: run `make docs`", file=sys.stderr)
            stale += 1
    return int(stale > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
