from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import pytest
from kafka import KafkaConsumer
from sqlalchemy import Engine, insert, select

from shared.clock import utc_now
from shared.database.tables import coupon, coupon_code, message
from shared.domain.events import MailSent, SegmentEntered, decode, kafka_key
from shared.kafka import Topic, create_topics, producer
from shared.settings import MailerSettings
from tests import mailing
from tests.mailing import (
    ORGANIZATION,
    Sandbox,
    add_campaign,
    add_people,
    add_segment,
    campaign_state,
    organize,
    person,
    states,
)
from tests.smtp_sink import smtp_sink
from tests.stack import TRUSTS_NOBODY, eventually

pytestmark = pytest.mark.faults
# The claim is made for 100,000: REGULARS_FAULT_RECIPIENTS=100000 takes some minutes.
RECIPIENTS = int(os.environ.get("REGULARS_FAULT_RECIPIENTS", "2000"))
KILLS = 20 if RECIPIENTS >= 100_000 else 3


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Sandbox]:
    with mailing.sandbox(tmp_path) as running:
        yield running


@pytest.fixture
def chosen(settings: Callable[..., Any], inbox: Sandbox) -> MailerSettings:
    made: MailerSettings = settings(MailerSettings, sandbox_url=inbox.url)
    create_topics(made)
    return made


def sent_events(chosen: MailerSettings) -> list[MailSent]:
    consumer = KafkaConsumer(
        Topic.MAIL.on(chosen),
        bootstrap_servers=chosen.kafka,
        auto_offset_reset="earliest",
        consumer_timeout_ms=2_000,
        enable_auto_commit=False,
    )
    try:
        events = [decode(record.value, utc_now()) for record in consumer]
    finally:
        consumer.close()
    return [event for event in events if isinstance(event, MailSent)]


def entry(event_id: str, customer_id: str) -> SegmentEntered:
    raw = {
        "specversion": "1.0",
        "id": event_id,
        "source": "/acme/segmenter",
        "type": "segment.entered",
        "time": utc_now().isoformat(),
        "data": {
            "organization_id": ORGANIZATION,
            "customer_id": customer_id,
            "segment_id": "new",
            "segment_name": "New",
            "cause": "event",
            "at": utc_now().isoformat(),
        },
    }
    return decode(msgspec.json.encode(raw), utc_now())  # type: ignore[return-value]


def publish(chosen: MailerSettings, *events: SegmentEntered) -> None:
    sender = producer(chosen)
    try:
        futures = [
            sender.send(Topic.SEGMENTS.on(chosen), key=kafka_key(event), value=msgspec.json.encode(event))
            for event in events
        ]
        for future in futures:
            future.get(10)
    finally:
        sender.close()


def test_everybody_gets_it_exactly_once_through_kills_and_a_failing_provider(
    store: Engine, inbox: Sandbox, chosen: MailerSettings
) -> None:
    barred = {
        "no_email": {"email": None},
        "not_verified": {"email_verified": False},
        "no_consent": {"marketing_consent": False},
        "frequency_never": {"email_frequency": "never"},
    }
    with store.begin() as connection:
        organize(connection)
        add_people(connection, *[person(f"c{n:06}") for n in range(RECIPIENTS)])
        for reason, given in barred.items():
            add_people(connection, *[person(f"{reason}-{n}", **given) for n in range(25)])
        rules = {"organization_id": ORGANIZATION, "code": "VIP500", "type": "fixed", "value": 50_000}
        connection.execute(insert(coupon).values(rules))
        add_campaign(connection, body="Hello, take {coupon_code}.", coupon_code="VIP500", unique_codes=True)
    second = chosen.model_copy(update={"instance": "mailer-1"})
    chance = random.Random(6)
    for kill in range(KILLS):
        kind = ("429", "500", "drop_after_accept")[kill % 3]
        inbox.fault(kind, 2)
        with ExitStack() as both:
            # What one had in hand when it was killed is its own until its lease ends: who comes back goes on with it.
            two = (chosen, second) if kill else (chosen,)
            running = [both.enter_context(mailing.mailer(each)) for each in two]
            # Not at a time but at a place: after some more mails, in the middle of whatever comes next.
            goal = min(RECIPIENTS - 100, inbox.count() + chance.randrange(1, RECIPIENTS * 3 // 2 // KILLS))
            eventually(lambda goal=goal: inbox.count() >= goal, deadline=90, every=0.01)
            for each in running:
                each.kill()
    inbox.fault("drop_after_accept", 2)
    with mailing.mailer(chosen), mailing.mailer(second):
        eventually(lambda: campaign_state(store) == "sent", deadline=300)
        eventually(lambda: _unpublished(store) == 0, deadline=60)
    recipients = Counter(address for mail in inbox.mails() for address in mail["to"])
    assert recipients == Counter(f"c{n:06}@example.com" for n in range(RECIPIENTS))
    found = states(store)
    assert Counter(found.values()) == Counter(
        {("sent", None): RECIPIENTS} | {("skipped", reason): 25 for reason in barred}
    )
    with store.connect() as connection:
        ids = {
            str(each)
            for each in connection.execute(select(message.c.message_id).where(message.c.state == "sent")).scalars()
        }
        codes = {f"{row.customer_id}@example.com": row.code for row in connection.execute(select(coupon_code)).all()}
    assert {event.data.message_id for event in sent_events(chosen)} == ids
    # Each mail's code is its recipient's at the till, and no other was made.
    assert {mail["to"][0]: re.findall(r"take (\w+)", mail["text"]) for mail in inbox.mails()} == {
        to: [code] for to, code in codes.items()
    }
    assert len(codes) == RECIPIENTS


def test_a_segment_entry_becomes_a_mail_though_the_mailer_is_killed_and_the_database_goes(
    store: Engine, inbox: Sandbox, chosen: MailerSettings, database_server: str
) -> None:
    with store.begin() as connection:
        organize(connection)
        add_segment(connection, "new", 0)
        add_people(connection, *[person(f"c{n}", memberships=b"\x01") for n in range(300)])
        add_campaign(
            connection,
            "welcome",
            type="welcome",
            state="active",
            trigger={"on": "segment_entered", "segment_id": "new", "cool_down_days": 0, "delay_hours": 0},
            activated_at=utc_now(),
        )
    name = store.url.database
    with mailing.mailer(chosen) as running:
        running.wait_until_ready()
        publish(chosen, *[entry(f"e{n}", f"c{n}") for n in range(100)])
        eventually(lambda: inbox.count() > 0, deadline=60, every=0.01)
        running.kill()
    with mailing.mailer(chosen) as running:
        publish(chosen, *[entry(f"e{n}", f"c{n}") for n in range(100, 200)])
        running.wait_until_ready()
        store.dispose()
        with psycopg.connect(database_server, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            eventually(lambda: running.readiness() != "ready", deadline=30)
            publish(chosen, *[entry(f"e{n}", f"c{n}") for n in range(200, 300)])
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        running.wait_until_ready()
        publish(chosen, *[entry(f"e{n}", f"c{n}") for n in range(300)])  # all of them once more
        eventually(lambda: inbox.count() >= 300, deadline=90)
        eventually(lambda: Counter(states(store, "welcome").values()) == {("sent", None): 300}, deadline=60)
        assert (
            httpx.get(f"http://127.0.0.1:{running.port}/metrics", verify=TRUSTS_NOBODY).text.count(
                "regulars_mails_total"
            )
            > 0
        )
        assert running.stop() == 0
    recipients = Counter(address for mail in inbox.mails() for address in mail["to"])
    assert recipients == Counter(f"c{n}@example.com" for n in range(300))


def test_by_smtp_a_kill_leaves_no_more_in_doubt_than_a_mail_a_connection(store: Engine, chosen: MailerSettings) -> None:
    people, kills, connections, senders = 900, 3, 2, 2
    with store.begin() as connection:
        organize(connection)
        add_people(connection, *[person(f"c{n:04}") for n in range(people)])
        add_campaign(connection)
    with smtp_sink() as sink:
        given = {"mail_provider": "smtp", "smtp_url": sink.url, "smtp_tls": "off", "smtp_connections": connections}
        by_smtp = MailerSettings(**chosen.model_dump() | given | {"senders": senders, "smtp_mails_per_second": 1e6})
        for kill in range(kills):
            with mailing.mailer(by_smtp) as running:
                eventually(lambda goal=240 * (kill + 1): len(sink.mails) >= goal, deadline=90, every=0.005)
                running.kill()
        with mailing.mailer(by_smtp):
            eventually(lambda: campaign_state(store) == "sent", deadline=120)
    times = Counter(sink.recipients())
    assert set(times) == {f"c{n:04}@example.com" for n in range(people)}
    assert sum(times.values()) - len(times) <= kills * connections * senders
    assert len({(kept.to, kept.headers["Message-ID"]) for kept in sink.mails}) == people
    assert Counter(states(store).values()) == Counter({("sent", None): people})


def _unpublished(store: Engine) -> int:
    with store.connect() as connection:
        return len(connection.exec_driver_sql("SELECT 1 FROM mail_batch WHERE state IN ('claimed', 'accepted')").all())
