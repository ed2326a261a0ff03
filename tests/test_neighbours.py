"""The lists of neighbours: equal to brute force, whatever the blocks."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clustering.neighbours import PANEL, across, nearest
from clustering.processor import n_threads
from clustering.products import Precision, products
from clustering.vectors import cosines, unit
from tests.test_clustering import near_rows, unit_rows

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def brute_force(views, floor, most, visitors):
    """The definition: every pair, row by row."""
    n = len(views[0])
    i, j = np.divmod(np.arange(n * n), max(n, 1))
    exact = [cosines(view, view, i, j) for view in views]
    similarity = np.minimum.reduce(exact).astype(np.float32).reshape(n, n)
    there = np.logical_and.reduce([view.any(axis=1) for view in views])
    home = np.arange(n) < n - visitors
    found = []
    for row in np.flatnonzero(there):
        others = [o for o in np.flatnonzero(there) if o != row and (home[row] or home[o])]
        ranked = sorted((-similarity[row, other], other) for other in others)
        near = [(s, other) for s, other in ranked if -s >= np.float32(floor)]
        if not near and home[row]:
            near = [(s, other) for s, other in ranked if home[other]][:1]
        found += [(row, other, -s) for s, other in near[:most]]
    return found


def entries(lists):
    return list(zip(lists.row.tolist(), lists.other.tolist(), lists.similarity.tolist(), strict=True))


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(st.data())
def test_the_lists_are_those_of_brute_force_for_every_block(data):
    n, n_views = data.draw(st.integers(0, 40)), data.draw(st.integers(1, 3))
    seed, floor = data.draw(st.integers(0, 50)), data.draw(st.sampled_from([0.5, 0.8, 0.99, 1.0]))
    views = [near_rows(n, 8 + view, seed + view)[:n] for view in range(n_views)]
    if n and data.draw(st.booleans()):
        views[0][data.draw(st.integers(0, n - 1))] = 0
    visitors, most = data.draw(st.integers(0, n)), data.draw(st.sampled_from([1, 2, 5, 64]))
    block = data.draw(st.sampled_from([1, 2, 7, 16, 1024]))
    precision = data.draw(st.sampled_from(PRECISIONS))
    lists = nearest(views, floor, most, visitors=visitors, block=block, precision=precision)
    dtypes = (lists.row.dtype, lists.other.dtype, lists.similarity.dtype)
    assert dtypes == (np.dtype(np.int64), np.dtype(np.int64), np.dtype(np.float32))
    assert entries(lists) == brute_force(views, floor, most, visitors)


def test_lists_have_the_same_bits_for_every_block_precision_and_order_of_rows():
    rows = near_rows(1200, 256)
    expected = entries(nearest([rows], 0.95, 8, precision="float32"))
    assert len(expected) > 2000
    for block, precision in itertools.product((64, 333, 5000), PRECISIONS):
        assert entries(nearest([rows], 0.95, 8, block=block, precision=precision)) == expected
    backwards = nearest([rows[::-1]], 0.95, 8)
    assert sorted(backwards.similarity.tolist()) == sorted(each[2] for each in expected)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("d", [1, 8, 512, 3000])
def test_products_bound_the_cosines_that_they_stand_for(precision, d):
    rows = near_rows(300, d)
    views = [rows, unit_rows(len(rows), d)]
    order = np.random.default_rng(0).permutation(len(rows))
    found = products(views, order, precision)
    codes = found.block(slice(0, 200), slice(100, 300))
    i, j = (each.ravel() for each in np.indices(codes.shape))
    ends = order[:200][i], order[100:300][j]
    exact = np.minimum.reduce([cosines(view, view, *ends) for view in views]).astype(np.float32)
    flat = codes.ravel()
    assert np.all(flat >= found.reaching(exact))
    assert np.all(found.surely(flat) <= exact)
    assert np.all(flat > found.nothing)
    # Bounds that say nothing would hold as well.
    assert np.mean(exact[exact > 0.1] - found.surely(flat)[exact > 0.1]) < 0.03


def test_many_copies_of_one_row_have_full_lists_of_the_first_of_them():
    lists = nearest([np.repeat(unit_rows(1, 64), 3000, axis=0)], 0.9, 4, block=256)
    assert len(lists.row) == 4 * 3000
    assert lists.other.reshape(-1, 4)[10].tolist() == [0, 1, 2, 3]
    assert lists.other.reshape(-1, 4)[1].tolist() == [0, 2, 3, 4]
    assert set(lists.similarity.tolist()) == {1.0}


def test_rows_in_bunches_at_different_angles_have_the_lists_of_brute_force():
    rng = np.random.default_rng(0)
    bunches = [
        axis + 0.01 * rng.standard_normal((n, 64)) for axis, n in zip(np.eye(3, 64), (90, 30, 5), strict=True)
    ]
    rows = unit(np.concatenate(bunches))
    assert entries(nearest([rows], 0.9, 4, block=10)) == brute_force([rows], 0.9, 4, 0)


def test_two_samples_are_as_near_as_their_least_similar_view():
    image = np.repeat(unit_rows(1), 2, axis=0)
    text = unit(np.array([[1.0, 0.0], [0.8, 0.6]]))
    assert nearest([image, text], 0.9).similarity == pytest.approx([0.8, 0.8])
    assert across([image, text], [image, text], 0.81)[0].tolist() == [0, 1]


def test_a_product_of_minus_zero_counts_as_zero():
    rows = np.array([[1, 1e-20, 0], [0, -1e-25, 1]], np.float32)
    for precision in PRECISIONS:
        assert entries(nearest([rows], 0.5, 1, precision=precision)) == [(0, 1, 0.0), (1, 0, 0.0)]


@pytest.mark.parametrize(("given", "threads"), [("3", 3), ("4,2", 4), ("0", 1), ("all", os.cpu_count())])
def test_the_number_of_threads_is_read_as_openmp_reads_it(monkeypatch, given, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert n_threads() == threads


def test_copies_are_near_at_any_floor_and_zeros_are_near_nothing():
    rows = np.vstack([np.repeat(unit_rows(1, 512), 2, axis=0), np.zeros((2, 512), np.float32)])
    assert entries(nearest([rows], 1.0)) == [(0, 1, 1.0), (1, 0, 1.0)]


def test_rows_kept_in_half_precision_are_normalised_again():
    rows = near_rows(200, 64).astype(np.float16)
    expected = nearest([unit(rows)], 0.95)
    found = nearest([rows.astype(np.float32)], 0.95)
    np.testing.assert_array_equal(found.row, expected.row)
    np.testing.assert_allclose(found.similarity, expected.similarity, atol=1e-6)


@pytest.mark.parametrize(
    ("views", "settings", "sentence"),
    [
        ([], {"floor": 0.9}, "one or more"),
        ([unit_rows(2), unit_rows(3)], {"floor": 0.9}, r"\[2, 3\]"),
        ([unit_rows(2)], {"floor": 0.0}, "cosine"),
        ([unit_rows(2)], {"floor": 0.9, "most": 0}, "most is 0"),
        ([unit_rows(2)], {"floor": 0.9, "visitors": 3}, "visitors 3 of 2"),
    ],
)
def test_what_makes_no_sense_is_refused(views, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        nearest(views, **settings)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 30),
    st.integers(0, 30),
    st.sampled_from([1, 7, 1024]),
    st.integers(0, 50),
    st.sampled_from(PRECISIONS),
)
def test_pairs_across_two_sets_are_those_of_brute_force(n, m, block, seed, precision):
    left = [near_rows(n, 8, seed)[:n], near_rows(n, 9, seed)[:n]]
    right = [near_rows(m, 8, seed)[:m], near_rows(m, 9, seed)[:m]]
    i, j, similarity = across(left, right, 0.8, block, precision)
    every, other = np.divmod(np.arange(n * m), max(m, 1))
    exact = np.minimum.reduce([cosines(u, v, every, other) for u, v in zip(left, right, strict=True)])
    near = np.flatnonzero(exact.astype(np.float32) >= np.float32(0.8))
    np.testing.assert_array_equal(i, every[near])
    np.testing.assert_array_equal(j, other[near])
    np.testing.assert_array_equal(similarity, exact.astype(np.float32)[near])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_pairs_across_are_those_of_brute_force_where_the_right_is_taken_in_parts(precision):
    rows = near_rows(PANEL + 1500, 16)
    left = rows[-40:]
    i, j, similarity = across([left], [rows], 0.9, precision=precision)
    every, other = np.divmod(np.arange(len(left) * len(rows)), len(rows))
    exact = cosines(left, rows, every, other).astype(np.float32)
    near = np.flatnonzero(exact >= np.float32(0.9))
    np.testing.assert_array_equal(i, every[near])
    np.testing.assert_array_equal(j, other[near])
    np.testing.assert_array_equal(similarity, exact[near])
    assert {*(j // PANEL)} == {0, 1}
