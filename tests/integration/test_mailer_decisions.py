"""Who gets a mail, who waits and who is skipped: gates, caps, priorities, hours, as the sender decides them."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Engine, insert, select

from services.mailer.provider import Retry
from shared.database.suppressions import Suppressed, suppress
from shared.database.tables import mail_slot, message, suppression
from tests.desk import Desk, Recording
from tests.mailing import NOON, ORGANIZATION, add_campaign, add_people, organize, person, states
from tests.stack import eventually, waits_for_a_lock


def test_each_gate_stops_its_customer_with_its_reason(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(
            connection,
            person("a-goes"),
            person("b", email=None),
            person("c", email_verified=False),
            person("d", marketing_consent=False),
            person("e", email="E@Example.com"),
            person("f", email_frequency="never"),
        )
        connection.execute(
            insert(suppression).values(organization_id=ORGANIZATION, email="e@example.com", reason="bounce")
        )
        add_campaign(connection)
    provider = Recording()
    Desk(store, provider).run()
    assert provider.recipients == ["a-goes@example.com"]
    assert states(store) == {
        "a-goes": ("sent", None),
        "b": ("skipped", "no_email"),
        "c": ("skipped", "not_verified"),
        "d": ("skipped", "no_consent"),
        "e": ("skipped", "suppressed"),
        "f": ("skipped", "frequency_never"),
    }


def test_who_unsubscribes_while_the_mail_waits_gets_none(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection)
    provider = Recording()
    desk = Desk(store, provider)
    desk.plan()
    assert states(store) == {"a": ("planned", None)}
    with store.begin() as connection:
        connection.execute(
            insert(suppression).values(organization_id=ORGANIZATION, email="a@example.com", reason="unsubscribe")
        )
    desk.run()
    assert (provider.calls, states(store)) == ([], {"a": ("skipped", "suppressed")})


def test_what_waits_for_a_suppressed_address_is_skipped_at_once(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"), person("b"))
        add_campaign(connection)
        add_campaign(connection, "second")
    desk = Desk(store, Recording())
    desk.run()
    waiting = (message.c.customer_id == "b", message.c.campaign_id == "second")
    with store.begin() as connection:
        assert suppress(connection, ORGANIZATION, [Suppressed("A@example.com", "complaint", NOON)]) == 1
        kept = select(message.c.state, message.c.wait_until).where(*waiting)
        untouched = connection.execute(kept).one()
    desk.run()
    with store.connect() as connection:
        of_a = select(message.c.state, message.c.reason).where(message.c.customer_id == "a")
        assert set(connection.execute(of_a)) == {("sent", None), ("skipped", "suppressed")}
        assert connection.execute(kept).one() == untouched == ("waiting", NOON.replace(hour=0) + timedelta(days=1))


def test_a_clock_that_ran_ahead_puts_nobody_off(store: Engine) -> None:
    """Neither whose mail was put back then, nor who got one then and is due for another now."""
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"), person("b"))
        add_campaign(connection, expires_after_hours=24 * 90)
    desk = Desk(store, Recording(Retry("429", in_doubt=False, after=0)))
    desk.plan()
    desk.now += timedelta(days=60)
    desk.run()
    desk.wait(timedelta(minutes=1))
    desk.now = NOON
    desk.run()
    assert states(store) == dict.fromkeys("ab", ("sent", None))
    with store.begin() as connection:
        connection.exec_driver_sql("UPDATE mail_slot SET last_on = '2026-08-09'")
        add_campaign(connection, "second")
    desk.run()
    assert states(store, "second") == dict.fromkeys("ab", ("sent", None))


def test_a_capped_mail_waits_for_the_next_free_slot(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(
            connection,
            person("daily"),
            person("weekly", email_frequency="weekly"),
            person("monthly", email_frequency="monthly"),
        )
        add_campaign(connection)
        add_campaign(connection, "second", expires_after_hours=24 * 40)
    provider = Recording()
    desk = Desk(store, provider)
    desk.run()
    assert len(provider.recipients) == 3
    sent_in: dict[str, datetime] = {}
    for _ in range(3):
        with store.connect() as connection:
            waits = connection.execute(select(message.c.wait_until).where(message.c.state == "waiting")).scalars().all()
        assert {reason for state, reason in states(store, "second").values() if state == "waiting"} <= {"frequency_cap"}
        desk.now = min(waits)
        before = len(provider.recipients)
        desk.run()
        sent_in |= dict.fromkeys(provider.recipients[before:], desk.now)
    assert sent_in == {
        "daily@example.com": datetime(2026, 6, 11, tzinfo=UTC),
        "weekly@example.com": datetime(2026, 6, 15, tzinfo=UTC),
        "monthly@example.com": datetime(2026, 7, 1, tzinfo=UTC),
    }


def test_a_mail_that_would_wait_past_its_expiry_is_skipped(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a", email_frequency="monthly"))
        add_campaign(connection)
        add_campaign(connection, "second", expires_after_hours=72)
    desk = Desk(store, Recording())
    desk.run()
    assert states(store, "second") == {"a": ("skipped", "expired")}


def test_a_birthday_beats_a_promotion(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a", birthday=610, preferred_contact_time="afternoon"))
        add_campaign(connection, respect_contact_time=False)
        add_campaign(
            connection,
            "birthday",
            type="birthday",
            state="active",
            trigger={"on": "birthday", "days_before": 0},
            activated_at=NOON - timedelta(days=9),
        )
    provider = Recording()
    desk = Desk(store, provider, now=datetime(2026, 6, 10, 8, tzinfo=UTC))
    desk.run()
    assert (states(store, "birthday"), states(store)) == (
        {"a": ("waiting", "contact_time")},
        {"a": ("waiting", "priority")},
    )
    desk.now = datetime(2026, 6, 10, 12, 5, tzinfo=UTC)
    desk.run()
    assert (states(store, "birthday"), states(store)) == ({"a": ("sent", None)}, {"a": ("waiting", "frequency_cap")})


def test_two_mailers_never_fill_the_same_day_twice(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, *[person(f"c{n:03}") for n in range(150)])
        add_campaign(connection)
        add_campaign(connection, "second", priority=30)
    first, second = Recording(), Recording()
    desks = Desk(store, first), Desk(store, second, owner="mailer-1")
    desks[0].plan()
    threads = [threading.Thread(target=desk.run) for desk in desks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recipients = first.recipients + second.recipients
    assert sorted(recipients) == sorted({f"c{n:03}@example.com" for n in range(150)})


def test_a_lost_slot_makes_the_mail_wait_even_when_both_saw_it_free(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection)
    provider = Recording()
    desk = Desk(store, provider)
    desk.plan()
    racing = store.connect()
    racing.execute(
        insert(mail_slot).values(
            organization_id=ORGANIZATION,
            customer_id="a",
            last_on=date(2026, 6, 10),
            campaign_id="another",
            occasion="send",
        )
    )
    thread = threading.Thread(target=desk.run)
    thread.start()
    eventually(lambda: waits_for_a_lock(store))
    racing.commit()
    racing.close()
    thread.join()
    assert (provider.calls, states(store)) == ([], {"a": ("waiting", "frequency_cap")})


def test_a_holdout_gets_nothing_and_keeps_its_day(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, *[person(f"c{n:03}") for n in range(200)])
        add_campaign(connection, holdout_percent=30)
    provider = Recording()
    Desk(store, provider).run()
    held = [each for each, state in states(store).items() if state == ("skipped", "holdout")]
    assert 30 < len(held) < 90
    assert len(provider.recipients) == 200 - len(held)
    with store.connect() as connection:
        slots = set(connection.execute(select(mail_slot.c.customer_id)).scalars())
    assert slots.isdisjoint(held)


def test_quiet_hours_hold_a_mail_until_they_end(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection, quiet_from="21:00", quiet_until="08:30", time_zone="Asia/Kolkata")
        add_people(connection, person("a"))
        add_campaign(connection)
    desk = Desk(store, Recording(), now=datetime(2026, 6, 10, 18, tzinfo=UTC))  # 23:30 there
    desk.run()
    with store.connect() as connection:
        row = connection.execute(select(message)).one()
    assert (row.state, row.reason, row.wait_until) == ("waiting", "quiet_hours", datetime(2026, 6, 11, 3, tzinfo=UTC))
