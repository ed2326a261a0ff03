"""Strategies by one column that are given none: they take the best that is there, and say which."""

from __future__ import annotations

import polars as pl
import pytest

from curation.catalog import FIXED
from curation.selectors import selector
from curation.selectors.by_column import BEST
from curation.selectors.decision import decide, wanted
from schemas.errors import ConfigError, SchemaError

SPECS = ["top", "top-per-cluster", "ccs", "ccs@0", "d2", "d2@0.5"]


def rows(**columns: list[float | None]) -> pl.DataFrame:
    """Three rows with the columns, one a cluster, without near ones."""
    nothing = pl.Series([[], [], []], dtype=pl.List(pl.Struct({"uid": pl.Binary, "similarity": pl.Float32})))
    ids = [bytes([n]) * 16 for n in range(3)]
    return pl.DataFrame(
        {"uid": ids, "content_hash": ids, "cluster": [0, 1, 2], "neighbours": nothing, **columns}
    )


@pytest.mark.parametrize("spec", SPECS)
def test_the_best_column_is_taken_and_said(spec: str) -> None:
    table = rows(alignment=[3.0, 2.0, 1.0], synthetic_quality=[0.1, 0.3, 0.2])
    decision = decide(selector(spec), table, 3, 0)
    assert set(decision.scorers) == {"synthetic_quality"}
    assert all("no column was named: synthetic_quality" in why for why in decision.why)


def test_top_goes_by_it() -> None:
    table = rows(alignment=[3.0, 2.0, 1.0], synthetic_quality=[0.1, 0.3, 0.2])
    assert decide(selector("top"), table, 3, 0).order.tolist() == [1, 2, 0]
    judged = table.with_columns(judge_relevance=pl.Series([1.0, 2.0, 5.0]))
    assert decide(selector("top"), judged, 3, 0).order.tolist() == [2, 1, 0]


def test_a_column_that_most_rows_lack_is_passed_over_unless_there_is_no_other() -> None:
    rare = rows(visual_necessity=[None, None, 9.0], alignment=[1.0, 3.0, 2.0])
    assert set(decide(selector("top"), rare, 3, 0).scorers) == {"alignment"}
    assert set(decide(selector("top"), rare.drop("alignment"), 3, 0).scorers) == {"visual_necessity"}


def test_a_named_column_needs_no_reason() -> None:
    decision = decide(selector("top:alignment"), rows(alignment=[1.0, 3.0, 2.0]), 3, 0)
    assert (list(decision.scorers), list(decision.why)) == (["alignment"], [""])


@pytest.mark.parametrize("spec", SPECS)
def test_without_any_such_column_there_is_an_error_that_says_what_to_write(spec: str) -> None:
    with pytest.raises(SchemaError, match="name a column"):
        decide(selector(spec), rows(), 3, 0)


@pytest.mark.parametrize("spec", ["top:", "ccs:", "d2:", "top:-", "ccs:-@0.1"])
def test_an_empty_column_is_a_mistake_and_no_wish(spec: str) -> None:
    with pytest.raises(ConfigError, match="needs a column"):
        selector(spec)


def test_what_is_best_are_columns_that_scorers_write() -> None:
    assert set(BEST) <= FIXED
    assert set(BEST) <= set(wanted(selector("top")))
    assert wanted(selector("top:alignment")) == ("alignment",)
