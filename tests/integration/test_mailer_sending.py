from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update

from services.mailer.app import Works
from services.mailer.health import Health
from services.mailer.provider import Accepted, Halted, Refused, Retry
from services.mailer.resend_provider import ResendProvider
from shared.database.engine import engine
from shared.database.suppressions import Suppressed, suppress
from shared.database.tables import campaign, mail_batch, mail_slot, message, suppression
from shared.domain.links import read_link
from tests import mailing
from tests.desk import Desk, Recording
from tests.mailing import NOON, ORGANIZATION, add_campaign, add_people, campaign_state, organize, person, states
from tests.stack import eventually


@pytest.fixture
def store(database: str) -> Iterator[Engine]:
    made = engine(database)
    yield made
    made.dispose()


@pytest.fixture(scope="session")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mailing.Sandbox]:
    with mailing.sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


def test_a_mail_goes_out_whole(store: Engine, inbox: mailing.Sandbox) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("whole", name="Zoë <b> & Co"))
        add_campaign(connection, body="Hi {first_name}, [look](https://shop.example/?n={first_name}).\n\n- one\n- two")
    provider = ResendProvider("key", inbox.url)
    Desk(store, provider).run()
    provider.close()
    (mail,) = [each for each in inbox.mails() if "whole@example.com" in each["to"]]
    assert mail["from"] == "Acme <hello@acme.example>"
    assert mail["subject"] == "For you, Zoë"
    assert 'href="https://shop.example/?n=Zo%C3%AB"' in mail["html"]
    assert "- one" in mail["text"]
    for part in (mail["html"], mail["text"]):
        assert "1 Long Road" in part
        assert "https://r.example/u/" in part
    link = mail["headers"]["List-Unsubscribe"]
    token = link.removeprefix("<https://r.example/u/").removesuffix(">")
    assert read_link("s3cret", "unsubscribe", token) == (ORGANIZATION, mail["headers"]["X-Regulars-Message"])
    assert mail["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    with store.connect() as connection:
        row = connection.execute(select(message)).one()
        ids = connection.execute(select(mail_batch.c.ids).where(mail_batch.c.batch_id == row.batch_id)).scalar_one()
    assert (row.state, json.loads(ids)) == ("sent", {str(row.message_id): mail["id"]})
    assert str(row.message_id) == mail["headers"]["X-Regulars-Message"]
    assert campaign_state(store) == "sent"


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
    with store.begin() as connection:
        connection.exec_driver_sql("DELETE FROM mail_rate")
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
    eventually(lambda: _waits_for_a_lock(store))
    racing.commit()
    racing.close()
    thread.join()
    assert (provider.calls, states(store)) == ([], {"a": ("waiting", "frequency_cap")})


def test_a_batch_in_doubt_is_sent_again_with_the_same_key_and_the_same_bytes(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"), person("b"))
        add_campaign(connection)
    provider = Recording(Retry("no answer", in_doubt=True))
    desk = Desk(store, provider)
    desk.run()
    with store.begin() as connection:  # neither an edit nor a new name may change what is sent again
        connection.execute(update(campaign).values(body="Changed", version=2))
        connection.exec_driver_sql("UPDATE customer SET name = 'Somebody Else'")
        connection.exec_driver_sql("DELETE FROM mail_rate")
    desk.wait(timedelta(minutes=2))
    desk.run()
    assert len(provider.calls) == 2
    assert provider.calls[0] == provider.calls[1]
    assert set(states(store).values()) == {("sent", None)}


def test_a_batch_that_was_surely_not_taken_meets_the_gates_again(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"), person("b"))
        add_campaign(connection)
    provider = Recording(Retry("429", in_doubt=False, after=3))
    desk = Desk(store, provider)
    desk.run()
    with store.begin() as connection:
        connection.exec_driver_sql("UPDATE customer SET marketing_consent = false WHERE customer_id = 'a'")
    desk.run()
    assert len(provider.calls) == 1  # the provider wants to be left alone for so long
    with store.begin() as connection:
        connection.exec_driver_sql("DELETE FROM mail_rate")
    desk.run()
    assert [mail.to for mail in provider.calls[1][1]] == ["b@example.com"]
    assert states(store) == {"a": ("skipped", "no_consent"), "b": ("sent", None)}


def test_a_mail_turned_down_for_good_fails_and_gives_its_day_back(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"), person("b"))
        add_campaign(connection)
    provider = Recording(Accepted({0: "id"}, {1: "no such address"}))
    desk = Desk(store, provider)
    desk.run()
    assert states(store) == {"a": ("sent", None), "b": ("failed", "provider_refused")}
    with store.begin() as connection:
        assert connection.execute(select(message.c.detail).where(message.c.customer_id == "b")).scalar() == (
            "no such address"
        )
        add_campaign(connection, "second")
    desk.run()
    assert states(store, "second") == {"a": ("waiting", "frequency_cap"), "b": ("sent", None)}


def test_twenty_failures_in_a_row_pause_the_campaign_and_say_why(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection, expires_after_hours=1000)
    provider = Recording(*[Retry("500 out of order", in_doubt=True)] * 25)
    desk = Desk(store, provider)
    desk.plan()
    for _ in range(60):
        desk.step()
        desk.wait(timedelta(minutes=2))
        with store.begin() as connection:
            connection.exec_driver_sql("DELETE FROM mail_rate")
    assert len(provider.calls) == 20
    with store.connect() as connection:
        row = connection.execute(select(campaign)).one()
    assert row.state == "paused"
    assert "20 batches in a row failed" in row.error
    assert "500 out of order" in row.error


def test_a_campaign_says_what_holds_it_up_until_it_goes_on(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection)
    desk = Desk(store, Recording(*[Retry("500 out of order", in_doubt=True)] * 3))
    desk.plan()

    def error_after_another_step() -> str | None:
        desk.step()
        desk.wait(timedelta(minutes=2))
        with store.begin() as connection:
            connection.exec_driver_sql("DELETE FROM mail_rate")
            return connection.execute(select(campaign.c.error)).scalar_one()

    said = [error_after_another_step() for _ in range(12)]
    assert said[-1] is None
    assert "3 batches in a row did not go; tried again by itself. Last: 500 out of order" in said
    assert states(store) == {"a": ("sent", None)}


def test_a_refused_key_pauses_the_campaign_and_loses_nobody(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection)
    provider = Recording(Halted("403 the domain is not verified"))
    desk = Desk(store, provider)
    desk.run()
    assert (campaign_state(store), states(store)) == ("paused", {"a": ("planned", None)})
    with store.begin() as connection:
        connection.execute(update(campaign).values(state="sending"))
    desk.run()
    assert (campaign_state(store), states(store)) == ("sent", {"a": ("sent", None)})


def test_without_a_sender_address_the_campaign_pauses_and_says_so(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection, sender_email="")
        add_people(connection, person("a"))
        add_campaign(connection)
    Desk(store, Recording()).run()
    with store.connect() as connection:
        row = connection.execute(select(campaign)).one()
    assert (row.state, "sender_email" in row.error) == ("paused", True)


def test_a_batch_refused_whole_fails_its_messages(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection)
    Desk(store, Recording(Refused("422 nonsense"))).run()
    assert states(store) == {"a": ("failed", "provider_refused")}


@pytest.mark.parametrize("stopped", ["paused", "cancelled"])
def test_a_stopped_campaign_sends_nothing_more(store: Engine, stopped: str) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, *[person(f"c{n:03}") for n in range(250)])
        add_campaign(connection)
    provider = Recording()
    desk = Desk(store, provider)
    desk.plan()
    desk.step()
    with store.begin() as connection:
        connection.execute(update(campaign).values(state=stopped))
    desk.run()
    found = list(states(store).values())
    rest = ("planned", None) if stopped == "paused" else ("skipped", "cancelled")
    assert (len(provider.recipients), found.count(("sent", None)), found.count(rest)) == (100, 100, 150)
    if stopped == "paused":
        with store.begin() as connection:
            connection.execute(update(campaign).values(state="sending"))
        desk.run()
        assert sorted(provider.recipients) == [f"c{n:03}@example.com" for n in range(250)]


def test_a_batch_in_doubt_is_not_repeated_after_its_key_is_forgotten(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection)
    provider = Recording(Retry("no answer", in_doubt=True))
    desk = Desk(store, provider)
    desk.run()
    with store.begin() as connection:
        connection.exec_driver_sql("DELETE FROM mail_rate")
    desk.wait(timedelta(hours=24))
    desk.run()
    assert (len(provider.calls), states(store)) == (1, {"a": ("failed", "in_doubt")})
    assert campaign_state(store) == "sent"


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


def test_the_audience_is_as_the_campaign_says(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        connection.exec_driver_sql(
            "INSERT INTO segment (organization_id, segment_id, name, kind, slot) VALUES"
            " ('acme', 'vip', 'VIP', 'dynamic', 9), ('acme', 'risk', 'Risk', 'dynamic', 1)"
        )
        vip, both = b"\x00\x02", b"\x02\x02"
        rich = {"total_spent": 500, "visit_count": 3, "tags": ["gold", "x"]}
        add_people(
            connection,
            person("in", memberships=vip, **rich),
            person("in-both", memberships=both, **rich),
            person("in-none", **rich),
            person("short", memberships=b"\x01", **rich),
            person("poor", memberships=vip, **rich | {"total_spent": 499}),
            person("rare", memberships=vip, **rich | {"visit_count": 2}),
            person("untagged", memberships=vip, **rich | {"tags": ["silver"]}),
        )
        audience = {"include_segments": ["vip"], "exclude_segments": ["risk"], "minimum_spent": 500}
        add_campaign(connection, audience=audience | {"minimum_visits": 3, "tags": ["gold", "platinum"]})
    Desk(store, Recording()).run()
    assert set(states(store)) == {"in"}


def test_a_scheduled_campaign_waits_for_its_time(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection, state="scheduled", send_at=NOON + timedelta(minutes=30))
    provider = Recording()
    desk = Desk(store, provider)
    assert desk.plan() <= NOON + timedelta(minutes=30)
    assert states(store) == {}
    desk.now = NOON + timedelta(minutes=30)
    desk.run()
    assert (provider.recipients, campaign_state(store)) == (["a@example.com"], "sent")


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


def test_a_campaign_that_cannot_be_planned_fails_with_its_error_and_holds_up_nobody(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("a"))
        add_campaign(connection, "broken", audience={"minimum_spent": "lots"}, priority=1)
        add_campaign(connection)
    provider = Recording()
    Desk(store, provider).run()
    with store.connect() as connection:
        row = connection.execute(select(campaign).where(campaign.c.campaign_id == "broken")).one()
    assert (row.state, row.error.startswith("Its audience cannot be read: ")) == ("failed", True)
    assert provider.recipients == ["a@example.com"]


def test_an_empty_audience_is_sent_at_once(store: Engine) -> None:
    with store.begin() as connection:
        organize(connection)
        add_campaign(connection)
    Desk(store, Recording()).run()
    assert campaign_state(store) == "sent"


def test_a_new_campaign_is_sent_at_once_when_it_is_announced(
    store: Engine, inbox: mailing.Sandbox, settings: Callable[..., Any], tmp_path: Path
) -> None:
    from shared.kafka import create_topics  # noqa: PLC0415
    from shared.settings import MailerSettings  # noqa: PLC0415

    chosen = settings(MailerSettings, sandbox_url=inbox.url)
    create_topics(chosen)
    provider = ResendProvider("key", inbox.url)
    works = Works(chosen, provider, Health())
    with store.begin() as connection:
        organize(connection)
        add_people(connection, person("announced"))
    works.start()
    try:
        with store.begin() as connection:
            add_campaign(connection)
            mailing.notify(connection)
        eventually(lambda: campaign_state(store) == "sent", deadline=10)
        eventually(lambda: _batch_states(store) == ["published"], deadline=20)
    finally:
        works.stop()
        provider.close()
    assert "announced@example.com" in [mail["to"][0] for mail in inbox.mails()]


def _batch_states(store: Engine) -> list[str]:
    with store.connect() as connection:
        return list(connection.execute(select(mail_batch.c.state)).scalars())


def _waits_for_a_lock(store: Engine) -> bool:
    with store.connect() as connection:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(connection.exec_driver_sql(waiting).scalar())
