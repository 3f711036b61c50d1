"""Automations that follow a segment: who enters is mailed once, after their delay, outside of their cool-down."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, select, update

from services.mailer.entries import Follower
from shared.database.tables import campaign, customer, message, segment
from tests.desk import Desk, Recording
from tests.mailing import (
    NOON,
    ORGANIZATION,
    add_campaign,
    add_people,
    add_segment,
    edit,
    occasions,
    organize,
    person,
    states,
)

MEMBER = b"\x00\x02"


def set_state(store: Engine, state: str) -> None:
    with store.begin() as connection:
        connection.execute(update(campaign).values(state=state))


def entry(event_id: str = "1", customer_id: str = "a", kind: str = "segment.entered", **given: Any) -> bytes:
    data = {
        "organization_id": ORGANIZATION,
        "customer_id": customer_id,
        "segment_id": "new",
        "segment_name": "New Customers",
        "cause": "event",
        "at": NOON.isoformat(),
    }
    event = {"specversion": "1.0", "id": event_id, "source": "/acme/segmenter", "type": kind, "time": NOON.isoformat()}
    return msgspec.json.encode({**event, "data": data | given})


def welcome(store: Engine, **trigger: Any) -> Follower:
    with store.begin() as connection:
        organize(connection)
        add_segment(connection, "new", 9)
        add_people(connection, person("a", memberships=MEMBER), person("b", memberships=MEMBER))
        add_campaign(
            connection,
            "welcome",
            type="welcome",
            state="active",
            trigger={"on": "segment_entered", "segment_id": "new", "cool_down_days": 30, "delay_hours": 0} | trigger,
            activated_at=NOON - timedelta(hours=1),
        )
    return Follower(store, lambda: NOON)


def test_who_enters_the_segment_gets_a_message_once_for_each_event(store: Engine) -> None:
    follower = welcome(store, cool_down_days=0, delay_hours=2)
    follower.take([entry("1"), entry("1"), entry("2", "b")])
    follower.take([entry("1"), entry("3")])
    assert occasions(store) == {("a", "entered-1"), ("b", "entered-2"), ("a", "entered-3")}
    with store.connect() as connection:
        times = connection.execute(select(message.c.wait_until, message.c.expires_at).distinct()).all()
    assert times == [(NOON + timedelta(hours=2), NOON + timedelta(hours=74))]


def test_the_cool_down_holds_within_one_batch_and_over_batches(store: Engine) -> None:
    follower = welcome(store, cool_down_days=30)
    follower.take([entry("1"), entry("2", at=(NOON + timedelta(minutes=1)).isoformat())])
    follower.take([entry("3", at=(NOON + timedelta(days=29)).isoformat())])
    assert occasions(store) == {("a", "entered-1")}
    follower.take([entry("4", at=(NOON + timedelta(days=31)).isoformat())])
    assert occasions(store) == {("a", "entered-1"), ("a", "entered-4")}


def test_a_campaign_says_which_causes_it_follows(store: Engine) -> None:
    follower = welcome(store, causes=["backfill"])
    follower.take([entry("1"), entry("2", "b", cause="backfill"), entry("3", cause="edit")])
    assert occasions(store) == {("b", "entered-2")}


def test_who_is_put_on_the_list_of_a_static_segment_has_entered_it(store: Engine) -> None:
    follower = welcome(store)
    with store.begin() as connection:
        connection.execute(update(segment).values(kind="static"))
    follower.take([entry("1", cause="edit"), entry("2", "b", cause="backfill")])
    assert occasions(store) == {("a", "entered-1"), ("b", "entered-2")}


def test_a_skipped_message_starts_no_cool_down(store: Engine) -> None:
    follower = welcome(store)
    follower.take([entry("1")])
    with store.begin() as connection:
        connection.execute(update(message).values(state="skipped", reason="no_consent"))
    follower.take([entry("2")])
    assert occasions(store) == {("a", "entered-1"), ("a", "entered-2")}


@pytest.mark.parametrize(
    "other",
    [
        entry(kind="segment.left"),
        entry(cause="backfill"),
        entry(cause="edit"),
        entry(segment_id="at-risk"),
        entry(organization_id="globex"),
        entry(customer_id="unknown"),
        entry(at=(NOON - timedelta(hours=2)).isoformat()),
        b"rubbish",
        b"",
        None,
    ],
)
def test_other_events_plan_nothing_and_harm_no_neighbour(store: Engine, other: bytes | None) -> None:
    welcome(store).take([other, entry("9", "b"), other])
    assert occasions(store) == {("b", "entered-9")}


def test_a_paused_automation_follows_whoever_enters_and_sends_when_it_resumes(store: Engine) -> None:
    follower, provider = welcome(store), Recording()
    set_state(store, "paused")
    follower.take([entry()])
    desk = Desk(store, provider)
    desk.run()
    assert (states(store, "welcome"), provider.calls) == ({"a": ("planned", None)}, [])
    set_state(store, "active")
    desk.run()
    assert provider.recipients == ["a@example.com"]


@pytest.mark.parametrize("state", ["cancelled", "draft", "failed"])
def test_an_automation_that_does_not_run_follows_nobody(store: Engine, state: str) -> None:
    follower = welcome(store)
    set_state(store, state)
    follower.take([entry()])
    assert states(store, "welcome") == {}


def test_who_left_the_segment_before_a_delayed_mail_goes_gets_none(store: Engine) -> None:
    follower, provider = welcome(store, delay_hours=24), Recording()
    follower.take([entry("1"), entry("2", "b")])
    with store.begin() as connection:
        connection.execute(update(customer).where(customer.c.customer_id == "a").values(memberships=b"\xff"))
    desk = Desk(store, provider, NOON + timedelta(hours=24))
    desk.run()
    assert states(store, "welcome") == {"a": ("skipped", "left_segment"), "b": ("sent", None)}
    follower.take([entry("3")])  # in again: what was skipped starts no cool-down
    assert occasions(store) >= {("a", "entered-3")}


def test_a_welcome_waits_for_the_profile_that_a_sale_has_overtaken(store: Engine) -> None:
    follower, provider = welcome(store), Recording()
    edit(store, name=None, email=None, email_verified=False, marketing_consent=False)
    follower.take([entry("1"), entry("2", "b")])
    desk = Desk(store, provider)
    again = desk.run()
    assert states(store, "welcome")["a"] == ("waiting", "no_email")
    desk.now = again
    with store.begin() as connection:
        profile = {"email": "a@example.com", "email_verified": True, "marketing_consent": True, "consent_at": NOON}
        connection.execute(update(customer).where(customer.c.customer_id == "a").values(profile))
    while (again := desk.run()) < NOON + timedelta(minutes=11):
        desk.now = again
    assert states(store, "welcome") == {"a": ("sent", None), "b": ("skipped", "no_email")}


def test_who_has_said_no_is_not_waited_for(store: Engine) -> None:
    follower = welcome(store)
    edit(store, marketing_consent=False, consent_at=NOON)
    follower.take([entry("1")])
    Desk(store, Recording()).run()
    assert states(store, "welcome") == {"a": ("skipped", "no_consent")}


def test_an_entry_that_comes_too_late_is_expired_and_holds_back_no_other(store: Engine) -> None:
    follower = welcome(store)
    with store.begin() as connection:
        connection.execute(update(campaign).values(activated_at=NOON - timedelta(days=60)))
    follower.take([entry("1", at=(NOON - timedelta(days=4)).isoformat()), entry("2")])
    with store.connect() as connection:
        found = {row.occasion: (row.state, row.reason) for row in connection.execute(select(message))}
    assert found == {"entered-1": ("skipped", "expired"), "entered-2": ("planned", None)}


def test_the_cool_down_holds_through_a_restart_with_events_in_another_order(store: Engine) -> None:
    first, second = (entry("1"), entry("2", at=(NOON + timedelta(days=5)).isoformat()))
    welcome(store).take([second])
    Follower(store, lambda: NOON + timedelta(days=5)).take([first, second, first])
    assert occasions(store) == {("a", "entered-2")}


def test_an_edit_of_a_running_automation_takes_effect_from_the_next_mail(store: Engine) -> None:
    follower = welcome(store)
    desk = Desk(store, Recording())
    follower.take([entry("1"), entry("2", "b", at=(NOON + timedelta(hours=1)).isoformat())])
    desk.run()
    with store.begin() as connection:
        connection.execute(update(campaign).values(subject="Changed", version=2))
    desk.now = NOON + timedelta(hours=1)
    desk.run()
    assert [mails[0].subject for _, mails in desk.provider.calls] == ["For you, Asha", "Changed"]
