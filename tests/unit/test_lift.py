from __future__ import annotations

import random
from statistics import mean, variance

from shared.domain.lift import FEWEST, Spending, measured, sentence


def money(amount: int) -> str:
    return f"${amount / 100:,.2f}"


def of(amounts: list[float]) -> Spending:
    return Spending(len(amounts), mean(amounts), variance(amounts))


def test_a_holdout_that_is_missing_or_small_tells_nothing_and_says_so() -> None:
    many, nobody, few = Spending(5_000, 900, 4), Spending(0, 0, 0), Spending(FEWEST - 1, 800, 4)
    assert "Nobody is held out" in sentence(many, nobody, 7, money)
    assert measured(many, few) is None
    assert sentence(many, few, 7, money).startswith("Too few to tell: 5,000 were mailed and 29 held out")


def test_a_difference_that_may_be_chance_is_called_so() -> None:
    lift = measured(Spending(100, 1_000, 250_000), Spending(100, 950, 250_000))
    assert lift is not None
    assert lift.may_be_chance
    assert (lift.least, lift.most) == (-89, 189)
    assert "could not be chance" in sentence(Spending(100, 1_000, 250_000), Spending(100, 950, 250_000), 7, money)


def test_a_clear_difference_is_told_with_its_bounds_either_way() -> None:
    high, low = Spending(10_000, 1_200, 10_000), Spending(1_000, 1_000, 10_000)
    assert sentence(high, low, 7, money) == (
        "In the 7 days after, whoever was mailed spent between $1.93 and $2.07 more than who was held out, 20% more."
    )
    assert "between $1.93 and $2.07 less than who was held out, 17% less." in sentence(low, high, 7, money)
    free = measured(high, Spending(1_000, 0, 0))
    assert free is not None
    assert free.share is None


def test_the_true_difference_lies_in_about_95_of_100_intervals() -> None:
    rng, held = random.Random(5), 0
    for _ in range(400):
        mailed = of([rng.expovariate(1 / 1_100) for _ in range(200)])
        held_out = of([rng.expovariate(1 / 1_000) for _ in range(100)])
        lift = measured(mailed, held_out)
        assert lift is not None
        held += lift.least <= 100 <= lift.most
    assert 0.91 <= held / 400 <= 0.98
