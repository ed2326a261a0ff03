"""Mixtures: shares of groups with any strategy inside them, and the gate."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.selectors import BELOW_CHANCE, selector
from curation.selectors.apportion import apportion
from curation.selectors.decision import decide
from curation.selectors.mixed import Mix, Mixed
from schemas.errors import ConfigError
from scorers.taxonomy import CAPABILITIES, CAPABILITY_COLUMNS, STYLE_COLUMNS
from tests import test_selection

SIZES = {"a": 100, "b": 25, "c": 4}


def table(sizes: dict[str, int] = SIZES) -> pl.DataFrame:
    sources = [name for name, n in sizes.items() for _ in range(n)]
    uids = [hashlib.blake2b(f"{n}".encode(), digest_size=16).digest() for n in range(len(sources))]
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "uid": uids,
            "content_hash": uids,
            "source": sources,
            "cluster": [n % 3 for n in range(len(sources))],
            "alignment": rng.normal(size=len(sources)),
        }
    )


def picked(strategy: str, mix: str, n: int, rows: pl.DataFrame | None = None) -> pl.DataFrame:
    rows = table() if rows is None else rows
    return rows[Mixed(selector(strategy), Mix.parse(mix)).select(rows, n, 3)]


def counted(rows: pl.DataFrame, column: str = "source") -> dict[str, int]:
    return dict(rows.group_by(column).len().sort(column).iter_rows())


@pytest.mark.parametrize(
    ("mix", "shares"),
    [
        ("sqrt", {"a": 20, "b": 10, "c": 4}),
        ("uniform", {"a": 15, "b": 15, "c": 4}),
        ("proportional", {"a": 26, "b": 7, "c": 1}),
        ("power=0.5", {"a": 20, "b": 10, "c": 4}),
        ("a=1,b=3", {"a": 9, "b": 25}),
        ("source:c=1", {"a": 15, "b": 15, "c": 4}),
        ("cluster:uniform", None),
    ],
)
@pytest.mark.parametrize("strategy", ["random", "top:alignment", "adapt:alignment"])
def test_groups_get_their_shares_and_what_one_has_not_goes_to_the_others(
    strategy: str, mix: str, shares: dict[str, int] | None
) -> None:
    rows = picked(strategy, mix, 34)
    assert len(rows) == 34 == rows["uid"].n_unique()
    if shares is None:
        assert set(counted(rows, "cluster").values()) <= {11, 12}
    else:
        assert counted(rows) == shares


@settings(deadline=None)
@given(st.integers(0, 140), st.sampled_from(["sqrt", "uniform", "proportional"]))
def test_every_budget_is_met_by_the_shares_of_water_filling(n: int, mix: str) -> None:
    rows = picked("random", mix, n)
    sizes = np.array(list(SIZES.values()))
    quotas = apportion(Mix.parse(mix).weights(list(SIZES), sizes), sizes, min(n, len(table())))
    assert counted(rows) == {name: quota for name, quota in zip(SIZES, quotas.tolist(), strict=True) if quota}


def rated(highest: list[str | None]) -> pl.DataFrame:
    """A row each: 4 points in the capability or style that is named, 1 in all others; null for None."""
    column = {**dict(zip(CAPABILITIES, CAPABILITY_COLUMNS, strict=True)), "yes/no": "style_yes_no"}
    scores = {
        name: [None if high is None else 4.0 if column.get(high) == name else 1.0 for high in highest]
        for name in CAPABILITY_COLUMNS
    }
    styles = {
        name: [None if high is None else float(column.get(high) == name) for high in highest]
        for name in STYLE_COLUMNS
    }
    schema = dict.fromkeys((*scores, *styles), pl.Float32)
    return table({"a": len(highest)}).with_columns(pl.DataFrame({**scores, **styles}, schema=schema))


def test_groups_are_what_a_sample_is_most_of() -> None:
    ocr, data = "optical character recognition", "data understanding"
    rows = rated([ocr] * 60 + [data] * 20 + [None] * 4)
    found = picked("random", "capability:uniform", 24, rows)
    assert found.select(pl.col("cap_optical_character_recognition") == 4).sum().item() == 10
    assert found["cap_data_understanding"].null_count() == 4
    assert (
        len(
            picked("random", "capability:ocr=3,data=1", 20, rows).filter(
                pl.col("cap_data_understanding") == 4
            )
        )
        == 5
    )
    styles = rated(["yes/no"] * 60 + [None] * 20)
    assert picked("random", "style:uniform", 20, styles)["style_yes_no"].sum() == 10
    assert picked("random", "style:yes/no=1", 60, styles)["style_yes_no"].sum() == 60


@pytest.mark.parametrize("mix", ["capability:sqrt", "style:uniform"])
@pytest.mark.parametrize("spec", [specs[0] for specs in test_selection.SPECS.values()])
def test_any_strategy_chooses_inside_groups_of_skills(spec: str, mix: str) -> None:
    rows = test_selection.table()
    rows = rows.with_columns(pl.lit(0.0).alias(name) for name in STYLE_COLUMNS if name not in rows.columns)
    mixed = Mixed(selector(spec), Mix.parse(mix))
    chosen = rows[mixed.select(rows, 40, 3)]
    assert len(chosen) == 40 == chosen["uid"].n_unique()
    groups, names = mixed.mix.groups(rows)
    weights = mixed.mix.weights(names, np.bincount(groups))
    quotas = apportion(weights, np.bincount(groups), 40).tolist()
    there, numbers = mixed.mix.groups(chosen)[::-1]
    assert dict(zip(there, np.bincount(numbers).tolist(), strict=True)) == {
        name: quota for name, quota in zip(names, quotas, strict=True) if quota
    }


def test_a_share_for_no_capability_names_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match="no one capability 'nosuch'; there are"):
        Mix.parse("capability:nosuch=1")


def test_every_beginning_of_an_order_holds_the_shares() -> None:
    rows = picked("random", "sqrt", 129)
    for n in range(1, 35):
        found = counted(rows[:n])
        for name, weight in {"a": 10, "b": 5, "c": 2}.items():
            assert abs(found.get(name, 0) - n * weight / 17) <= 1.5


def test_inside_a_group_the_strategy_decides() -> None:
    rows = picked("top:alignment", "sqrt", 34)
    whole = table()
    for name, n in {"a": 20, "b": 10, "c": 4}.items():
        best = whole.filter(pl.col("source") == name).sort("alignment", descending=True)[:n]
        assert set(rows.filter(pl.col("source") == name)["uid"]) == set(best["uid"])


def test_the_order_of_the_rows_has_no_influence() -> None:
    first = picked("gated", "sqrt", 50)
    shuffled = table().sample(fraction=1, shuffle=True, seed=1)
    assert picked("gated", "sqrt", 50, shuffled)["uid"].to_list() == first["uid"].to_list()


def test_strata_say_of_which_group_they_are() -> None:
    rows = table()
    found = decide(Mixed(selector("adapt:alignment"), Mix.parse("sqrt")), rows, 30, 0)
    assert found.stratum is not None
    named = [found.names[number] for number in found.stratum]
    assert all(
        name.startswith(f"source {source}, ") for name, source in zip(named, rows["source"], strict=True)
    )


def test_shares_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mix.json").write_text(json.dumps({"a": 0.25, "b": 0.75}))
    assert counted(picked("random", f"@{tmp_path / 'mix.json'}", 20)) == {"a": 5, "b": 15}


@pytest.mark.parametrize("text", ["", "squareroot", "a=", "source:", "a=-1", "a=nan,b=1", "@/nowhere", "=1"])
def test_what_is_no_mixture_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--mix"):
        Mix.parse(text)


def test_a_share_for_nobody_names_who_there_is() -> None:
    with pytest.raises(ConfigError, match=r"--mix names source d; there are a, b, c"):
        picked("random", "d=1", 3)


def test_the_gate_leaves_the_lowest_half_to_the_end() -> None:
    rows = table({"a": 60}).with_columns(
        pl.when(pl.int_range(60) < 40).then(pl.col("alignment")).otherwise(None).alias("alignment")
    )
    order = rows[selector("gated").select(rows, 60, 0)]
    valued = rows["alignment"].drop_nulls().sort()
    assert order["alignment"][40:].to_list() == valued[:20].reverse().to_list()
    assert order["alignment"][:40].null_count() == 20
    assert (order["alignment"][:40].drop_nulls() >= valued[20]).all()


def test_what_trained_worse_than_chance_is_a_strategy_that_there_is() -> None:
    assert {selector(name).name for name in BELOW_CHANCE} == BELOW_CHANCE
