"""What several test files share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium, visit  # noqa: F401 - fixtures

# There is a worker for each core: further threads would only wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# JVMs of tests live for seconds, which the thorough compiler and the parallel collector only make longer.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The internal test data, which is not part of the project; CURATE_SHARED says where it lies."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CURATE_SHARED", beside))
    if not (folder / "mixture" / "mixture.json").is_file():
        pytest.skip(f"the internal test data is not at {folder} (CURATE_SHARED names another folder)")
    return folder


FAST = "not slow and not spark and not browser"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="every test, as CI runs them; without: the fast ones")


def pytest_configure(config: pytest.Config) -> None:
    """Plain `pytest` runs what is fast. Files and markers that are named run as they are named."""
    if hasattr(config, "workerinput"):
        config.option.markexpr = config.workerinput["markexpr"]
    elif config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.markexpr:
        config.option.markexpr = "" if config.option.all else FAST


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Workers of xdist are told files and options, but not what this file made of them."""
    node.workerinput["markexpr"] = node.config.option.markexpr


def pytest_report_header(config: pytest.Config) -> str:
    """Which tests these are."""
    return "the fast tests; `pytest --all` runs all" if config.option.markexpr == FAST else "tests as named"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without Java the tests marked spark are skipped, and the reason says which package brings it.

    Files that take long come first, so that no worker ends with one alone.
    """
    from jobs.java import require_java
    from schemas.errors import EngineUnavailable

    for marker in ("slow", "spark"):
        long = {item.path for item in items if item.get_closest_marker(marker)}
        items.sort(key=lambda item: item.path not in long)
    on_spark = [item for item in items if item.get_closest_marker("spark")]
    try:
        if on_spark:
            require_java()
    except EngineUnavailable as error:
        for item in on_spark:
            item.add_marker(pytest.mark.skip(reason=str(error)))
