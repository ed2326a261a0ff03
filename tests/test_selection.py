"""Selectors: a contract that each one in the dict keeps, and the arithmetic of quotas and duplicates."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.selectors import SELECTORS, selector
from curation.selectors.apportion import apportion
from curation.selectors.decision import decide, wanted
from curation.selectors.order import random_keys
from schemas.errors import ConfigError, SchemaError
from scorers.taxonomy import CAPABILITY_COLUMNS, STYLE_COLUMNS

SPECS = {
    "balanced": ["balanced", "balanced@0.2"],
    "random": ["random"],
    "random-per-source": ["random-per-source"],
    "random-per-cluster": ["random-per-cluster"],
    "top": ["top:score", "top:-score", "top"],
    "top-per-cluster": ["top-per-cluster:score", "top-per-cluster:-score", "top-per-cluster"],
    "weighted": ["weighted:score*0.5+alignment"],
    "adapt": ["adapt", "adapt:score,alignment", "adapt:score@spread", "adapt:alignment@density"],
    "mmssr": ["mmssr", "mmssr@source", "mmssr:ocr,data*2.5"],
    "ccs": ["ccs:score", "ccs:-alignment@0.2", "ccs@0.2"],
    "gated": ["gated", "gated:score@0.2", "gated:-score"],
    "visnec": ["visnec"],
    "coincide": ["coincide", "coincide:0.5", "coincide@activation"],
    "d2": ["d2:score", "d2:-alignment@0.4", "d2"],
    "dbp": ["dbp", "dbp:0.5"],
    "kcenter": ["kcenter"],
    "maxmin": ["maxmin"],
    "facility": ["facility", "facility:image,text", "facility:text@stochastic"],
    "quality-diversity": ["quality-diversity:score", "quality-diversity:-alignment@0.9"],
    "less": ["less:val", "less:val@gradient"],
    "icons": ["icons:val", "icons:val@gradient"],
    "tive": ["tive", "tive:0"],
    "magic": ["magic"],
    "prism": ["prism", "prism:joint"],
    "datatailor": ["datatailor", "datatailor:score"],
    "scalselect": ["scalselect", "scalselect:image"],
}
ALL_SPECS = [spec for specs in SPECS.values() for spec in specs]
# Whose quotas or steps depend on the whole budget: a smaller one is no prefix.
WHOLE: tuple[str, ...] = (
    "adapt:score@spread",
    "adapt:alignment@density",
    "mmssr",
    "visnec",
    "coincide",
    "dbp",
    "quality-",
)
WHOLE += ("tive", "datatailor", "balanced")
PREFIX_SPECS = [spec for spec in ALL_SPECS if not spec.startswith(WHOLE) and "stochastic" not in spec]
CHANCE_SPECS = ["random", "gated", "random-per-source", "random-per-cluster", "adapt", "mmssr", "ccs:score"]
CHANCE_SPECS += ["facility:text@stochastic", "tive", "balanced"]

ROOT = Path(__file__).resolve().parents[1]
DIM = 8


def digest(*parts):
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()


def numbers(*parts):
    """A generator whose state follows from the parts."""
    return np.random.default_rng(int.from_bytes(digest(*parts)[:8]))


def unit_row(*parts):
    row = numbers(*parts).normal(size=DIM)
    return (row / np.linalg.norm(row)).astype(np.float32)


@cache
def table(n=97, clusters=7):
    """Scores with ties and nulls, unequal clusters, rows without a cluster, copies of one content."""
    rows = range(n)
    uids = [digest("uid", row) for row in rows]
    cluster = [None if row % 11 == 0 else (row * row) % clusters for row in rows]
    frame = {
        "uid": uids,
        "content_hash": [digest("content", row // 2) for row in rows],
        "cluster": pl.Series(cluster, dtype=pl.Int32),
        "score": pl.Series([None if row % 13 == 0 else row % 5 for row in rows], dtype=pl.Float32),
        "alignment": pl.Series([numbers("alignment", row).normal() for row in rows], dtype=pl.Float32),
        "answer_agreement": [None if row % 12 == 0 else numbers("agree", row).normal() for row in rows],
        "visual_necessity": [None if row % 7 == 0 else numbers("need", row).normal() for row in rows],
        "source": [None if row % 17 == 0 else "abc"[row % 3] for row in rows],
        "similarity": pl.Series(
            [0.5 + 0.4 * numbers("near", row).random() for row in rows], dtype=pl.Float32
        ),
        "influence:val@embedding": [numbers("aim", row).normal() for row in rows],
        "influence:val@gradient": [
            None if row % 9 == 0 else numbers("aim", row // 2).normal() for row in rows
        ],
        "influences:val@embedding": _influences(n, lost=0),
        "influences:val@gradient": _influences(n, lost=9),
        "gradient_norm": [None if row % 9 == 0 else 1 + numbers("norm", row).random() for row in rows],
        "task_similarity@gradient": [
            None if row % 9 == 0 else numbers("alike", row // 2).random() for row in rows
        ],
        "activation_vector": _vectors(
            [np.zeros(DIM) if row % 9 == 0 else unit_row("activation", row // 2) for row in range(n)]
        ),
        "bridging": [None if row % 7 == 0 else numbers("bridging", row // 2).random() for row in rows],
        "neuron": [None if row % 9 == 0 else row * row % 5 for row in rows],
        "n_tokens": [row % 8 * 20 + 3 for row in rows],
        "n_turns": [2 + row % 3 for row in rows],
        "centroid_distance": [None if c is None else 0.3 + c / 50 for c in cluster],
        "image_vector": _vectors(
            [np.zeros(DIM) if row % 10 == 3 else unit_row("image", row // 2) for row in rows]
        ),
        "text_vector": _vectors([unit_row("text", row // 3) for row in rows]),
        "neighbours": [
            [
                {"uid": uids[other], "similarity": 0.9 + other % 10 / 100}
                for other in (row - 1, row + 1)
                if 0 <= other < n
            ]
            for row in rows
        ],
    }
    for number, name in enumerate(CAPABILITY_COLUMNS):
        frame[name] = pl.Series(
            [float(max(numbers(name, row).integers(-3, 6), 0)) for row in rows], dtype=pl.Float32
        )
        if number == 2:
            frame[name] = pl.Series([None] * n, dtype=pl.Float32)
    for name in STYLE_COLUMNS[:6]:
        frame[name] = pl.Series([float(numbers(name, row).random() > 0.8) for row in rows], dtype=pl.Float32)
    schema = {"neighbours": pl.List(pl.Struct({"uid": pl.Binary, "similarity": pl.Float32}))}
    return pl.DataFrame(frame, schema_overrides=schema)


def _vectors(rows):
    return pl.Series(np.array(rows, np.float32).reshape(-1, DIM), dtype=pl.Array(pl.Float32, DIM))


def _influences(n, lost):
    """By task, with ties; NaN for every row that `lost` divides."""
    rows = [
        [np.nan] * 3 if lost and row % lost == 0 else numbers("aim", row // 2).integers(0, 9, 3) / 9
        for row in range(n)
    ]
    return pl.Series(np.array(rows).reshape(-1, 3), dtype=pl.Array(pl.Float64, 3))


def picked(spec, rows, n, seed=0):
    return rows["uid"].gather(selector(spec).select(rows, n, seed)).to_list()


def test_every_selector_of_the_dict_is_under_contract():
    assert set(SPECS) == set(SELECTORS)


@pytest.mark.parametrize("spec", ALL_SPECS)
@pytest.mark.parametrize("n", [0, 1, 6, 40, 97, 200])
def test_exactly_the_budget_or_all_candidates_are_picked_without_repeats(spec, n):
    picks = selector(spec).select(table(), n, 3)
    assert picks.dtype == np.int64
    assert len(picks) == min(n, 97) == len(set(picks.tolist()))


@pytest.mark.parametrize("spec", ALL_SPECS)
def test_an_empty_table_gives_no_picks(spec):
    assert len(selector(spec).select(table().clear(), 5, 0)) == 0


@pytest.mark.parametrize("spec", ALL_SPECS)
def test_the_order_of_the_rows_does_not_matter(spec):
    rows = table()
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=5)
    assert picked(spec, rows, 40) == picked(spec, shuffled, 40) == picked(spec, rows.reverse(), 40)


@pytest.mark.parametrize("spec", PREFIX_SPECS)
def test_a_smaller_budget_is_a_prefix(spec):
    assert picked(spec, table(), 60)[:23] == picked(spec, table(), 23)


@st.composite
def any_table(draw):
    """Any number of rows in any order, with clusters, sources and scores gone from some or all of them."""
    rows = table(60)
    chosen = draw(st.lists(st.integers(0, 59), unique=True, max_size=40))
    rows = rows[chosen]
    for column in draw(
        st.sets(st.sampled_from(["cluster", "source", "score", "alignment", "visual_necessity"]))
    ):
        lost = draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
        rows = rows.with_columns(
            pl.when(pl.Series(lost, dtype=pl.Boolean)).then(None).otherwise(pl.col(column)).alias(column)
        )
    return rows


@pytest.mark.parametrize("spec", ALL_SPECS)
@settings(max_examples=12, deadline=None)
@given(any_table(), st.integers(0, 45), st.integers(0, 5))
def test_any_table_gives_exactly_the_budget_for_any_order_of_its_rows(spec, rows, n, seed):
    picks = picked(spec, rows, n, seed)
    assert len(picks) == min(n, len(rows)) == len(set(picks))
    assert set(picks) <= set(rows["uid"].to_list())
    assert picked(spec, rows.sort("uid"), n, seed) == picks
    if spec in PREFIX_SPECS:
        assert picked(spec, rows, n // 2, seed) == picks[: n // 2]


@pytest.mark.parametrize("spec", ALL_SPECS)
def test_what_a_selector_explains_fits_its_picks(spec):
    rows = table()
    found = decide(selector(spec), rows, 30, 1)
    assert found.order.tolist() == selector(spec).select(rows, 30, 1).tolist()
    if found.score is not None:
        assert len(found.score) == len(rows)
        assert np.isfinite(found.score[found.order]).any()
    if found.stratum is not None:
        assert len(found.stratum) == len(rows)
        assert 0 <= found.stratum.min() <= found.stratum.max() < len(found.names)
        assert len(found.scorers) in (0, len(found.names))
        assert len(found.why) in (0, len(found.names))


@pytest.mark.parametrize("spec", ALL_SPECS)
def test_a_selector_reads_only_what_it_says_and_travels(spec):
    chosen = selector(spec)
    assert set(chosen.needs) <= set(wanted(chosen))
    assert pickle.loads(pickle.dumps(chosen)) == chosen
    rows = table()
    there = [name for name in wanted(chosen) if name in rows.columns]
    read = list(dict.fromkeys(["uid", "content_hash", "cluster", *there]))
    assert picked(spec, rows.select(read), 20) == picked(spec, rows, 20)
    for column in ("uid", "content_hash", *chosen.needs):
        with pytest.raises(SchemaError, match=f"has no column {column}"):
            chosen.select(table().drop(column), 5, 0)


@pytest.mark.slow
def test_picks_are_the_same_for_every_hash_seed():
    program = (
        "from tests.test_selection import ALL_SPECS, picked, table\n"
        "print([[uid.hex() for uid in picked(spec, table(), 30)] for spec in ALL_SPECS])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("spec", CHANCE_SPECS)
def test_another_seed_picks_others(spec):
    assert picked(spec, table(), 40, seed=1) != picked(spec, table(), 40, seed=2)


def test_random_picks_every_row_about_as_often():
    rows = table(50)
    counts = np.zeros(50)
    for seed in range(400):
        counts[selector("random").select(rows, 10, seed)] += 1
    # Binomial(400, 1/5): mean 80, standard deviation 8.
    assert abs(counts - 80).max() < 40


def test_random_keys_do_not_repeat_and_follow_from_uid_and_seed():
    uids = pl.Series([digest(row) for row in range(20_000)])
    keys = random_keys(uids, -1)
    assert len(np.unique(keys)) == len(uids)
    assert random_keys(uids[7:8], -1)[0] == keys[7]
    assert np.mean(keys >> np.uint64(63)) == pytest.approx(0.5, abs=0.02)


def test_a_uid_of_another_length_is_refused():
    with pytest.raises(SchemaError, match="16 bytes"):
        random_keys(pl.Series([b"short", b"x" * 16]), 0)


def test_top_takes_the_highest_and_nulls_and_nan_last():
    rows = table(6).with_columns(score=pl.Series([None, 1.0, float("nan"), 3.0, 2.0, -1.0]))
    assert selector("top:score").select(rows, 4, 0).tolist() == [3, 4, 1, 5]
    assert selector("top:-score").select(rows, 4, 0).tolist() == [5, 1, 4, 3]
    assert set(selector("top:score").select(rows, 6, 0)[4:].tolist()) == {0, 2}


def test_ties_go_to_the_smaller_content_hash_and_uid():
    rows = table(20).with_columns(score=pl.lit(1.0))
    expected = rows.sort("content_hash", "uid")["uid"].to_list()
    assert picked("top:score", rows, 20) == expected


@pytest.mark.parametrize("spec", ["random-per-cluster", "top-per-cluster:score"])
@pytest.mark.parametrize("n", [1, 5, 30, 77, 96])
def test_clusters_get_the_quotas_of_the_apportionment(spec, n):
    rows = table()
    sizes = rows.group_by("cluster").len()["len"].to_numpy()
    got = rows[selector(spec).select(rows, n, 0)].group_by("cluster").len()["len"].to_list()
    expected = [quota for quota in apportion(np.ones(len(sizes)), sizes, n).tolist() if quota]
    assert sorted(got) == sorted(expected)


def test_top_per_cluster_takes_the_best_of_each():
    rows = table(6).with_columns(
        cluster=pl.Series([0, 0, 0, 1, 1, 1], dtype=pl.Int32), score=pl.Series([1.0, 5.0, 3.0, 9.0, 8.0, 7.0])
    )
    assert selector("top-per-cluster:score").select(rows, 4, 0).tolist() == [3, 1, 4, 2]


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("best", "there is no selection strategy 'best'; there are adapt, balanced, ccs, coincide"),
        ("random:3", "random takes no argument"),
        ("top:", "top needs a column"),
        ("top:-", "top needs a column"),
        ("top-per-cluster:", "top-per-cluster needs a column"),
    ],
)
def test_a_wrong_spec_says_what_to_write(spec, sentence):
    with pytest.raises(ConfigError, match=sentence):
        selector(spec)


def test_an_absent_column_is_named_with_those_that_exist():
    with pytest.raises(SchemaError, match="no column clarity; it has uid, content_hash, cluster, score"):
        selector("top:clarity").select(table(), 3, 0)


groups = st.lists(
    st.tuples(st.one_of(st.integers(0, 20), st.floats(0, 5, width=32)), st.integers(0, 15)), max_size=12
)


@given(groups, st.integers(0, 200))
def test_quotas_sum_to_the_total_and_respect_the_caps(pairs, total):
    weights, caps = [w for w, _ in pairs], np.array([c for _, c in pairs], np.int64)
    quotas = apportion(np.array(weights, object) if pairs else [], caps, total)
    assert quotas.dtype == np.int64
    assert quotas.sum() == min(total, caps.sum())
    assert (quotas <= caps).all()
    assert (quotas >= 0).all()


@given(groups, st.integers(0, 200))
def test_no_quota_is_a_whole_one_away_from_the_water_filled_share(pairs, total):
    pairs = [(Fraction(w), c) for w, c in pairs if w > 0]
    quotas = apportion(np.array([w for w, _ in pairs], object), [c for _, c in pairs], total)
    for quota, share in zip(quotas.tolist(), shares_by_raising_the_level(pairs, total), strict=True):
        assert abs(quota - share) < 1


def shares_by_raising_the_level(pairs, total):
    """min(cap, level * weight) with the level at which they sum to the total: the definition."""
    left = Fraction(min(total, sum(cap for _, cap in pairs)))
    shares, open_groups = [Fraction(0)] * len(pairs), [i for i, (_, cap) in enumerate(pairs) if cap]
    while open_groups and left:
        weight = sum(pairs[i][0] for i in open_groups)
        step = min(left / weight, *((pairs[i][1] - shares[i]) / pairs[i][0] for i in open_groups))
        for i in open_groups:
            shares[i] += step * pairs[i][0]
        left -= step * weight
        open_groups = [i for i in open_groups if shares[i] < pairs[i][1]]
    return shares


def test_equal_remainders_go_to_the_smaller_index():
    assert apportion([1, 1, 1], [9, 9, 9], 5).tolist() == [2, 2, 1]
    assert apportion([0.1, 0.2, 0.7], [1, 9, 9], 10).tolist() == [1, 2, 7]
    assert apportion([0, 1], [5, 2], 4).tolist() == [2, 2]


def test_quotas_refuse_what_is_negative_or_not_finite():
    for weights in ([-1.0], [float("nan")], [float("inf")]):
        with pytest.raises(ValueError, match="weight"):
            apportion(weights, [1], 1)


@settings(max_examples=20)
@given(st.integers(0, 2**70), st.integers(1, 60))
def test_any_seed_is_accepted(seed, n):
    assert len(picked("random", table(), n, seed)) == n
