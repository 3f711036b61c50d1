"""What the relay tells, told right whatever is in it and whoever dies meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError
from kafka import KafkaProducer
from kafka.errors import KafkaError

from services.segmenter.backfill import Backfill
from services.segmenter.batch import Batches, process_or_split
from services.segmenter.connection import connect
from services.segmenter.relay import FILL_PATIENCE, Relay
from shared.kafka import Topic
from shared.settings import SegmenterSettings
from tests.segmenter import CRITERIA, consume, replayed
from tests.till import NOW, Event, Record, records, sale

pytestmark = pytest.mark.faults
Settings = Callable[..., Any]
AS_LARGE_AS_THE_BROKER_TAKES = 2_097_000


@pytest.fixture
def batches(chosen: SegmenterSettings) -> Iterator[Batches]:
    with connect(chosen.database) as connection:
        yield Batches(connection, "crm.mail.v1", lambda: NOW)


@pytest.fixture
def relay(chosen: SegmenterSettings) -> Iterator[Relay]:
    made = Relay(chosen)
    yield made
    made.end()


def count(batches: Batches, *events: Event | bytes) -> None:
    process_or_split(batches, records(events))


def test_a_letter_of_any_size_that_the_broker_takes_reaches_the_topic(
    chosen: SegmenterSettings, batches: Batches, relay: Relay
) -> None:
    value = b"x" * AS_LARGE_AS_THE_BROKER_TAKES
    sending = KafkaProducer(bootstrap_servers=chosen.kafka, max_request_size=3_000_000)
    try:
        place = sending.send(Topic.SALES.on(chosen), value=value).get(30)
    finally:
        sending.close()
    record = Record(place.topic, place.partition, place.offset, 0, None, value)
    process_or_split(batches, [record])
    relay.work(batches.connection)
    (told,) = consume(chosen, Topic.DEAD_LETTERS)
    assert dict(told.headers)["offset"] == str(place.offset).encode()


def test_a_relay_that_dies_before_it_notes_what_it_told_makes_no_second_event(
    chosen: SegmenterSettings, batches: Batches, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    count(batches, sale(1, "c-1", 50_000))
    with monkeypatch.context() as patched:
        patched.setattr(
            "services.segmenter.relay.PUBLISHED",
            "SELECT 1 / 0 WHERE %s::text IS NOT NULL AND %s::text IS NOT NULL",
        )
        with pytest.raises(psycopg.errors.DivisionByZero):
            relay.work(batches.connection)
    batches.connection.execute("SELECT pg_advisory_unlock_all()")  # its connection would have died with it
    relay.work(batches.connection)
    ids = [json.loads(record.value)["id"] for record in consume(chosen, Topic.SEGMENTS)]
    assert len(ids) == 2 * len(set(ids)), "told twice, under the same ids"
    assert replayed(chosen) == {("spenders", "c-1"), ("new", "c-1"), ("silent", "c-1")}
    history = batches.connection.execute("SELECT count(*), count(DISTINCT change_id) FROM segment_change").fetchone()
    assert history == (1, 1)


def test_changes_wait_a_few_seconds_for_a_fill_and_then_go_as_usual(
    chosen: SegmenterSettings, batches: Batches, relay: Relay
) -> None:
    count(batches, sale(1, "c-1", 50_000))
    connection = batches.connection
    fill = "UPDATE segment SET state = 'filling', updated_at = now() - make_interval(secs => %s) WHERE slot = 0"
    for seconds, published in ((0, False), (FILL_PATIENCE + 1, True)):
        connection.execute(fill, [seconds])
        relay.work(connection)
        assert connection.execute("SELECT count(*) = 0 FROM outbox").fetchone() == (published,)
    assert replayed(chosen) == {("spenders", "c-1"), ("new", "c-1"), ("silent", "c-1")}


def test_changes_and_letters_let_a_long_backlog_go_first_for_some_seconds(
    chosen: SegmenterSettings, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    count(batches, sale(1, "c-1", 50_000), b"rubbish")
    connection, backlog = batches.connection, [True]
    relay = Relay(chosen, lambda: backlog[0])
    waiting = """
        SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM dead_letter WHERE published_at IS NULL)"""
    try:
        relay.work(connection)
        assert connection.execute(waiting).fetchone() == (1, 1)
        with monkeypatch.context() as patched:
            patched.setattr("services.segmenter.relay.BACKLOG_PATIENCE", 0.0)
            relay.work(connection)  # the backlog is as long as ever
        assert connection.execute(waiting).fetchone() == (0, 0)
        count(batches, sale(2, "c-2", 50_000))
        relay.work(connection)
        assert connection.execute(waiting).fetchone() == (1, 0), "it is patient anew"
        backlog[0] = False
        relay.work(connection)
        assert connection.execute(waiting).fetchone() == (0, 0)
    finally:
        relay.end()


def test_while_kafka_does_not_take_them_changes_stay_and_keep_their_order(
    chosen: SegmenterSettings, batches: Batches, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    count(batches, sale(1, "c-1", 50_000))

    async def refuse(*_: object, **__: object) -> None:
        raise KafkaTimeoutError

    with monkeypatch.context() as patched:
        patched.setattr(AIOKafkaProducer, "send_batch", refuse)
        with pytest.raises(KafkaError):
            relay.work(batches.connection)
    batches.connection.execute("SELECT pg_advisory_unlock_all()")
    count(batches, sale(2, "c-2", 100))
    relay.work(batches.connection)
    told = [json.loads(record.value) for record in consume(chosen, Topic.SEGMENTS)]
    assert {event["data"]["customer_id"] for event in told} == {"c-1", "c-2"}
    assert replayed(chosen) >= {("spenders", "c-1"), ("new", "c-2")}


def test_a_slot_is_not_used_again_before_its_last_change_is_told(
    chosen: SegmenterSettings, batches: Batches, relay: Relay
) -> None:
    connection = batches.connection
    count(batches, sale(1, "c-1", 50_000))
    connection.execute("UPDATE segment SET state = 'deleting' WHERE segment_id = 'spenders'")
    fill = Backfill(chosen)
    fill.work(connection)
    find = "SELECT count(*) FROM segment WHERE segment_id = 'spenders'"
    assert connection.execute(find).fetchone() == (1,)
    relay.work(connection)
    fill.work(connection)
    assert connection.execute(find).fetchone() == (0,)
    bits = connection.execute("SELECT get_bit(memberships, 0) FROM customer").fetchone()
    assert bits == (0,), list(CRITERIA)
    assert ("spenders", "c-1") in replayed(chosen)
