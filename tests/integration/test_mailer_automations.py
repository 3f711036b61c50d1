from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, select, update

from services.mailer.entries import Follower
from services.mailer.planner import Planner
from shared.database.tables import campaign, customer, message, segment
from tests.desk import Desk, Recording
from tests.mailing import NOON, ORGANIZATION, add_campaign, add_people, add_segment, organize, person, states

MEMBER = b"\x00\x02"
BIRTHDAY = {"on": "birthday", "days_before": 0}


def plan_at(store: Engine, now: datetime) -> None:
    Planner(store, lambda: now).step(ORGANIZATION)


def set_state(store: Engine, state: str) -> None:
    with store.begin() as connection:
        connection.execute(update(campaign).values(state=state))


def occasions(store: Engine) -> set[tuple[str, str]]:
    with store.connect() as connection:
        return {(row.customer_id, row.occasion) for row in connection.execute(select(message))}


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


def edit(store: Engine, **values: Any) -> None:
    with store.begin() as connection:
        connection.execute(update(customer).values(**values))


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
