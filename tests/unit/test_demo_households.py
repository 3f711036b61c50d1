"""The people that the demo makes up."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

from services.local.demo.households import SOON_DAYS, Profile, customer_id, make_up

TODAY = date(2028, 2, 28)  # the next days hold a 29 February


def _people(today: date = TODAY) -> list[Profile]:
    return [make_up(customer_id(household), today, []) for household in range(1, 2_501)]


def test_the_same_household_is_the_same_person_in_every_run() -> None:
    assert _people() == _people()
    assert len({person.email for person in _people()}) == 2_500


def test_about_eighty_of_a_hundred_consent_and_ninety_are_verified() -> None:
    people = _people()
    assert 0.77 < sum(person.consent for person in people) / len(people) < 0.83
    assert 0.87 < sum(person.email_verified for person in people) / len(people) < 0.93


def test_somebody_has_a_birthday_today_and_on_each_of_the_next_days() -> None:
    days = Counter(person.birthday[-5:] for person in _people() if person.birthday)
    for ahead in range(SOON_DAYS):
        assert days[f"{TODAY + timedelta(days=ahead):%m-%d}"] > 10
    assert len(days) > 350


def test_a_birthday_is_a_day_that_exists() -> None:
    for person in _people():
        if person.birthday:
            date.fromisoformat(person.birthday.replace("--", "2000-", 1))


def test_addresses_are_such_as_nobody_owns() -> None:
    assert all(person.email.endswith("@example.com") and person.email.isascii() for person in _people())
