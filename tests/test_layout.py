"""What is in the wheel, what is public, and which package may import which."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import curation
from curation import _demand_siblings

ROOT = Path(__file__).parent.parent
PACKAGES = {"schemas", "scorers", "clustering", "curation", "jobs"}
PUBLIC = [
    "ColumnScorer",
    "CurateError",
    "Encoder",
    "EncoderKind",
    "Engine",
    "ImageAt",
    "MapStage",
    "Reader",
    "Record",
    "Scorer",
    "Selector",
    "Source",
    "Span",
    "Workspace",
    "Writer",
]
LONGEST = 400


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_config_ships_exactly_the_five_packages() -> None:
    assert set(project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == PACKAGES


@pytest.mark.slow
def test_the_wheel_holds_exactly_the_five_packages(tmp_path: Path) -> None:
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    wheel = next(tmp_path.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == PACKAGES
    for shipped in ("model.safetensors", "open_clip_config.json", "tokenizer.json"):
        assert f"curation/models/builtin/tiny/{shipped}" in names
    assert {"curation/report/templates/page.html", "curation/report/templates/page.js"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]


def test_the_public_names_are_these() -> None:
    assert curation.__all__ == PUBLIC
    assert all(getattr(curation, name).__name__ == name for name in PUBLIC)
    with pytest.raises(AttributeError, match="Planner"):
        _ = curation.Planner


def test_importing_curation_is_cheap() -> None:
    heavy = ("numpy", "pyarrow", "pydantic", "torch")
    code = f"import sys, curation; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_another_package_of_our_name_is_named_in_one_sentence(tmp_path: Path) -> None:
    sentence = f"from {tmp_path}, but `import schemas` finds {ROOT / 'schemas'}"
    with pytest.raises(ImportError, match=re.escape(sentence)):
        _demand_siblings(tmp_path)


def test_a_shadowing_package_stops_the_import(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "__init__.py").touch()
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; import curation"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1].startswith("ImportError: curate needs its own package 'jobs'")


def test_no_module_grows_beyond_its_size() -> None:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}


def test_the_constraints_hold_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!-]+", line) for line in pinned)
    names = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in pinned}
    needed = [re.split(r"[<>=[]", line)[0] for line in project()["project"]["dependencies"]]
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in needed} <= names
