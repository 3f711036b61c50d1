"""A lane: one member of the consumer group with its own thread and connection. Several run side by side in a process.

Kafka gives each lane its partitions, the same numbers of every topic, so all of a customer's events pass through one
lane in order. Nothing depends on it for correctness: the ledger's keys and row locks hold when partitions move.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from mode import Service

from services.segmenter import arrays, staging
from services.segmenter.batch import Batches, Outcome, process_or_split
from services.segmenter.failures import Failures, TooManyFailuresError
from shared import metrics
from shared.database.engine import connect
from shared.kafka import Topic
from shared.logging import logger
from shared.settings import SegmenterSettings

log = logger(__name__)
TOPICS = (Topic.SALES, Topic.COUPONS, Topic.CUSTOMERS, Topic.MAIL)
PARTING = 3.0  # seconds that a batch is waited for when its partitions go to another lane
LONGEST_BATCH_MS = 3_600_000  # the database may be away for that long before the group gives the partitions away


class Lane(Service, ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka has no types
    """Takes batches from Kafka, has them counted, then commits their offsets."""

    def __init__(self, settings: SegmenterSettings, number: int) -> None:
        super().__init__()
        self.settings = settings
        self.number = number
        self.stopped_because: str | None = None
        self.has_joined = False
        self.worker = Worker(settings)
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=f"lane-{number}")
        self.consumer: AIOKafkaConsumer | None = None
        self.at_hand = asyncio.Lock()  # held from a batch's first step to its commit

    async def on_start(self) -> None:
        self.consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka,
            group_id=f"{self.settings.topic_prefix}segmenter",
            group_instance_id=f"{self.settings.instance}-{self.number}",
            client_id=f"{self.settings.instance}-{self.number}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=[RangePartitionAssignor],
            session_timeout_ms=10_000,
            heartbeat_interval_ms=2_500,
            max_poll_interval_ms=LONGEST_BATCH_MS,
            fetch_max_wait_ms=250,
            max_partition_fetch_bytes=524_288,
        )
        self.consumer.subscribe([topic.on(self.settings) for topic in TOPICS], listener=self)
        await self.consumer.start()

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # noqa: ARG002
        """Finish and commit the batch at hand, so that nobody repeats it. If they do, the ledger knows it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PARTING):
                await self.at_hand.acquire()
                self.at_hand.release()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Part of the group from here on, be it with no partition for now."""
        self.has_joined = True
        log.info("lane.assigned", lane=self.number, partitions=len(assigned))

    async def on_stop(self) -> None:
        self.worker.stop.set()
        if self.consumer is not None:
            await self.consumer.stop()
        self.thread.shutdown()
        self.worker.close()

    @Service.task
    async def consume(self) -> None:
        assert self.consumer is not None  # noqa: S101 - on_start came first
        loop = asyncio.get_running_loop()
        while not self.should_stop:
            found = await self.consumer.getmany(timeout_ms=250, max_records=self.settings.batch_events)
            records = [record for partition in found.values() for record in partition]
            if not records:
                continue
            try:
                async with self.at_hand:
                    await loop.run_in_executor(self.thread, self.worker.handle, records)
                    await self._commit(found)
            except TooManyFailuresError as error:
                self.stopped_because = str(error)
                log.critical("consumer.stopped", lane=self.number, why=str(error))
                return
            except StoppedError:
                return

    async def _commit(self, found: dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]) -> None:
        assert self.consumer is not None  # noqa: S101
        try:
            await self.consumer.commit({partition: records[-1].offset + 1 for partition, records in found.items()})
        except (CommitFailedError, IllegalStateError):
            # The partitions belong to somebody else by now, who repeats the batch: the ledger knows it.
            log.info("offsets.not_mine", lane=self.number)
        except KafkaError as error:
            log.warning("offsets.not_committed", lane=self.number, why=str(error))
        for partition in found.keys() & self.consumer.assignment():
            end = self.consumer.highwater(partition)
            if end is not None:
                lag = end - found[partition][-1].offset - 1
                topic = partition.topic.removeprefix(self.settings.topic_prefix)
                metrics.consumer_lag.labels(topic, partition.partition).set(lag)


class StoppedError(Exception):
    """The service stops while the database is away."""


class Worker:
    """Counts batches in the lane's thread; stays with a batch until the database has taken it."""

    def __init__(self, settings: SegmenterSettings) -> None:
        self.settings = settings
        self.stop = threading.Event()
        self.failures = Failures(settings.dead_letter_share, settings.dead_letter_window)
        self.batches: Batches | None = None

    def handle(self, records: Sequence[ConsumerRecord[bytes, bytes]]) -> None:
        """Count a batch. Raises TooManyFailuresError with nothing of it counted."""
        started = time.perf_counter()
        delay = 0.05
        while True:
            try:
                self.batches = self.batches or self._connect()
                outcomes = process_or_split(self.batches, records, self.failures.check)
                break
            except psycopg.Error as error:
                log.warning("batch.repeated", why=str(error).strip(), events=len(records))
                if not isinstance(error, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure):
                    self.close()
                if self.stop.wait(delay * (0.5 + random.random())):  # noqa: S311 - spreads retries, no secret
                    raise StoppedError from error
                delay = min(delay * 2, 5.0)
        for outcome in outcomes:
            self.failures.note(len(outcome.taken), len(outcome.letters))
            self._measure(outcome)
        log.debug("batch.counted", events=len(records), seconds=round(time.perf_counter() - started, 4))

    def close(self) -> None:
        if self.batches is not None:
            self.batches.connection.close()
            self.batches = None

    def _connect(self) -> Batches:
        connection = connect(self.settings.database, autocommit=True)
        staging.prepare(connection)
        arrays.prepare(connection)
        return Batches(connection, Topic.MAIL.on(self.settings))

    def _measure(self, outcome: Outcome) -> None:
        prefix = self.settings.topic_prefix
        for (topic, kind), number in outcome.kinds.items():
            metrics.events.labels(topic.removeprefix(prefix), kind, "taken").inc(number)
        for letter in outcome.letters:
            metrics.dead_letters.labels(letter.reason).inc()
            log.warning("event.refused", topic=letter.record.topic, offset=letter.record.offset, reason=letter.reason)
        metrics.events.labels("all", "all", "duplicate").inc(outcome.repeated)
        metrics.segment_changes.labels("entered").inc(outcome.moves.entered)
        metrics.segment_changes.labels("left").inc(outcome.moves.left)
        now = time.time()
        # Each of a small batch, a sample of a large one.
        for record in outcome.taken[:: max(1, len(outcome.taken) // 200)]:
            metrics.event_to_membership.observe(max(0.0, now - record.timestamp / 1000))
