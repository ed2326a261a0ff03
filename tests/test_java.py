"""Java is found, too old or missing, and installed only where it is missing. No test reaches apt-get."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from jobs.java import find_java, install_java, require_java
from schemas.errors import EngineUnavailable

if TYPE_CHECKING:
    from pathlib import Path


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def java(home: Path, version: str) -> Path:
    return script(home / "bin" / "java", f"echo 'openjdk version \"{version}\"' >&2")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty PATH, root, and an apt-get that takes down its words and installs a fake."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    package = java(tmp_path / "package", "17.0.1")
    install = f'case "$*" in *openjdk-17*) /bin/cp {package} {tmp_path}/bin/java;; esac'
    script(tmp_path / "bin" / "apt-get", f'echo "$@" >> {tmp_path}/apt\n{install}')
    return tmp_path


@pytest.mark.parametrize("version", ["17.0.15", "21", "25.0.1"])
def test_java_of_java_home_wins(machine: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    java(machine, "11.0.2")
    wanted = java(machine / "home", version)
    monkeypatch.setenv("JAVA_HOME", str(machine / "home"))
    assert require_java() == wanted


@pytest.mark.parametrize("version", ["1.8.0_392", "11.0.22"])
def test_an_old_java_is_refused_by_its_version(machine: Path, version: str) -> None:
    java(machine, version)
    with pytest.raises(EngineUnavailable, match=r"17 or newer.* is (8|11); .*openjdk-17-jre-headless"):
        require_java()


def test_a_missing_java_names_the_package(machine: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"none on PATH; .*apt-get install openjdk-17-jre-headless"):
        require_java()


def test_it_is_installed_where_it_is_missing(machine: Path) -> None:
    assert install_java() == f"Java was installed at {machine / 'bin' / 'java'}."
    assert (machine / "apt").read_text().splitlines() == [
        "-qq -y --no-install-recommends --no-upgrade update",
        "-qq -y --no-install-recommends --no-upgrade install openjdk-17-jre-headless",
    ]


def test_nothing_is_installed_where_java_is(machine: Path) -> None:
    java(machine, "17.0.15")
    assert install_java() == f"Java is at {machine / 'bin' / 'java'}."
    assert not (machine / "apt").exists()


def test_a_wrong_java_home_is_named_and_nothing_installed(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(machine / "nowhere"))
    assert find_java() is None
    assert f"JAVA_HOME is {machine / 'nowhere'}" in install_java()
    assert not (machine / "apt").exists()


def test_only_root_installs(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "openjdk-17-jre-headless" in install_java()
    assert not (machine / "apt").exists()
