from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.criteria.birthdays import occurrence
from shared.domain.occasions import kept_between, kept_on

DAYS_OF_YEAR = [(date(2000, 1, 1) + timedelta(days=n)) for n in range(366)]
NUMBERS = [day.month * 100 + day.day for day in DAYS_OF_YEAR]


def test_29_february_is_kept_on_28_february_in_years_without_one() -> None:
    assert kept_on(date(2026, 2, 28)) == [228, 229]
    assert kept_on(date(2028, 2, 28)) == [228]
    assert kept_on(date(2028, 2, 29)) == [229]
    assert kept_on(date(2100, 2, 28)) == [228, 229]


@given(st.integers(1990, 2110))
def test_each_day_of_the_year_is_kept_once_a_year_where_segments_see_it(year: int) -> None:
    kept = kept_between(date(year, 1, 1), date(year, 12, 31))
    assert sorted(day for day, _ in kept) == NUMBERS
    assert all(on == occurrence(day, year) for day, on in kept)


def test_a_span_goes_over_the_turn_of_the_year() -> None:
    assert kept_between(date(2026, 12, 31), date(2027, 1, 1)) == [(1231, date(2026, 12, 31)), (101, date(2027, 1, 1))]
