"""Selectors against what they promise: by exhaustive search, by the plain loop, by the definition."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clustering.vectors import unit
from curation.selectors import selector
from curation.selectors.adapt import choose
from curation.selectors.apportion import nearest, whole_shares
from curation.selectors.coincide import kernel, kernel_sums, matching
from curation.selectors.cover import Coverage, lazy, stochastic
from curation.selectors.datatailor import representativeness, uniqueness
from curation.selectors.decision import decide
from curation.selectors.entropies import BINS, REACH, entropies
from curation.selectors.farthest import farthest_first, middle
from curation.selectors.grid import joint_vectors
from curation.selectors.less import influence, influences, spec_with
from curation.selectors.mmssr import capability
from curation.selectors.order import groups_of
from curation.selectors.prism import correlation
from curation.selectors.scalselect import leverage
from curation.selectors.scalselect import standardised as standardised_rows
from curation.selectors.similar import similar
from curation.selectors.strata import coverage_order, equal_width, percentiles
from curation.selectors.tive import similarity_to_task, sums_of_tasks
from schemas.errors import ConfigError
from schemas.grid import on_grid
from scorers.taxonomy import CAPABILITY_COLUMNS
from tests.test_selection import table

seeds = st.integers(0, 2**32)


def rows_of(seed, n, d=5):
    """Unit rows on the grid, some of them copies."""
    rng = np.random.default_rng(seed)
    rows = unit(rng.normal(size=(n, d)))
    rows[n - n // 5 :] = rows[: n // 5]
    return on_grid(rows)


# --- vectors ---------------------------------------------------------------------------------------------


def test_products_on_the_grid_are_exact_for_any_cut():
    rows = on_grid(unit(np.random.default_rng(0).normal(size=(300, 512))))
    exact = rows.astype(np.float64) @ rows.astype(np.float64).T
    assert (rows @ rows.T == exact).all()
    pieces = np.concatenate([rows[at : at + 7] @ rows.T for at in range(0, 300, 7)])
    assert (pieces == exact).all()
    assert (rows[:, ::-1] @ rows[:, ::-1].T == exact).all()


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(2, 60), st.integers(1, 60))
def test_farthest_first_is_the_plain_loop(seed, n, k):
    rows, k = rows_of(seed, n), min(k, n)
    order, similarity = farthest_first(rows, k, middle(rows))
    expected, closest = [middle(rows)], rows @ rows[middle(rows)]
    while len(expected) < k:
        free = np.where(np.isin(np.arange(n), expected), np.inf, closest)
        expected.append(int(free.argmin()))
        closest = np.maximum(closest, rows @ rows[expected[-1]])
    assert order.tolist() == expected
    assert similarity[0] == -np.inf
    assert (np.diff(similarity) >= 0).all()


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(3, 9), st.integers(1, 3))
def test_kcenter_is_within_twice_the_optimum(seed, n, k):
    rows = rows_of(seed, n)
    distance = np.sqrt(np.maximum(((rows[:, None] - rows[None]) ** 2).sum(axis=2), 0))
    picks, _ = farthest_first(rows, k, middle(rows))
    radius = distance[:, picks].min(axis=1).max()
    best = min(distance[:, list(some)].min(axis=1).max() for some in itertools.combinations(range(n), k))
    assert radius <= 2 * best + 1e-3  # the rows are of length 1 up to the grid only


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(3, 9), st.integers(2, 3))
def test_maxmin_is_within_half_of_the_optimum(seed, n, k):
    rows = rows_of(seed, n)
    start = int((rows @ rows[middle(rows)]).argmin())
    picks, _ = farthest_first(rows, k, start)
    distance = np.sqrt(np.maximum(((rows[:, None] - rows[None]) ** 2).sum(axis=2), 0))

    def least(some):
        return min(distance[a, b] for a, b in itertools.combinations(some, 2))

    best = max(least(some) for some in itertools.combinations(range(n), k))
    assert least(picks.tolist()) >= best / 2 - 1e-3


def covered(similarity, picks):
    return similarity[:, list(picks)].max(axis=1).sum() if len(picks) else 0.0


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(2, 30), st.integers(1, 30))
def test_lazy_greedy_is_naive_greedy(seed, n, k):
    rows, k = rows_of(seed, n), min(k, n)
    full = np.maximum((rows @ rows.T).astype(np.float64), 0.0)
    order, added = lazy(Coverage([similar(rows, np.zeros(n, np.int64), k=n)]), k)
    picks: list[int] = []
    for _ in range(k):
        gains = [
            covered(full, [*picks, j]) - covered(full, picks) if j not in picks else -1.0 for j in range(n)
        ]
        picks.append(int(np.argmax(gains)))
        assert added[len(picks) - 1] == max(gains)
    assert order.tolist() == picks


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(2, 9), st.integers(1, 4))
def test_facility_reaches_its_share_of_the_optimum(seed, n, k):
    rows, k = rows_of(seed, n), min(k, n)
    full = np.maximum((rows @ rows.T).astype(np.float64), 0.0)
    order, _ = lazy(Coverage([similar(rows, np.zeros(n, np.int64), k=n)]), k)
    best = max(covered(full, some) for some in itertools.combinations(range(n), k))
    assert covered(full, order.tolist()) >= (1 - 1 / np.e) * best


def test_stochastic_greedy_comes_near_the_exact_one():
    rows = rows_of(3, 200, d=8)
    full = np.maximum((rows @ rows.T).astype(np.float64), 0.0)
    lists = similar(rows, np.zeros(200, np.int64), k=200)
    exact, _ = lazy(Coverage([lists]), 20)
    rng = np.random.default_rng(0)
    drawn, _ = stochastic(Coverage([lists]), 20, lambda size: rng.integers(0, 200, size))
    assert len(set(drawn.tolist())) == 20
    assert covered(full, drawn) >= 0.97 * covered(full, exact)


def test_neighbours_are_found_around_the_own_cluster():
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(20, 16))
    clusters = rng.integers(0, 20, 2000)
    rows = on_grid(unit(centres[clusters] + 0.3 * rng.normal(size=(2000, 16))))
    found = similar(rows, clusters, k=10, reach=300)
    exact = similar(rows, clusters, k=10, reach=2000)
    hits = [len(set(a) & set(b)) for a, b in zip(found.rows.tolist(), exact.rows.tolist(), strict=True)]
    assert np.mean(hits) > 9.5
    assert (found.gain >= 0).all()


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(1, 25), st.integers(1, 25))
def test_coincide_picks_what_recomputing_everything_picks(seed, n, k):
    rows, k = rows_of(seed, n), min(k, n)
    full = kernel(rows, rows)
    picks: list[int] = []
    for _ in range(k):
        values = []
        for x in range(n):
            some = [*picks, x]
            mean = full.mean() - 2 * full[some].mean() + full[np.ix_(some, some)].mean()
            values.append(np.inf if x in picks else mean)
        # Rows as good as the best: rounding decides between them.
        best = np.flatnonzero(np.array(values) <= min(values) + 1e-9)
        mine = int(matching(rows, kernel_sums(rows), len(picks) + 1)[-1])
        assert mine in best
        picks.append(mine)
    assert matching(rows, kernel_sums(rows), k).tolist() == picks


# --- adapt -----------------------------------------------------------------------------------------------


def plain_entropy(values):
    """The definition, one group."""
    if values.std() <= np.abs(values).max() * 1e-12:
        return 0.0
    z = np.clip((values - values.mean()) / values.std(), -REACH, REACH)
    share = np.histogram(z, BINS, (-REACH, REACH))[0] / len(z)
    return -sum(p * np.log2(p) for p in share if p)


@given(seeds, st.integers(1, 400))
def test_entropies_are_those_of_the_definition(seed, n):
    rng = np.random.default_rng(seed)
    groups, values = rng.integers(0, 4, n), rng.gamma(2, 3, n)
    found = entropies(groups, values, 4)
    for group in range(4):
        held = values[groups == group]
        assert found[group] == pytest.approx(plain_entropy(held) if len(held) else 0.0, abs=1e-9)


@given(seeds, st.floats(1e-6, 1e6), st.floats(-1e3, 1e3))
def test_entropies_do_not_depend_on_the_unit_of_a_score(seed, scale, offset):
    rng = np.random.default_rng(seed)
    groups, values = rng.integers(0, 5, 300), rng.normal(size=300) ** 3
    before = entropies(groups, values, 5)
    after = entropies(groups, values * scale + offset * scale, 5)
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-9)


@given(seeds, st.floats(1e-3, 1e3), st.floats(-1e2, 1e2))
def test_the_choice_of_a_score_does_not_depend_on_units(seed, scale, offset):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 6, 500)
    scores = [rng.normal(size=500), rng.exponential(size=500), rng.integers(0, 4, 500).astype(float)]
    before = np.stack([entropies(groups, score, 6) for score in scores])
    after = np.stack([entropies(groups, score * scale + offset, 6) for score in scores])
    ordered = np.sort(before, axis=0)
    clear = ordered[-1] - ordered[-2] > 1e-6
    assert (choose(before) == choose(after))[clear].all()


def test_a_score_that_is_mostly_absent_does_not_win():
    values = np.random.default_rng(0).normal(size=1000)
    half = np.where(np.arange(1000) % 2, values, np.nan)
    groups = np.zeros(1000, np.int64)
    assert entropies(groups, half, 1)[0] < 0.6 * entropies(groups, values, 1)[0]


def sampled(values, n, seed=0):
    groups = np.zeros(len(values), np.int64)
    low, high = percentiles(groups, values, 1, 0.05, 0.95)
    order = np.random.default_rng(seed).permutation(len(values))
    return coverage_order(groups, equal_width(groups, values, low, high), order)[:n]


@settings(deadline=None)
@given(seeds, st.integers(1, 300), st.data())
def test_the_sampler_gives_any_number_it_is_asked_for(seed, n, data):
    values = np.random.default_rng(seed).normal(size=n)
    budget = data.draw(st.integers(1, n))
    picks = sampled(values, budget, seed)
    assert len(picks) == budget == len(set(picks.tolist()))


def test_the_sampler_meets_the_totals_that_the_published_one_misses():
    values = np.random.default_rng(0).normal(size=5000)
    for budget in (25, 60, 4000):  # the published code returns 50, 100 and 3698
        assert len(sampled(values, budget)) == budget
    low, high = np.quantile(values, [0.05, 0.95]).tolist()
    bins = np.histogram(values[sampled(values, 500)], 50, (low, high))[0]
    # numpy interpolates the percentiles, so its bins are not quite the same.
    assert 7 <= bins.min() <= bins.max() <= 13


def test_the_tails_come_last():
    values = np.arange(100.0)
    picks = sampled(values, 100).tolist()
    assert set(picks[:90]) <= set(range(4, 96))
    assert set(range(4)) | set(range(96, 100)) == set(picks[-8:])


def test_each_cluster_says_which_score_it_chose_and_why():
    rows = table()
    found = decide(selector("adapt:score,alignment"), rows, 30, 0)
    assert set(found.scorers) <= {"score", "alignment"}
    assert all(line.startswith("entropy in bits: ") for line in found.why)
    assert found.stratum is not None
    per_cluster = np.bincount(found.stratum[found.order])
    assert per_cluster.max() - per_cluster.min() <= 1 or per_cluster.min() == np.bincount(found.stratum).min()


def test_adapt_uses_the_scores_of_a_vlm_where_they_are():
    rows = table().with_columns(nll=pl.col("alignment"), el2n=pl.col("alignment") ** 2)
    assert set(decide(selector("adapt"), rows, 30, 0).scorers) <= {"nll", "el2n"}


# --- the others ------------------------------------------------------------------------------------------


def test_a_capability_takes_the_best_of_each_style_smallest_first():
    cap = "cap_data_understanding"
    rows = (
        table(8)
        .select("uid", "content_hash", "cluster")
        .with_columns(
            pl.Series(cap, [5.0, 4.0, 3.0, 2.0, 1.0, 9.0, 0.0, None]),
            style_yes_no=pl.Series([1.0, 1, 1, 1, 1, 0, 0, 0]),
            style_coordinate=pl.Series([0.0, 0, 0, 0, 1, 1, 0, 0]),
        )
    )
    spec = selector(f"mmssr:{cap}")
    # Row 4 has both styles and counts in the rarer one, with row 5.
    assert set(spec.select(rows, 4, 0).tolist()) == {0, 1, 4, 5}
    assert set(spec.select(rows, 6, 0).tolist()) == {0, 1, 2, 3, 4, 5}
    assert set(spec.select(rows, 8, 0).tolist()[6:]) == {6, 7}


def test_a_cluster_that_no_capability_came_to_gives_its_best():
    n = 400
    rng = np.random.default_rng(0)
    scores = rng.random((n, len(CAPABILITY_COLUMNS))).astype(np.float32) + 1
    cluster = rng.integers(0, 5, n)
    cluster[:9] = [5, 5, 5, 6, 6, 7, -1, -1, -1]  # rows that score low: nobody comes to them
    scores[:9] /= 10
    scores[5] = 0
    best = [int(scores[:3].max(axis=1).argmax()), 3 + int(scores[3:5].max(axis=1).argmax()), 5]
    rows = table(n).with_columns(
        cluster=pl.Series([None if c < 0 else int(c) for c in cluster], dtype=pl.Int32),
        **{name: pl.Series(scores[:, i]) for i, name in enumerate(CAPABILITY_COLUMNS)},
    )
    found = decide(selector("mmssr"), rows, 40, 0)
    assert set(found.order.tolist()) & set(range(9)) == set(best)
    assert found.stratum is not None
    by = dict(zip(found.order.tolist(), found.stratum[found.order].tolist(), strict=True))
    assert [found.scorers[by[row]] for row in best[:2]] == [
        CAPABILITY_COLUMNS[int(scores[row].argmax())] for row in best[:2]
    ]
    assert not found.scorers[by[5]]
    # Of fewer picks than clusters none gives way where it is the only one of its cluster.
    few = cluster[decide(selector("mmssr"), rows, 6, 0).order]
    assert len(set(few.tolist())) == 6
    # Who names a capability gets it.
    named = decide(selector("mmssr:humanities"), rows, 40, 0).order
    assert not set(named.tolist()) & set(range(9))


def test_weights_share_the_budget_between_capabilities():
    n = 600
    rng = np.random.default_rng(0)
    rows = table(n).with_columns(
        *(pl.Series(name, rng.random(n) + 0.1) for name in ("cap_humanities", "cap_stem_knowledge"))
    )
    found = decide(selector("mmssr:humanities*3,stem"), rows, 100, 0)
    assert found.stratum is not None
    by = [found.scorers[stratum] for stratum in found.stratum[found.order].tolist()]
    assert by.count("cap_humanities") == 75
    assert by.count("cap_stem_knowledge") == 25


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("ocr", "cap_optical_character_recognition"),
        ("data", "cap_data_understanding"),
        ("fine-grained recognition", "cap_fine_grained_recognition"),
        ("cap_humanities", "cap_humanities"),
    ],
)
def test_a_capability_is_found_by_a_part_of_its_name(name, column):
    assert capability(name) == column


def test_an_ambiguous_capability_lists_those_that_there_are():
    with pytest.raises(ConfigError, match="no one capability 'understanding'; there are object_spatial"):
        capability("understanding")


def test_copies_come_after_what_they_copy_in_d2():
    uids = [bytes([row]) * 16 for row in range(4)]
    near = [[{"uid": uids[1], "similarity": 0.99}], [{"uid": uids[0], "similarity": 0.99}], [], []]
    rows = pl.DataFrame(
        {"uid": uids, "content_hash": uids, "score": [1.0, 0.9, 0.8, 0.1], "neighbours": near},
        schema_overrides={"neighbours": pl.List(pl.Struct({"uid": pl.Binary, "similarity": pl.Float32}))},
    )
    order = selector("d2:score").select(rows, 4, 0).tolist()
    assert order[0] == 0  # it gets its neighbour's message
    assert order[1] == 2  # and takes its neighbour's chance


@given(
    st.lists(st.tuples(st.floats(0, 50), st.integers(0, 3), st.integers(0, 20)), min_size=1, max_size=8),
    st.data(),
)
def test_the_quadratic_program_is_solved(groups, data):
    wish = np.array([w for w, _, _ in groups])
    least = np.array([low for _, low, _ in groups], np.int64)
    most = least + np.array([extra for _, _, extra in groups], np.int64)
    total = data.draw(st.integers(int(least.sum()), int(most.sum())))
    x = nearest(wish, least.astype(float), most.astype(float), total)
    assert x.sum() == pytest.approx(total, abs=1e-6)
    assert (x >= least - 1e-9).all()
    assert (x <= most + 1e-9).all()
    # Moving a little from any group to any other, where bounds allow it, does not come nearer.
    for i, j in itertools.permutations(range(len(x)), 2):
        if x[i] > least[i] + 1e-6 and x[j] < most[j] - 1e-6:
            assert (x - wish)[i] <= (x - wish)[j] + 1e-6
    whole = whole_shares(x, least, most, total)
    assert whole.sum() == total
    assert ((whole >= least) & (whole <= most)).all()
    assert (np.abs(whole - x) < 1 + 1e-6).all()


def test_influence_is_the_mean_within_a_task_and_the_highest_over_tasks():
    rows, targets = rows_of(0, 30), rows_of(1, 9)
    tasks = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2])
    cosine = (rows @ targets.T).astype(np.float64)
    expected = np.max([cosine[:, tasks == task].mean(axis=1) for task in range(3)], axis=0)
    np.testing.assert_allclose(influence(rows, targets, tasks), expected, atol=1e-12)


def test_visnec_takes_a_share_of_every_cluster():
    rows = table(400)
    picks = selector("visnec").select(rows, 100, 0)
    sizes = rows.group_by("cluster").len().sort("cluster", nulls_last=False)["len"].to_numpy()
    got = rows[picks].group_by("cluster").len().sort("cluster", nulls_last=False)["len"].to_numpy()
    assert (np.abs(got - sizes / 4) < 1).all()


def test_a_target_is_taken_into_the_strategy():
    assert spec_with("balanced", "val") == "less:val"
    assert spec_with("less@gradient", "val") == "less:val@gradient"
    assert spec_with("less:val@gradient", "val") == "less:val@gradient"
    assert spec_with("random", None) == "random"
    assert spec_with("icons", "val") == "icons:val"
    assert spec_with("icons@gradient", "val") == "icons:val@gradient"
    assert spec_with("icons:val@gradient", "val") == "icons:val@gradient"
    with pytest.raises(ConfigError, match="--target is for --strategy less or icons, not for random"):
        spec_with("random", "val")
    with pytest.raises(ConfigError, match="name two targets"):
        spec_with("less:val2017", "val")
    with pytest.raises(ConfigError, match="name two targets"):
        spec_with("icons:other", "val")


# --- from newer papers -----------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(3, 40))
def test_prism_is_the_mean_of_all_correlations(seed, n):
    rows = rows_of(seed, n, d=24)
    rows[1] = 0
    held = np.delete(np.arange(n), 1)
    full = np.corrcoef(rows[held].astype(np.float64) - rows[held].mean(axis=0, dtype=np.float64))
    found = correlation(rows)
    assert np.isnan(found[1])
    # Rows are rounded to the grid before they are compared.
    np.testing.assert_allclose(found[held], full.mean(axis=1), atol=2e-3)
    # The last rows are copies of the first.
    assert all(found[row] == found[n - n // 5 + row] for row in range(n // 5) if row != 1)


def test_prism_prefers_what_is_unlike_the_rest():
    rng = np.random.default_rng(0)
    # A narrow cone, nine tenths of it one kind of picture.
    kinds = rng.normal(size=(2, 32))
    rows = on_grid(unit(8.0 + kinds[(np.arange(50) >= 45).astype(int)] + 0.5 * rng.normal(size=(50, 32))))
    assert set(np.argsort(correlation(rows))[:5].tolist()) == set(range(45, 50))


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(4, 40))
def test_scalselect_is_the_leverage_by_singular_values(seed, n):
    rows = rows_of(seed, n, d=12)
    rows[1] = 0
    held = np.delete(np.arange(n), 1)
    scaled = standardised_rows(rows, np.arange(n) != 1)
    plain = rows[held].astype(np.float64)
    plain = (plain - plain.mean(axis=0)) / plain.std(axis=0)
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(scaled[held], plain, atol=2**-11)
    left, sigma, _ = np.linalg.svd(scaled[held].astype(np.float64), full_matrices=False)
    k = int(np.flatnonzero(np.cumsum(sigma**2) >= 0.9 * (sigma**2).sum() * (1 - 1e-12))[0]) + 1
    found = leverage(rows)
    assert np.isnan(found[1])
    assert found[held].sum() == pytest.approx(k, abs=1e-4)
    if k == len(sigma) or sigma[k - 1] - sigma[k] > 1e-3:
        np.testing.assert_allclose(found[held], np.square(left[:, :k]).sum(axis=1), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(1, 60), st.integers(1, 5))
def test_icons_counts_the_votes_of_tasks_and_breaks_ties_by_rank(seed, n, tasks):
    rng = np.random.default_rng(seed)
    influence_ = rng.integers(0, 12, (n, tasks)) / 12
    lost = rng.random(n) < 0.1
    influence_[lost] = np.nan
    rows = table(n).with_columns(
        pl.Series("influences:val@gradient", influence_, dtype=pl.Array(pl.Float64, tasks))
    )
    held = influence_[~lost]

    def worth(row):
        if lost[row]:
            return (-1.0, 0.0)
        votes = sum(influence_[row, task] >= np.quantile(held[:, task], 0.8) for task in range(tasks))
        rank = sum(int((held[:, task] <= influence_[row, task]).sum()) for task in range(tasks))
        return (float(votes), float(rank))

    def place(row):
        return tuple(-x for x in worth(row)), rows["content_hash"][row], rows["uid"][row]

    expected = sorted(range(n), key=place)
    assert selector("icons:val@gradient").select(rows, n, 0).tolist() == expected


def test_influences_of_several_tasks_are_the_columns_of_which_less_takes_the_highest():
    rows, targets = rows_of(0, 30), rows_of(1, 9)
    tasks = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2])
    each = influences(rows, targets, tasks)
    assert each.shape == (30, 3)
    assert each.max(axis=1).tolist() == influence(rows, targets, tasks).tolist()


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(1, 40), st.integers(1, 7))
def test_similarity_to_the_task_is_the_mean_of_all_cosines_whatever_the_blocks(seed, n, size):
    rows = rows_of(seed, n)
    rows[0] = 0
    tasks = np.random.default_rng(seed).integers(0, 3, n)
    tasks[: min(3, n)] = np.arange(min(3, n))
    parts = [(slice(at, min(at + size, n)), rows[at : at + size]) for at in range(0, n, size)]
    sums, counts = sums_of_tasks(parts, tasks)
    found = np.concatenate([similarity_to_task(own, tasks[part], sums, counts) for part, own in parts])
    assert np.isnan(found[0])
    for row in range(1, n):
        others = [other for other in range(1, n) if tasks[other] == tasks[row]]
        expected = np.mean([float(rows[row].astype(float) @ rows[other].astype(float)) for other in others])
        assert found[row] == pytest.approx(expected, abs=1e-12)


def test_tive_shares_by_norms_and_draws_the_alike_more_often():
    n = 600
    source = ["a"] * 300 + ["b"] * 300
    alike = np.tile([0.1, 0.4], n // 2)
    rows = table(n).with_columns(
        pl.Series("source", source),
        pl.Series("gradient_norm", [3.0] * 300 + [1.0] * 300),
        pl.Series("task_similarity@gradient", alike),
    )
    chances = {}
    for weight in (0, 10):
        drawn = np.concatenate([selector(f"tive:{weight}").select(rows, 40, seed) for seed in range(40)])
        assert (drawn < 300).sum() == 30 * 40  # three of four, by the norms
        chances[weight] = (drawn % 2).mean()
    assert chances[0] == pytest.approx(0.5, abs=0.06)
    # The odds of a first draw are exp(10 * 0.3) = 20 to 1; few are taken, so later draws are much like it.
    assert chances[10] == pytest.approx(20 / 21, abs=0.03)
    # What a task cannot give goes to the others, and nothing is taken twice.
    most = selector("tive").select(rows, 500, 0)
    assert len(set(most.tolist())) == 500
    assert (most < 300).sum() == 300


def plain_datatailor(rows, vectors):
    """The formulas, one row after the other."""
    tokens = rows["n_tokens"].to_numpy()
    info = np.log1p(tokens) / np.log1p(tokens).max()
    facts = list(zip(rows["source"], rows["cluster"], strict=True))
    centres = {
        key: unit(np.sum([vectors[i] for i in range(len(rows)) if facts[i] == key], axis=0)[None])[0]
        for key in set(facts)
    }
    figures = np.zeros((len(rows), 3))
    for i, own in enumerate(facts):
        same = [j for j in range(len(rows)) if facts[j] == own]
        away = np.array([[np.linalg.norm(vectors[a] - vectors[b]) for b in same] for a in same])
        mine = away[same.index(i)]
        others = [key for key in centres if key[0] == own[0] and key != own]
        near = [np.exp(float(centres[own] @ centres[key])) for key in others]
        figures[i] = (
            info[i],
            (mine * info[same]).sum() / away.sum(axis=1).mean() if away.any() else 0.0,
            (np.mean(near) if near else 1.0) * info[i],
        )
    return figures


def test_datatailor_is_the_mean_of_three_ranks():
    rows = table(90)
    canonical = rows.sort("content_hash", "uid")
    vectors = joint_vectors(canonical).astype(np.float64)
    figures = plain_datatailor(canonical, vectors)
    sources, _ = groups_of([canonical["source"]])
    groups, parts = groups_of([canonical["source"], canonical["cluster"]])
    info = np.rint(figures[:, 0] * 2**20) / 2**20
    np.testing.assert_allclose(
        uniqueness(joint_vectors(canonical), groups, info), figures[:, 1], rtol=1e-3, atol=1e-3
    )
    typical = representativeness(joint_vectors(canonical), groups, groups_of([parts["source"]])[0])
    np.testing.assert_allclose(typical[groups] * info, figures[:, 2], rtol=1e-3, atol=1e-3)
    found = decide(selector("datatailor"), canonical, 90, 0)
    assert found.score is not None
    exact = np.stack(
        [info, uniqueness(joint_vectors(canonical), groups, info), typical[groups] * info], axis=1
    )
    for row in range(90):
        own = np.flatnonzero(sources == sources[row])
        ranks = [(exact[own, column] <= exact[row, column]).mean() for column in range(3)]
        rounds = canonical["n_turns"][row] / 2
        expected = (rounds * ranks[0] + ranks[1] + ranks[2]) / (rounds + 2)
        assert found.score[row] == pytest.approx(expected, abs=1e-12)
    # Sources give in proportion to their size, the best first.
    picks = selector("datatailor").select(canonical, 30, 0)
    for source in np.unique(sources).tolist():
        own = np.flatnonzero(sources == source)
        got = picks[sources[picks] == source]
        assert abs(len(got) - len(own) / 3) < 1
        assert found.score[got].min() >= np.delete(found.score[own], np.searchsorted(own, np.sort(got))).max()
