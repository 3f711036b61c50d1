"""The year into Kafka, in whole batches: record by record it would take ten seconds of a core."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby, islice
from operator import attrgetter

from aiokafka.errors import KafkaError

from services.local.demo.year import Record
from shared.errors import RegularsError
from shared.kafka_batches import Batches, batch_producer
from shared.settings import Settings

AT_ONCE = 500  # records
PATIENCE = 60.0  # seconds: Kafka may be started again meanwhile


async def send(records: Iterable[Record], settings: Settings, acknowledged: Callable[[int], None]) -> None:
    """Publish the records; `acknowledged` is told now and then how many Kafka holds. Raises RegularsError."""
    producer = batch_producer(settings, PATIENCE)
    try:
        await producer.start()
        batches = Batches(producer, acknowledged)
        for topic, those in groupby(records, attrgetter("topic")):
            found = ((record.key, record.value) for record in those)
            while some := list(islice(found, AT_ONCE)):
                await batches.add(settings.topic_prefix + topic, some)
        await batches.finish()
    except KafkaError as error:
        raise RegularsError(
            f"Kafka does not take the year ({error}). `regulars demo` begins it again: each event counts once."
        ) from error
    finally:
        await producer.stop()
