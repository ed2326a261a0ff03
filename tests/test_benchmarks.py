"""The page of benchmarks is what its JSON says, and the gate judges by its bounds."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.__main__ import NAMES, about
from benchmarks.bounds import BOUNDS, missed
from benchmarks.page import page

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_is_what_its_json_says() -> None:
    results = json.loads((DOCS / "benchmarks.json").read_text(encoding="utf-8"))
    written = page(results, {name: about(name) for name in NAMES})
    assert (DOCS / "benchmarks.md").read_text(encoding="utf-8") == written, (
        "python -m benchmarks --from-json --write docs/benchmarks.md"
    )


def test_a_ratio_beyond_its_bound_or_not_measured_is_missed() -> None:
    assert {*BOUNDS} <= {*NAMES}
    figure = "builtin.ratio_vs_plain_loop"
    assert not missed({"name": "embed", "figures": {figure: 1.5}})
    assert missed({"name": "embed", "figures": {figure: 1.4}}) == [f"embed {figure} 1.400, at least 1.5"]
    assert missed({"name": "embed", "figures": {}}) == [f"embed {figure} was not measured"]
    assert not missed({"name": "ingest", "figures": {}})
