"""Write docs/cli.md from what `--help` says; with --check only say whether it is up to date."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

import click

from jobs.cli import cli

PAGE = Path(__file__).with_name("cli.md")
HEAD = """\
# The command line

Written by `make docs` from the commands' own `--help`; do not edit. Flags win over `curate.toml`. Exit codes:
0 ok, 1 an error you can fix (one or two sentences), 2 wrong usage, 130 interrupted.
"""
WIDTH = 100


def page() -> str:
    """The text of docs/cli.md."""
    sections = [HEAD, _section("curate", cli, None)]
    sections += [_section(f"curate {name}", command, name) for name, command in cli.commands.items()]
    return "\n".join(sections)


def _section(title: str, command: click.Command, name: str | None) -> str:
    parent = click.Context(cli, info_name="curate", terminal_width=WIDTH) if name else None
    context = click.Context(command, info_name=name or "curate", parent=parent, terminal_width=WIDTH)
    context.help_option_names = ["-h", "--help"]
    return f"## {title}\n\n```text\n{command.get_help(context)}\n```\n"


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    text = page()
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    held = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    sys.stdout.writelines(
        difflib.unified_diff(held.splitlines(True), text.splitlines(True), "docs/cli.md", "--help")
    )
    if held != text:
        print("docs/cli.md is out of date: run `make docs`", file=sys.stderr)
    return int(held != text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
