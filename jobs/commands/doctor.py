"""The command that looks at the machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.flags import command
from jobs.java import PACKAGE, require_java
from jobs.options import SPEAKING
from jobs.session import Session
from jobs.text import Tree, line, packed
from schemas.errors import EngineUnavailable

if TYPE_CHECKING:
    from curation.commands.doctor import Check


@command(*SPEAKING)
@click.pass_obj
def doctor(session: Session) -> None:
    """Say whether this machine has what curate needs.

    Versions, processor, memory, GPU, disks, caches, models, Java and Spark; where something is amiss, with a
    command that mends it. Exits with 1 only if something is broken that every run needs.

    \b
    Example:
        curate doctor
        curate doctor --json
    """
    from dataclasses import asdict

    from curation.commands.doctor import checks

    session.log()
    folder = "." if "://" in session.folder else session.folder
    found = [asdict(check) for check in (*checks(Path(folder).resolve()), _spark())]
    broken = sum(check["state"] == "broken" for check in found)
    session.show({"checks": found, "n_broken": broken}, examined)
    sys.exit(1 if broken else 0)


def _spark() -> Check:
    """Java, which Spark alone needs."""
    from curation.commands.doctor import Check

    fix = f"apt-get install -y {PACKAGE}"
    try:
        java = require_java()
    except EngineUnavailable as error:
        return Check("spark", "warning", f"--engine local works; {error}", fix)
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    return Check("spark", "ok", f"can start, with {said.splitlines()[0]} at {java}")


def examined(found: Tree) -> Iterator[str]:
    """A line a check, under it what mends it; then how many are well."""
    for check in found["checks"]:
        word = "" if check["state"] == "ok" else f"{check['state'].upper()}: "
        says = f"{word}{check['says']}"
        yield from packed(check["name"], says.split(", ") if check["name"] == "packages" else [says])
        if check["fix"]:
            yield line("", check["fix"])
    states = [check["state"] for check in found["checks"]]
    yield ""
    warned = f", {states.count('warning')} to look at" if "warning" in states else ""
    broken = f", {states.count('broken')} broken" if "broken" in states else ""
    yield f"{states.count('ok')} of {len(states)} are well{warned}{broken}"
