"""Budgets: how they are spelled, how they round, and how a cost budget is filled."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from schemas.budget import Budget, Purse, Shared, walked
from schemas.errors import BudgetError


def fill(costs: ArrayLike, limit: int, shared: Shared | None = None) -> NDArray[np.int64]:
    """Positions taken of a walk in pick order that takes every sample that still fits."""
    purse = Purse(costs, limit, shared)
    return np.array(sorted(walked(purse, range(len(purse)), purse.pay)), np.int64)


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("30%", Fraction(3, 10), "fraction"),
        ("0.3", Fraction(3, 10), "fraction"),
        (".25", Fraction(1, 4), "fraction"),
        ("1.0", Fraction(1), "fraction"),
        ("100%", Fraction(1), "fraction"),
        ("33.3 %", Fraction(333, 1000), "fraction"),
        ("1", Fraction(1), "samples"),
        ("200000", Fraction(200_000), "samples"),
        (" 200000 ", Fraction(200_000), "samples"),
        ("50Mtok", Fraction(50_000_000), "tokens"),
        ("1.5btok", Fraction(1_500_000_000), "tokens"),
        ("700 tok", Fraction(700), "tokens"),
        ("2GB", Fraction(2_000_000_000), "bytes"),
        ("1.5 kb", Fraction(1500), "bytes"),
        ("12B", Fraction(12), "bytes"),
    ],
)
def test_a_budget_is_read_as_it_is_written(text, value, unit):
    assert Budget.parse(text) == Budget(value, unit)


NONSENSE = (
    "|0|0%|0.0|-1|-5%|101%|1.5|200000.5|half|3 apples|.|1..2|1e3|nan|\u06630%|0GB|0.5tok|30%%|GB|%|1,000"
)


@pytest.mark.parametrize("text", [*NONSENSE.split("|"), "9" * 5000])
def test_what_is_no_budget_is_refused_with_the_forms_that_are(text):
    with pytest.raises(BudgetError, match=r"write 30%, 0\.3, 200000 \(samples\), 50Mtok"):
        Budget.parse(text)


def test_a_number_from_python_is_read_like_its_spelling():
    assert Budget.parse(0.3) == Budget.parse("0.3")
    assert Budget.parse(1) == Budget(Fraction(1), "samples")
    assert Budget.parse(1.0) == Budget(Fraction(1), "fraction")


def test_percentages_are_exact_and_round_down():
    assert Budget.parse("0.29").samples(100) == 29  # int(0.29 * 100) is 28
    assert Budget.parse("30%").samples(8205) == 2461
    assert Budget.parse("100%").samples(8205) == 8205
    assert Budget.parse("1%").samples(99) == 0


def test_a_number_of_samples_does_not_depend_on_the_pool():
    assert Budget.parse("5").samples(3) == 5


def test_a_cost_budget_has_no_number_of_samples():
    with pytest.raises(TypeError, match="is a cost"):
        Budget.parse("2GB").samples(10)


@given(st.integers(1, 10**6), st.integers(0, 10**9))
def test_any_percentage_with_four_decimals_is_floored_exactly(hundredths, n):
    text = f"{hundredths // 10**4}.{hundredths % 10**4:04d}%"
    assert Budget.parse(text).samples(n) == hundredths * n // 10**6


@given(st.sampled_from(["30%", "33.3333%", "0.125", "7", "50Mtok", "2GB", "100%"]))
def test_a_budget_prints_as_it_is_parsed(text):
    assert Budget.parse(str(Budget.parse(text))) == Budget.parse(text)


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(0, 400))
def test_a_cost_budget_is_never_exceeded_and_what_is_left_buys_nothing(costs, limit):
    taken = fill(np.array(costs, np.int64), limit)
    spent = sum(costs[position] for position in taken)
    assert spent <= limit
    assert len(set(taken.tolist())) == len(taken)
    passed = set(range(len(costs))) - set(taken.tolist())
    assert all(costs[position] > limit - spent for position in passed)


@given(st.data())
def test_a_shared_image_is_paid_once_and_what_is_left_buys_nothing(data):
    prices = data.draw(st.lists(st.integers(0, 20), min_size=1, max_size=5))
    samples = data.draw(
        st.lists(
            st.tuples(st.integers(0, 5), st.lists(st.integers(0, len(prices) - 1), max_size=3)), max_size=12
        )
    )
    limit = data.draw(st.integers(0, 60))
    own = np.array([cost for cost, _ in samples], np.int64)
    offsets = np.cumsum([0, *(len(images) for _, images in samples)])
    things = np.array([image for _, images in samples for image in images], np.int64)
    taken = fill(own, limit, shared=Shared(offsets, things, np.array(prices))).tolist()
    paid = {image for position in taken for image in samples[position][1]}
    spent = sum(samples[position][0] for position in taken) + sum(prices[image] for image in paid)
    assert spent <= limit
    for position in set(range(len(samples))) - set(taken):
        cost, images = samples[position]
        assert cost + sum(prices[image] for image in set(images) - paid) > limit - spent


def test_costs_that_are_no_whole_numbers_are_refused():
    with pytest.raises(ValueError, match="whole numbers"):
        fill(np.array([0.5, 1.0]), 3)
    with pytest.raises(ValueError, match="at least 0"):
        fill(np.array([1, -1]), 3)
