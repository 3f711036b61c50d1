"""Birthdays and anniversaries: planned with the customer's own midnight, once a year, whatever is edited meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select

from services.mailer.planner import Planner
from shared.database.tables import message
from tests.desk import Desk, Recording
from tests.mailing import NOON, ORGANIZATION, add_campaign, add_people, edit, occasions, organize, person

BIRTHDAY = {"on": "birthday", "days_before": 0}


def plan_at(store: Engine, now: datetime) -> None:
    Planner(store, lambda: now).step(ORGANIZATION)


def due_at(store: Engine, customer_id: str) -> datetime:
    with store.connect() as connection:
        return connection.execute(select(message.c.wait_until).where(message.c.customer_id == customer_id)).scalar_one()


def birthdays(store: Engine, *people: dict[str, Any], **given: Any) -> None:
    values = {"type": "birthday", "state": "active", "trigger": BIRTHDAY, "activated_at": NOON - timedelta(days=900)}
    with store.begin() as connection:
        organize(connection, time_zone="Asia/Kolkata")
        add_people(connection, *people)
        add_campaign(connection, "birthday", **values | given)


def test_a_birthday_comes_with_the_customers_own_midnight(store: Engine) -> None:
    birthdays(
        store,
        person("auckland", birthday=611, time_zone="Pacific/Auckland"),
        person("home", birthday=611),
        person("la", birthday=611, time_zone="America/Los_Angeles"),
    )
    expected: set[tuple[str, str]] = set()
    # Midnight of 11 June there, in UTC.
    for customer_id, midnight in (
        ("auckland", datetime(2026, 6, 10, 12, tzinfo=UTC)),
        ("home", datetime(2026, 6, 10, 18, 30, tzinfo=UTC)),
        ("la", datetime(2026, 6, 11, 7, tzinfo=UTC)),
    ):
        plan_at(store, midnight - timedelta(hours=1, seconds=1))
        assert occasions(store) == expected
        # In time, so that it is there when whatever else waits for that midnight is claimed.
        plan_at(store, midnight - timedelta(minutes=59))
        expected |= {(customer_id, "birthday-2026")}
        assert occasions(store) == expected
        assert due_at(store, customer_id) == midnight


def test_a_mailer_that_was_down_over_midnight_catches_up(store: Engine) -> None:
    birthdays(store, person("a", birthday=608), person("b", birthday=605))
    plan_at(store, NOON)
    assert occasions(store) == {("a", "birthday-2026")}  # two days late it may still go; five days are past its expiry


def test_planning_again_and_by_two_mailers_plans_once(store: Engine) -> None:
    birthdays(store, person("a", birthday=610))
    for mailer in (Planner(store, lambda: NOON), Planner(store, lambda: NOON), Planner(store, lambda: NOON)):
        mailer.step(ORGANIZATION)
        mailer.step(ORGANIZATION)
    plan_at(store, NOON + timedelta(days=1))
    assert occasions(store) == {("a", "birthday-2026")}


def test_a_customer_who_comes_on_their_birthday_is_greeted_within_minutes(store: Engine) -> None:
    birthdays(store, person("early", birthday=101))
    moment = [NOON]
    planner = Planner(store, lambda: moment[0])
    moment[0] = planner.step(ORGANIZATION)
    with store.begin() as connection:
        add_people(connection, person("late", birthday=610))
    while not occasions(store) and moment[0] < NOON + timedelta(minutes=14):
        moment[0] = planner.step(ORGANIZATION)
    assert occasions(store) == {("late", "birthday-2026")}


def test_the_same_birthday_comes_again_next_year(store: Engine) -> None:
    birthdays(store, person("a", birthday=610))
    plan_at(store, NOON)
    plan_at(store, NOON.replace(year=2027))
    assert occasions(store) == {("a", "birthday-2026"), ("a", "birthday-2027")}


@pytest.mark.parametrize(("year", "day"), [(2026, 28), (2028, 29)])
def test_29_february_is_kept_on_28_february_in_other_years(store: Engine, year: int, day: int) -> None:
    birthdays(store, person("leap", birthday=229), expires_after_hours=1, activated_at=datetime(2020, 1, 1, tzinfo=UTC))
    plan_at(store, datetime(year, 2, day - 1, 12, tzinfo=UTC))
    assert occasions(store) == set()
    plan_at(store, datetime(year, 2, day, 12, tzinfo=UTC))
    assert occasions(store) == {("leap", f"birthday-{year}")}


def test_days_before_reach_over_the_turn_of_the_year(store: Engine) -> None:
    birthdays(store, person("a", birthday=103), trigger={"on": "birthday", "days_before": 7})
    plan_at(store, datetime(2026, 12, 27, 12, tzinfo=UTC))
    assert occasions(store) == {("a", "birthday-2027")}


def test_an_automation_looks_back_no_further_than_its_activation(store: Engine) -> None:
    birthdays(store, person("a", birthday=609), person("b", birthday=610), activated_at=NOON)
    plan_at(store, NOON)
    assert occasions(store) == {("b", "birthday-2026")}


def test_a_paused_automation_plans_nothing(store: Engine) -> None:
    birthdays(store, person("a", birthday=610), state="paused")
    plan_at(store, NOON)
    assert occasions(store) == set()


def test_an_anniversary_is_the_day_of_registering_where_none_is_given(store: Engine) -> None:
    registered = datetime(2025, 6, 9, 20, tzinfo=UTC)  # 10 June in India
    birthdays(
        store,
        person("given", anniversary=610),
        person("registered", registered_given_at=registered),
        person("this-year", registered_given_at=registered.replace(year=2026)),
        person("other-day", anniversary=501, registered_given_at=registered),
        type="anniversary",
        trigger={"on": "anniversary", "days_before": 0},
        expires_after_hours=1,
    )
    plan_at(store, NOON)
    assert occasions(store) == {("given", "anniversary-2026"), ("registered", "anniversary-2026")}


def test_a_birthday_campaign_keeps_to_its_audience(store: Engine) -> None:
    birthdays(
        store, person("a", birthday=610, total_spent=10), person("b", birthday=610), audience={"minimum_spent": 10}
    )
    plan_at(store, NOON)
    assert occasions(store) == {("a", "birthday-2026")}


@pytest.mark.parametrize(
    ("edits", "comes"),
    [
        # On the day itself, after it was planned and while it waits for the evening.
        ({"birthday": 613}, [datetime(2026, 6, 13, 17, tzinfo=UTC)]),
        ({"birthday": 609}, [datetime(2026, 6, 10, 17, tzinfo=UTC)]),  # in time enough
        ({"birthday": None}, []),
        ({"time_zone": "America/Los_Angeles"}, [datetime(2026, 6, 11, 0, tzinfo=UTC)]),
        ({"time_zone": "Pacific/Kiritimati"}, [datetime(2026, 6, 11, 3, tzinfo=UTC)]),
    ],
)
def test_a_day_that_is_edited_on_the_day_brings_one_mail_at_the_right_time(
    store: Engine, edits: dict[str, Any], comes: list[datetime]
) -> None:
    birthdays(store, person("a", birthday=610, preferred_contact_time="evening", time_zone="UTC"))
    times: list[datetime] = []
    desk = Desk(store, Recording(), datetime(2026, 6, 10, 0, tzinfo=UTC))
    desk.run()
    edit(store, **edits)
    for desk.now in (datetime(2026, 6, day, hour, tzinfo=UTC) for day in range(10, 14) for hour in (0, 3, 16, 17)):
        before = len(desk.provider.calls)
        desk.run()
        times += [desk.now] * (len(desk.provider.calls) - before)
    assert times == comes


def test_a_birthday_moved_over_the_turn_of_the_year_is_greeted_once(store: Engine) -> None:
    birthdays(store, person("a", birthday=1231))
    desk = Desk(store, Recording(), datetime(2026, 12, 31, 12, tzinfo=UTC))
    desk.run()
    edit(store, birthday=102)
    desk.now = datetime(2027, 1, 2, 12, tzinfo=UTC)
    desk.run()
    assert len(desk.provider.calls) == 1
