"""What several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The internal test data, which is not part of the project; CURATE_SHARED says where it lies."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CURATE_SHARED", beside))
    if not (folder / "mixture" / "mixture.json").is_file():
        pytest.skip(f"the internal test data is not at {folder} (CURATE_SHARED names another folder)")
    return folder


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes seconds; deselect with -m 'not slow'")
