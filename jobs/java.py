"""Java, which Spark runs on: finds it, checks its version, and says how to get it.

`python -m jobs.java --install` installs it where there is none and it may (Debian and its kin, as root), and
says so where it may not. It upgrades nothing, and leaves a wrong JAVA_HOME to its owner.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import click

from schemas.errors import EngineUnavailable

OLDEST = 17  # that Spark 4 runs on
PACKAGE = "openjdk-17-jre-headless"
NEWER = "default-jre-headless"  # where a distribution has left 17 behind
REMEDY = f"install it with `apt-get install {PACKAGE}` (or {NEWER}), or set JAVA_HOME to one that you have"
SKIPPED = "Without it the tests marked spark are skipped."


def find_java() -> Path | None:
    """`java` of JAVA_HOME if that is set, else of PATH; None if there is none."""
    home = os.environ.get("JAVA_HOME")
    if home:
        java = Path(home) / "bin" / "java"
        return java if java.is_file() else None
    found = shutil.which("java")
    return Path(found) if found else None


def require_java() -> Path:
    """The `java` that Spark will start.

    Raises:
        EngineUnavailable: there is none, or it is too old.
    """
    java = find_java()
    if java is None:
        home = os.environ.get("JAVA_HOME")
        where = f"JAVA_HOME is {home}, where there is no bin/java" if home else "there is none on PATH"
        raise EngineUnavailable(f"Spark needs Java {OLDEST} or newer, and {where}; {REMEDY}")
    version = _version(java)
    if version < OLDEST:
        raise EngineUnavailable(f"Spark needs Java {OLDEST} or newer, and {java} is {version}; {REMEDY}")
    return java


def _version(java: Path) -> int:
    """17 of `openjdk version "17.0.15"`, 8 of `java version "1.8.0_392"`, 0 where it says neither."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    except OSError:
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(match.group(1)) if match else 0


def install_java() -> str:
    """Install Java where it is missing and this may be done. Returns a sentence that says what was done."""
    try:
        return f"Java is at {require_java()}."
    except EngineUnavailable as error:
        # With JAVA_HOME set, a package would change nothing for Spark and something for the machine.
        if os.environ.get("JAVA_HOME") or os.geteuid() != 0 or shutil.which("apt-get") is None:
            return f"{error}. {SKIPPED}"
    apt("update")
    if apt("install", PACKAGE) != 0 and apt("install", NEWER) != 0:
        return f"apt-get could not install Java: {REMEDY}. {SKIPPED}"
    return f"Java was installed at {find_java()}."


def apt(*words: str) -> int:
    """Run apt-get, which asks nothing; returns its exit code."""
    command = ["apt-get", "-qq", "-y", "--no-install-recommends", "--no-upgrade", *words]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, env=quiet, check=False, stdout=subprocess.DEVNULL).returncode


@click.command()
@click.option("--install", is_flag=True, help="Install it where it is missing and this may be done.")
def main(*, install: bool) -> None:
    """Say which Java Spark will use."""
    if install:
        click.echo(install_java())
        return
    try:
        click.echo(require_java())
    except EngineUnavailable as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
