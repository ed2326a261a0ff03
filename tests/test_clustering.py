"""Clustering kernels: fast paths against their definitions, and bits that depend on the rows alone."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clustering.assignment import Assignment, assign
from clustering.bins import balance
from clustering.fixed import Centres, Crew, Rows, by_float32, by_torch, crew, torch_is_worth_it
from clustering.kmeans import fit, root_k
from clustering.neighbours import nearest
from clustering.quality import adjusted_rand, purity, silhouette
from clustering.seeding import plus_plus
from clustering.vectors import cosines, joint, margin, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]


def unit_rows(n, d=32, seed=0):
    return unit(np.random.default_rng(seed).standard_normal((n, d)))


def near_rows(n, d=32, seed=0):
    """Rows of which many are near-copies or copies of one another."""
    rng = np.random.default_rng(seed)
    rows = unit_rows(max(n // 4, 1), d, seed)[rng.integers(0, max(n // 4, 1), n)]
    return unit(rows + rng.choice([0, 0.01, 0.05], (n, 1)) * rng.standard_normal((n, d)))


def test_unit_rows_have_length_one_and_zero_stays_zero():
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [1e-200, 0.0], [1e200, 1e200], [1e-310, 0.0]])
    lengths = np.linalg.norm(unit(rows), axis=1)
    np.testing.assert_allclose(lengths, [1, 0, 1, 1, 1], rtol=1e-6)
    assert unit(rows).dtype == np.float32


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_no_number_is_refused_by_its_position(value):
    with pytest.raises(ValueError, match="row 1 holds NaN"):
        unit(np.array([[1.0, 0.0], [0.0, value]]))


def test_joint_rows_weigh_the_cosines_of_their_parts():
    images, texts = unit_rows(6), unit_rows(6, seed=1)
    rows = joint(images, texts, image_weight=0.25)
    assert rows.shape == (6, 64)
    np.testing.assert_allclose(rows @ rows.T, 0.25 * images @ images.T + 0.75 * texts @ texts.T, atol=1e-6)


def test_an_absent_modality_is_zeros_and_the_other_carries_the_row():
    images, texts = unit_rows(3), unit_rows(3, seed=1)
    rows = joint(
        images, texts, has_image=np.array([True, False, False]), has_text=np.array([True, True, False])
    )
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 1, 0], rtol=1e-6)
    assert not rows[1, :32].any()
    np.testing.assert_allclose(rows[1, 32:], texts[1], atol=1e-7)
    assert not joint(None, texts)[:, :32].any()
    assert not joint(images, None)[:, 32:].any()


def test_a_masked_row_may_hold_anything():
    images = np.full((1, 4), np.nan, np.float32)
    assert np.isfinite(joint(images, unit_rows(1, 4), has_image=np.array([False]))).all()


def test_joint_refuses_what_it_cannot_join():
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        joint(unit_rows(1), unit_rows(1), image_weight=1.5)
    with pytest.raises(ValueError, match="both are None"):
        joint(None, None)
    with pytest.raises(ValueError, match="same samples"):
        joint(unit_rows(1), unit_rows(2))


@given(st.integers(1, 700), st.integers(0, 5))
def test_a_float32_cosine_is_within_the_margin_of_the_exact_one(d, seed):
    left, right = unit_rows(4, d, seed), unit_rows(4, d, seed + 1)
    i, j = (index.ravel() for index in np.indices((4, 4)))
    exact = cosines(left, right, i, j).reshape(4, 4)
    assert np.abs(left @ right.T - exact).max() <= margin(d)
    np.testing.assert_allclose(exact, left.astype(float) @ right.astype(float).T, atol=1e-6)


def test_exact_cosines_do_not_depend_on_how_they_are_computed():
    left, right = unit_rows(300, 512), unit_rows(200, 512, 1)
    i, j = (index.ravel() for index in np.indices((300, 200)))
    dense = cosines(left, right, i, j)  # one matrix product
    few = np.arange(0, 60_000, 777)
    np.testing.assert_array_equal(cosines(left, right, i[few], j[few]), dense[few])
    backwards = cosines(left[:, ::-1].copy(), right[:, ::-1].copy(), i, j)
    np.testing.assert_array_equal(backwards, dense)


def test_k_means_finds_clusters_that_are_far_apart():
    truth = np.random.default_rng(1).integers(0, 5, 400)
    centres = unit_rows(5, 32, 3)
    rows = unit(centres[truth] + 0.05 * np.random.default_rng(2).standard_normal((400, 32)))
    cluster, similarity = assign(rows, fit(rows, 5, seed=0).centroids)
    assert len({(int(t), int(c)) for t, c in zip(truth, cluster, strict=True)}) == 5
    assert similarity.min() > 0.9


def test_centroids_are_unit_rows_and_follow_from_the_seed():
    rows = unit_rows(500)
    centroids = fit(rows, 20, seed=3).centroids
    assert centroids.shape == (20, 32)
    assert centroids.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(centroids, fit(rows, 20, seed=3).centroids)
    assert (centroids != fit(rows, 20, seed=4).centroids).any()
    assert fit(rows, 20, seed=-(2**40)).centroids.shape == (20, 32)


def test_there_are_no_more_centroids_than_distinct_rows():
    rows = np.vstack([np.repeat(unit_rows(3), 50, axis=0), np.zeros((4, 32), np.float32)])
    found = fit(rows, 8, seed=0)
    assert found.centroids.shape == (3, 32)
    cluster, similarity = assign(unit_rows(3), found.centroids)
    assert sorted(cluster.tolist()) == [0, 1, 2]
    np.testing.assert_allclose(similarity, 1, atol=1e-6)
    assert found.cosine == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("d", [1, 100, 1024, 2500])
def test_products_of_digits_are_exact_by_any_library(d):
    digits = np.random.default_rng(d).integers(-127, 128, (40, d), dtype=np.int8)
    digits[:2] = 127
    exact = digits.astype(np.int64) @ digits[:30].astype(np.int64).T
    np.testing.assert_array_equal(by_float32(digits, digits[:30]), exact)
    if torch_is_worth_it():
        np.testing.assert_array_equal(by_torch(digits, digits[:30]), exact)


def test_rows_in_fixed_point_keep_their_directions():
    vectors = unit_rows(200, 300)
    rows = Rows.of(vectors)
    np.testing.assert_allclose(rows.fixed / 32767, vectors, atol=1 / 65534)
    digits = unit(rows.digits.astype(float))
    assert (digits * vectors).sum(axis=1).min() > 0.9999
    np.testing.assert_allclose(rows.lengths, np.linalg.norm(rows.digits.astype(float), axis=1))
    assert not Rows.of(np.zeros((2, 5), np.float32)).lengths.any()


@pytest.mark.parametrize("d", [8, 300, 3000])
def test_products_with_centres_order_them_as_their_cosines(d):
    centroids = unit_rows(20, d).astype(float)
    shared = np.zeros(d)
    shared[3] = 5.0  # what all have in common takes no bits from their differences
    rows = Rows.of(unit_rows(50, d, 1))
    centres = Centres.of(centroids + shared, rows.lengths.max())
    with crew(1.0) as workers:
        products = centres.products(rows.digits, workers)
    exact = rows.digits.astype(float) @ (centroids - centroids.mean(axis=0)).T
    scale = products.std() / exact.std()
    assert np.abs(products / scale - exact).max() < 3e-4 * rows.lengths.max()
    assert not Centres.of(centroids[:1], 100.0).digits.any()


@pytest.mark.parametrize("d", [3, 512, 40_000])
def test_products_with_centres_are_the_same_whole_numbers_by_any_library(d):
    rows = Rows.of(np.vstack([unit_rows(30, d), np.full((1, d), d**-0.5)]))
    centroids = np.vstack([unit_rows(7, d, 2), np.full((1, d), d**-0.5), np.zeros((1, d))]).astype(float)
    centres = Centres.of(centroids, rows.lengths.max())
    exact = rows.digits.astype(np.int64) @ np.rint(centres.whole).astype(np.int64).T
    assert np.abs(exact).max() < 2**24
    with ThreadPoolExecutor(1) as pool:
        for by_torch_ in (False, True)[: 1 + torch_is_worth_it()]:
            products = centres.products(rows.digits, Crew(pool, by_torch_))
            np.testing.assert_array_equal(products, exact)


def test_centroids_are_the_same_by_any_library():
    if not torch_is_worth_it():
        pytest.skip("torch has no exact product of 8 bits here")
    rows = near_rows(3000, 60)
    program = "import numpy as np\nfrom tests.test_clustering import *\n"
    program += "c = fit(near_rows(3000, 60), 30, seed=0).centroids\n"
    program += "assert ('torch' in sys.modules) is False\nprint(hashlib.sha256(c.tobytes()).hexdigest())"
    by_numpy = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        check=True,
        text=True,
    )
    ours = fit(rows, 30, seed=0).centroids
    assert by_numpy.stdout.strip() == hashlib.sha256(ours.tobytes()).hexdigest()


def test_starts_are_distinct_and_spread_over_far_clusters():
    truth = np.random.default_rng(1).integers(0, 30, 3000)
    rows = Rows.of(unit(unit_rows(30, 64)[truth] + 0.02 * unit_rows(3000, 64, 5)))
    with crew(1.0) as workers:
        starts = plus_plus(rows, 30, np.random.default_rng(0), workers)
    assert len(set(truth[starts].tolist())) == 30


def test_the_result_is_a_fixed_point_of_the_definition():
    rows = near_rows(2000, 40)
    found = fit(rows, 25, seed=0, iterations=100)
    assert found.iterations < 100
    cluster, similarity = assign(rows, found.centroids)
    means = unit(np.stack([rows[cluster == number].sum(axis=0) for number in range(25)]))
    assert (means * found.centroids).sum(axis=1).min() > 0.9995
    assert similarity.mean() == pytest.approx(found.cosine, abs=1e-4)


def test_more_iterations_only_tighten_clusters():
    rows = unit_rows(3000, 16)
    cosines_ = [fit(rows, 40, seed=0, iterations=n).cosine for n in (1, 3, 10, 30)]
    assert cosines_ == sorted(cosines_)


def test_the_objective_is_within_a_percent_of_faiss_at_equal_k_iterations_and_sample():
    import faiss

    rows = unit(unit_rows(40, 48)[np.arange(4000) % 40] + 0.15 * unit_rows(4000, 48, 7))
    theirs = faiss.Kmeans(
        48, 40, niter=10, seed=1, spherical=True, max_points_per_centroid=4000, min_points_per_centroid=1
    )
    theirs.train(rows)
    assert theirs.centroids is not None
    ours = assign(rows, fit(rows, 40, iterations=10, seed=1).centroids)[1].mean()
    assert ours > 0.99 * assign(rows, unit(theirs.centroids))[1].mean()


def test_a_cluster_that_is_too_large_is_split_and_equal_rows_are_not():
    rows = np.vstack([unit(unit_rows(1) + 0.1 * unit_rows(900, seed=2)), unit_rows(100, seed=3)])
    assert np.bincount(assign(rows, fit(rows, 4, seed=0).centroids)[0]).max() > 200
    split = fit(rows, 4, seed=0, most=200).centroids
    assert len(split) > 4
    assert np.bincount(assign(rows, split)[0]).max() <= 210  # to 8 bits none has more than 200
    same = np.repeat(unit_rows(1), 900, axis=0)
    assert len(fit(same, 4, seed=0, most=200).centroids) == 1


def test_an_empty_cluster_starts_anew():
    # Of three rows in each of two places k-means can start with two in one of them.
    rows = np.repeat(unit_rows(2, 8), 500, axis=0)
    rows = unit(rows + 1e-3 * unit_rows(1000, 8, 4))
    for seed in range(5):
        found = fit(rows, 50, seed=seed, iterations=5)
        assert len(found.centroids) == len(np.unique(found.centroids, axis=0))


@pytest.mark.parametrize(("rows", "k"), [(unit_rows(3), 0), (np.zeros((2, 4), np.float32), 1)])
def test_k_means_without_clusters_or_directions_is_refused(rows, k):
    with pytest.raises(ValueError, match="at least"):
        fit(rows, k, seed=0)


def test_rows_that_are_not_unit_rows_are_refused():
    with pytest.raises(ValueError, match="must be a unit row or zero"):
        assign(2 * unit_rows(3), unit_rows(2))
    with pytest.raises(ValueError, match="must be a unit row or zero"):
        nearest([np.full((2, 4), np.nan, np.float32)], 0.9)


@settings(max_examples=25)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 99))
def test_assignment_is_the_nearest_centroid_with_ties_to_the_smaller_id(n, k, seed):
    rows, centroids = near_rows(n, seed=seed), near_rows(k, seed=seed)
    cluster, similarity = assign(rows, centroids)
    i, j = (index.ravel() for index in np.indices((n, k)))
    exact = cosines(rows, centroids, i, j).reshape(n, k)
    np.testing.assert_array_equal(cluster, exact.argmax(axis=1))
    np.testing.assert_array_equal(similarity, exact.max(axis=1).astype(np.float32))
    assert (cluster.dtype, similarity.dtype) == (np.dtype(np.int32), np.dtype(np.float32))


def test_an_assignment_does_not_depend_on_the_rows_beside_it_nor_on_the_chunk():
    rows, centroids = near_rows(1500, 96), near_rows(70, 96)
    cluster, similarity = assign(rows, centroids)
    for start, stop, chunk in ((0, 1, 4096), (700, 1003, 4096), (0, 1500, 37), (0, 1500, 1)):
        part, part_similarity = assign(rows[start:stop], centroids, chunk)
        np.testing.assert_array_equal(part, cluster[start:stop])
        np.testing.assert_array_equal(part_similarity, similarity[start:stop])


def test_a_zero_row_goes_to_the_first_cluster_with_cosine_zero():
    cluster, similarity = assign(np.zeros((2, 32), np.float32), unit_rows(4))
    assert (cluster.tolist(), similarity.tolist()) == ([0, 0], [0.0, 0.0])
    assert len(assign(np.zeros((0, 32), np.float32), unit_rows(4))[0]) == 0


@pytest.mark.parametrize("count", [1, 3, 40, 99])
def test_the_ranked_centroids_are_those_of_brute_force(count):
    rows, centroids = near_rows(300, 40), near_rows(40, 40, seed=1)
    ranked, similarity = Assignment.of(centroids).ranked(rows, count)
    row, centre = np.divmod(np.arange(len(rows) * len(centroids)), len(centroids))
    exact = cosines(rows, centroids, row, centre).reshape(len(rows), -1)
    expected = np.argsort(-exact, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(ranked, expected)
    np.testing.assert_array_equal(similarity, np.take_along_axis(exact, expected, axis=1))
    np.testing.assert_array_equal(ranked[:, 0], assign(rows, centroids)[0])


def digests():
    """Checksums of everything whose bits must not depend on threads."""
    rows = near_rows(3000, 100)
    centroids = fit(rows, 40, seed=0, iterations=5).centroids
    lists = nearest([rows], 0.95, 8)
    cluster, similarity = assign(rows, centroids)
    results: list[NDArray[Any]] = [centroids, cluster, similarity, lists.row, lists.other, lists.similarity]
    return [hashlib.sha256(result.tobytes()).hexdigest()[:16] for result in results]


@pytest.mark.slow
def test_bits_are_the_same_for_one_and_two_threads():
    program = "from tests.test_clustering import digests\nprint(digests())"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={
                **os.environ,
                "OMP_NUM_THREADS": threads,
                "OPENBLAS_NUM_THREADS": threads,
                "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            },
            capture_output=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(outputs) == 1


def test_the_number_of_clusters_grows_with_the_root_of_the_pool():
    assert [root_k(n) for n in (0, 1, 8, 8205, 665_000, 10**9)] == [1, 1, 2, 64, 577, 10_000]


@given(st.lists(st.integers(0, 100), max_size=30), st.integers(1, 6))
def test_the_fullest_bin_is_near_the_best_possible(costs, n_bins):
    bins = balance(costs, n_bins)
    loads = np.bincount(bins, weights=costs, minlength=n_bins) if costs else np.zeros(n_bins)
    assert len(loads) == n_bins
    # Graham's bound for any list schedule; longest-first is better still.
    assert loads.max() <= sum(costs) / n_bins + (1 - 1 / n_bins) * max(costs, default=0) + 1e-9


def test_the_dearest_groups_go_first_and_ties_to_the_smaller():
    assert balance([1, 5, 5, 2], 2).tolist() == [1, 0, 1, 0]
    with pytest.raises(ValueError, match="n_bins is 0"):
        balance([1], 0)
    with pytest.raises(ValueError, match="negative"):
        balance([1, -1], 2)


def test_the_silhouette_is_that_of_its_definition():
    rows = Rows.of(near_rows(120, 16))
    clusters = np.random.default_rng(0).integers(0, 5, 120) * 3
    clusters[7] = 99  # a cluster of one
    exact = unit(rows.fixed.astype(float)).astype(float)
    distances = 1 - exact @ exact.T
    values = []
    for row in range(120):
        own = (clusters == clusters[row]) & (np.arange(120) != row)
        if not own.any():
            values.append(0.0)
            continue
        inside = distances[row, own].mean()
        others = {c for c in clusters.tolist() if c != clusters[row]}
        outside = min(distances[row, clusters == c].mean() for c in others)
        values.append((outside - inside) / max(inside, outside))
    assert silhouette(rows, clusters) == pytest.approx(np.mean(values), abs=1e-3)
    assert np.isnan(silhouette(rows, np.zeros(120, int)))


def test_adjusted_rand_and_purity_by_hand():
    left = [0, 0, 0, 1, 1, 1]
    right = ["a", "a", "b", "b", "c", "c"]
    # Pairs together: 6 and 3, in both 2; by chance 6 * 3 / 15 = 1.2: (2 - 1.2) / (4.5 - 1.2).
    assert adjusted_rand(left, right) == pytest.approx(0.8 / 3.3)
    assert purity(left, right) == pytest.approx(4 / 6)
    assert purity(right, left) == pytest.approx(5 / 6)
    assert adjusted_rand(left, [5, 5, 5, 2, 2, 2]) == adjusted_rand([1], [2]) == 1.0
    rng = np.random.default_rng(0)
    assert abs(adjusted_rand(rng.integers(0, 9, 5000), rng.integers(0, 4, 5000))) < 0.01
    with pytest.raises(ValueError, match="2 and 3 rows"):
        purity([0, 1], [0, 1, 2])
