"""Without Java the notebook about Spark is skipped, and the reason says how to get it."""

from __future__ import annotations

import pytest

from jobs.java import require_java
from schemas.errors import EngineUnavailable

ON_SPARK = "cluster.ipynb"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs Java where there is none."""
    try:
        require_java()
    except EngineUnavailable as error:
        for item in items:
            if item.path.name == ON_SPARK:
                item.add_marker(pytest.mark.skip(reason=str(error)))
