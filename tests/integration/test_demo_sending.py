"""The year goes to Kafka in whole batches, and lies there as any other client would have put it."""

from __future__ import annotations

import asyncio

import pytest
from kafka import KafkaConsumer, TopicPartition

from services.local.demo import sending
from services.local.demo.year import Record
from shared import kafka_batches
from shared.kafka import Topic, create_topics, producer
from shared.settings import Settings, load

PARTITIONS = 5


@pytest.fixture
def settings(kafka: str, topic_prefix: str) -> Settings:
    ready = load(Settings, kafka=kafka, topic_prefix=topic_prefix, partitions=PARTITIONS)
    create_topics(ready)
    return ready


def _stored(settings: Settings, topic: str) -> dict[int, list[tuple[bytes, bytes]]]:
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka, auto_offset_reset="earliest")
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer.assign(places)
    found: dict[int, list[tuple[bytes, bytes]]] = {number: [] for number in range(PARTITIONS)}
    try:
        left = {place: end for place, end in consumer.end_offsets(places).items() if end}
        while any(consumer.position(place) < end for place, end in left.items()):
            for place, records in consumer.poll(1_000).items():
                found[place.partition] += [(record.key, record.value) for record in records]
    finally:
        consumer.close()
    return found


def test_every_record_lies_once_in_the_partition_and_order_of_its_key(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_batches, "BATCH_BYTES", 2_000)  # many batches
    monkeypatch.setattr(kafka_batches, "IN_FLIGHT", 4)
    records = [
        Record(topic, f"demo/hh-{number % 37}".encode(), f"{number:06}".encode() * 20)
        for number in range(3_000)
        for topic in (Topic.SALES, Topic.CUSTOMERS)
    ]
    told: list[int] = []
    asyncio.run(sending.send(records, settings, told.append))
    assert told == sorted(told)
    assert told[-1] == len(records)
    for topic in (Topic.SALES, Topic.CUSTOMERS):
        stored = _stored(settings, topic.on(settings))
        everything = [record for partition in stored.values() for record in partition]
        sent = [(record.key, record.value) for record in records if record.topic == topic]
        assert sorted(everything) == sorted(sent)
        for partition in stored.values():
            for key in {key for key, _ in partition}:
                assert [value for one, value in partition if one == key] == [value for one, value in sent if one == key]


def test_a_customer_stays_in_the_partition_that_tills_and_ingest_use(settings: Settings) -> None:
    keys = [f"demo/hh-{number}".encode() for number in range(50)]
    asyncio.run(sending.send([Record(Topic.SALES, key, b"year") for key in keys], settings, lambda _: None))
    till = producer(settings)
    for key in keys:
        till.send(Topic.SALES.on(settings), b"till", key)
    till.flush()
    till.close()
    for partition in _stored(settings, Topic.SALES.on(settings)).values():
        by_year = sorted(key for key, value in partition if value == b"year")
        assert by_year == sorted(key for key, value in partition if value == b"till")


def test_no_records_are_no_trouble(settings: Settings) -> None:
    asyncio.run(sending.send([], settings, lambda _: None))
