"""Planning that is interrupted, doubled, overtaken by a cancel, or done by a clock that moves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, select, text, update
from sqlalchemy.exc import OperationalError

from services.mailer.automations import Entry, plan_entries
from services.mailer.planner import Planner
from services.mailer.provider import Outcome, Retry
from shared.database.tables import campaign, message
from tests.desk import Desk, Recording
from tests.mailing import (
    NOON,
    ORGANIZATION,
    add_campaign,
    add_people,
    add_segment,
    campaign_state,
    organize,
    person,
    states,
)
from tests.stack import eventually

pytestmark = pytest.mark.faults
PEOPLE = [f"c{n:03}" for n in range(150)]
ADDRESSES = [f"{each}@example.com" for each in PEOPLE]
TRIGGER = {"on": "segment_entered", "segment_id": "new", "cool_down_days": 30, "delay_hours": 0}
BLOCKED = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture
def store(store: Engine) -> Engine:
    with store.begin() as connection:
        organize(connection)
        add_segment(connection, "new", 0)
        add_people(connection, *[person(each, memberships=b"\x01", birthday=610) for each in PEOPLE])
    return store


def add(store: Engine, campaign_id: str, **given: Any) -> None:
    with store.begin() as connection:
        add_campaign(connection, campaign_id, **given)


@contextmanager
def watching(store: Engine) -> Iterator[Connection]:
    """A connection that sees who waits now: one transaction would show its first answer for ever."""
    with store.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


def killed_at_a_lock(store: Engine, held: Any, work: Callable[[], object]) -> None:
    """Do the work until it waits for what `held` locks, and end its session there, as a kill -9 would."""
    ends: list[type[BaseException]] = []

    def try_it() -> None:
        try:
            work()
        except OperationalError as error:
            ends.append(type(error))

    with store.connect() as holder:
        holder.execute(held)
        thread = threading.Thread(target=try_it)
        thread.start()
        with watching(store) as watcher:
            pid = eventually(lambda: watcher.execute(text(BLOCKED)).scalar())
            watcher.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        thread.join()
        holder.rollback()
    assert ends == [OperationalError]


def test_an_audience_whose_planner_dies_before_the_commit_is_planned_once(store: Engine) -> None:
    add(store, "promo", state="scheduled", send_at=NOON)
    # The campaign's row is written last.
    held = select(campaign).where(campaign.c.campaign_id == "promo").with_for_update()
    killed_at_a_lock(store, held, lambda: Planner(store, lambda: NOON).step(ORGANIZATION))
    assert (states(store), campaign_state(store)) == ({}, "scheduled")
    desk = Desk(store, Recording())
    desk.run()
    desk.run()
    assert sorted(desk.provider.recipients) == ADDRESSES


def test_birthdays_and_entries_whose_planner_dies_before_the_commit_are_planned_once(store: Engine) -> None:
    since = NOON - timedelta(days=1)
    birthday = {"on": "birthday", "days_before": 0}
    add(store, "birthday", type="birthday", state="active", trigger=birthday, activated_at=since)
    add(store, "welcome", type="welcome", state="active", trigger=TRIGGER, activated_at=since)
    entries = [Entry(f"e{n}", ORGANIZATION, each, "new", NOON) for n, each in enumerate(PEOPLE)]

    def follow() -> None:
        with store.begin() as connection:
            plan_entries(connection, ORGANIZATION, entries, NOON)

    def uncommitted(campaign_id: str, occasion: str) -> Any:
        key = {"organization_id": ORGANIZATION, "campaign_id": campaign_id, "customer_id": PEOPLE[70]}
        return insert(message).values(**key, occasion=occasion, state="planned")

    # Another mailer is at it, too: half of the rows are written when the first one waits for it.
    killed_at_a_lock(
        store, uncommitted("birthday", "birthday-2026"), lambda: Planner(store, lambda: NOON).step(ORGANIZATION)
    )
    killed_at_a_lock(store, uncommitted("welcome", "entered-e70"), follow)
    assert (states(store, "birthday"), states(store, "welcome")) == ({}, {})
    follow()
    follow()
    desk = Desk(store, Recording())
    desk.run()
    assert sorted(desk.provider.recipients) == ADDRESSES
    assert set(states(store, "birthday").values()) == {("sent", None)}
    assert set(states(store, "welcome").values()) == {("waiting", "frequency_cap")}


def test_a_cancel_finds_what_is_being_planned_at_that_moment_and_what_waits(store: Engine) -> None:
    add(store, "welcome", type="welcome", state="active", trigger=TRIGGER, activated_at=NOON)
    with store.begin() as connection:
        plan_entries(connection, ORGANIZATION, [Entry("e0", ORGANIZATION, PEOPLE[0], "new", NOON)], NOON)
        connection.execute(update(message).values(state="waiting", reason="contact_time"))

    def cancel() -> None:
        with store.begin() as connection:
            connection.execute(update(campaign).values(state="cancelled"))
        Planner(store, lambda: NOON).step(ORGANIZATION)

    thread = threading.Thread(target=cancel)
    with store.begin() as connection:
        plan_entries(connection, ORGANIZATION, [Entry("e1", ORGANIZATION, PEOPLE[1], "new", NOON)], NOON)
        thread.start()
        with watching(store) as watcher:
            eventually(lambda: watcher.execute(text(BLOCKED)).scalar())
    thread.join()
    assert states(store, "welcome") == dict.fromkeys(PEOPLE[:2], ("skipped", "cancelled"))


def test_a_clock_that_runs_ahead_and_is_set_back_brings_nobody_a_second_mail_and_loses_none(store: Engine) -> None:
    add(store, "first", state="scheduled", send_at=NOON)
    add(store, "second", state="scheduled", send_at=NOON + timedelta(hours=1), expires_after_hours=240)
    birthday = {"on": "birthday", "days_before": 0}
    add(store, "birthday", type="birthday", state="active", trigger=birthday, activated_at=NOON - timedelta(days=3))
    desk = Desk(store, Recording(), NOON - timedelta(days=2))
    for days in (-2, 1, -1, 0, 2, 1, 3, 0, 4, 5, 6):
        desk.now = NOON + timedelta(days=days)
        desk.run()
    for campaign_id in ("first", "second", "birthday"):
        assert set(states(store, campaign_id).values()) == {("sent", None)}
    assert sorted(desk.provider.recipients) == sorted(ADDRESSES * 3)


def test_what_a_cancel_meets_in_the_midst_of_a_call_that_fails_is_cancelled_and_gives_its_day_back(
    store: Engine,
) -> None:
    class Cancelling(Recording):
        def send_batch(self, *given: Any) -> Outcome:
            with store.begin() as connection:
                connection.execute(update(campaign).where(campaign.c.campaign_id != "later").values(state="cancelled"))
            return super().send_batch(*given)

    since = NOON - timedelta(days=1)
    birthday = {"on": "birthday", "days_before": 0}
    add(store, "birthday", type="birthday", state="active", trigger=birthday, activated_at=since)
    desk = Desk(store, Cancelling(Retry("429", in_doubt=False, after=0.5)))
    desk.plan()
    desk.step()
    desk.step()  # writes down how the calls ended
    # At once, without a planner that goes over them.
    called = {mail.to.split("@")[0] for _, mails in desk.provider.calls for mail in mails}
    assert {states(store, "birthday")[each] for each in called} == {("skipped", "cancelled")}
    add(store, "later")
    desk.wait(timedelta(minutes=1))
    desk.run()
    assert set(states(store, "later").values()) == {("sent", None)}
