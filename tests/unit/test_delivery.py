from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.delivery import LONGEST_DELAY, PRIORITIES, backoff, campaign_must_pause


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waits_grow_to_a_minute_and_never_vanish(attempts: int, chance: float) -> None:
    assert 0.5 <= backoff(attempts, chance) <= LONGEST_DELAY
    assert backoff(attempts, chance) <= backoff(attempts + 1, chance)


def test_waits_double_and_are_spread() -> None:
    assert [backoff(n, 1.0) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff(4, 0.0) == 4
    assert backoff(4, 0.5) == 6


def test_the_provider_is_left_alone_for_as_long_as_it_asks() -> None:
    assert backoff(1, 0.3, asked_for=300) == 300
    assert backoff(8, 1.0, asked_for=2) == 60


def test_twenty_failures_in_a_row_pause_and_nineteen_do_not() -> None:
    assert (campaign_must_pause(19), campaign_must_pause(20)) == (False, True)


def test_what_comes_of_the_customers_own_day_goes_before_what_we_want_to_sell() -> None:
    assert sorted(PRIORITIES, key=PRIORITIES.__getitem__) == [
        "birthday",
        "anniversary",
        "welcome",
        "follow_up",
        "promotional",
        "newsletter",
    ]
