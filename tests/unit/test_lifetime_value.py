from __future__ import annotations

import math

import numpy as np
import pytest

from shared.domain.downhill import lowest
from shared.domain.lifetime_value import FEWEST, YEAR, Habits, learn

HABITS = Habits(rate_shape=1.0, rate_weeks=4.0, leaving=1.0, staying=9.0, basket=1_000.0, basket_visits=2.0)


def test_the_numbers_of_one_customer_are_those_of_the_formulas_by_hand() -> None:
    """Five visits in 20 weeks, then ten weeks without one."""
    still = 1 / (1 + (1 / 13) * (34 / 24) ** 5)
    rate, leaves = 5 / 34, 1 / 15
    expected = still * (1 - math.exp(-rate * leaves * 52)) / leaves
    assert HABITS.still_customer(5, 20.0, 30.0) == pytest.approx(still)
    assert HABITS.visits_within(52, 5, 20.0, 30.0) == pytest.approx(expected)
    assert HABITS.basket_of(5, 3_000) == pytest.approx((2_000 + 3_000) / 7)


def test_who_stays_away_long_has_left_the_sooner_the_more_often_they_came() -> None:
    away = np.array([0.0, 5.0, 20.0, 60.0])
    often, seldom = (HABITS.still_customer(visits, 40.0, 40.0 + away) for visits in (40, 3))
    assert (np.diff(often) < 0).all()
    assert (np.diff(seldom) < 0).all()
    assert often[0] > seldom[0]
    assert often[3] < seldom[3]
    assert HABITS.still_customer(100_000, 1.0, 5_000.0) < 1e-100
    assert 0 <= HABITS.visits_within(YEAR, 100_000, 0.0, 0.0) <= 100_001 / HABITS.leaving * 2


def crowd(number: int, habits: Habits, seed: int = 7) -> list[np.ndarray]:
    """Customers who do as the model says, over 52 weeks, and how often each came in the 26 after."""
    draw, found = np.random.default_rng(seed), []
    while len(found) < number:
        rate = draw.gamma(habits.rate_shape, 1 / habits.rate_weeks)
        leaves, first = draw.beta(habits.leaving, habits.staying), draw.uniform(0, 40)
        times = [first]
        while draw.uniform() > leaves and times[-1] < 78:
            times.append(times[-1] + draw.exponential(1 / rate))
        before = [each for each in times if each <= 52]
        mean = draw.normal(habits.basket, 200)
        spent = draw.normal(mean, 200 * math.sqrt(habits.basket_visits), len(before)).sum()
        after = sum(52 < each <= 78 for each in times)
        found.append((len(before), before[-1] - first, 52 - first, spent, after))
    return list(np.array(found, dtype=float).T)


def test_habits_are_found_again_in_customers_who_have_them_and_predict_what_they_do_next() -> None:
    true = Habits(1.0, 4.0, 1.5, 8.0, 1_000.0, 4.0)
    *seen, after = crowd(4_000, true)
    learnt = learn(*seen)
    assert learnt is not None
    assert learnt.rate_shape == pytest.approx(true.rate_shape, rel=0.2)
    assert learnt.rate_weeks == pytest.approx(true.rate_weeks, rel=0.2)
    assert learnt.leaving / (learnt.leaving + learnt.staying) == pytest.approx(1.5 / 9.5, rel=0.2)
    assert learnt.basket == pytest.approx(1_000, rel=0.03)
    assert learnt.basket_visits == pytest.approx(4, rel=0.5)
    expected = learnt.visits_within(26, *seen[:3])
    assert expected.sum() == pytest.approx(after.sum(), rel=0.06)
    at_their_rate = (seen[0] / np.maximum(seen[2], 1)) * 26
    assert np.abs(expected - after).mean() < 0.7 * np.abs(at_their_rate - after).mean()


def test_too_few_who_came_again_teach_nothing_and_customers_all_alike_do_no_harm() -> None:
    few = FEWEST - 1
    visits = np.array([1.0] * 500 + [2.0] * few)
    ages = np.full(len(visits), 10.0)
    assert learn(visits, (visits - 1) * 3, ages, visits * 100) is None
    alike = np.full(60, 2.0)
    learnt = learn(alike, alike, alike * 2, alike * 100)
    assert learnt is not None
    assert learnt.basket_of(2, 200) == pytest.approx(100)
    assert math.isfinite(learnt.visits_within(YEAR, 2, 2.0, 4.0))
    at_once = learn(alike, alike * 0, alike * 0, alike * 0)
    assert at_once is not None
    assert math.isfinite(at_once.visits_within(YEAR, 2, 0.0, 0.0))


def test_the_simplex_finds_the_bottom_of_a_bent_valley() -> None:
    """Rosenbrock's."""
    bottom = lowest(
        lambda at: float((1 - at[0]) ** 2 + 100 * (at[1] - at[0] ** 2) ** 2), np.array([-1.2, 1.0]), near=1e-12
    )
    assert bottom == pytest.approx([1, 1], abs=1e-3)
