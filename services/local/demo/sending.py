"""Many events into Kafka with little work.

Record by record the producers of Python cost 60 microseconds an event, most of them for waking a thread and for finding
the partition: ten seconds of a core for the year, which the segmenter needs. Whole batches cost a tenth of that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from services.local.demo.year import Record
from shared.errors import RegularsError
from shared.settings import Settings

BATCH_BYTES = 262_144
IN_FLIGHT = 64  # batches
PATIENCE_MS = 60_000  # Kafka may be started again meanwhile


async def send(records: Iterable[Record], settings: Settings, acknowledged: Callable[[int], None]) -> None:
    """Publish the records; `acknowledged` is told now and then how many Kafka holds. Raises RegularsError."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.split(","),
        acks="all",
        enable_idempotence=True,
        max_batch_size=BATCH_BYTES,
        request_timeout_ms=PATIENCE_MS,
    )
    try:
        await producer.start()
        batches = _Batches(producer, settings.topic_prefix, acknowledged)
        for record in records:
            await batches.add(record)
        await batches.finish()
    except KafkaError as error:
        raise RegularsError(
            f"Kafka does not take the year ({error}). `regulars demo` begins it again: each event counts once."
        ) from error
    finally:
        await producer.stop()


class _Batches:
    """One open batch for each partition; what is full goes to Kafka while the next one fills."""

    def __init__(self, producer: AIOKafkaProducer, prefix: str, acknowledged: Callable[[int], None]) -> None:
        self._producer = producer
        self._prefix = prefix
        self._acknowledged = acknowledged
        self._count = 0
        self._partition = DefaultPartitioner()
        self._places: dict[tuple[str, bytes], tuple[str, int]] = {}
        self._open: dict[tuple[str, int], Any] = {}
        self._flying: deque[tuple[int, asyncio.Future[Any]]] = deque()

    async def add(self, record: Record) -> None:
        known = record.topic, record.key
        place = self._places.get(known)
        if place is None:
            place = self._places[known] = await self._place(*known)
        batch = self._open.get(place)
        if batch is None or batch.append(timestamp=None, key=record.key, value=record.value) is None:
            if batch is not None:
                await self._hand_over(place)
            batch = self._open[place] = self._producer.create_batch()
            batch.append(timestamp=None, key=record.key, value=record.value)

    async def finish(self) -> None:
        """Return when Kafka holds all."""
        for place in list(self._open):
            await self._hand_over(place)
        while self._flying:
            await self._land()

    async def _place(self, topic: str, key: bytes) -> tuple[str, int]:
        """The topic's name and the partition of a key: the same one that every other client finds."""
        name = self._prefix + topic
        partitions = sorted(await self._producer.partitions_for(name))
        return name, self._partition(key, partitions, partitions)

    async def _hand_over(self, place: tuple[str, int]) -> None:
        batch, (topic, partition) = self._open.pop(place), place
        future = await self._producer.send_batch(batch, topic, partition=partition)
        self._flying.append((batch.record_count(), future))
        await asyncio.sleep(0)  # the producer's own task sends
        while len(self._flying) > IN_FLIGHT or (self._flying and self._flying[0][1].done()):
            await self._land()

    async def _land(self) -> None:
        count, future = self._flying.popleft()
        await future
        self._count += count
        self._acknowledged(self._count)
