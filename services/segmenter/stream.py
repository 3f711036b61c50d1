"""The stream: takes records from Kafka, has the lanes count them, then commits their offsets.

Few records are one lane's alone: a batch of twenty costs nearly what a batch of one costs, and two small transactions
at a time only wait for each other. Many are parted by customer and counted by all lanes side by side. Nothing depends
on it for correctness: the ledger's keys and row locks hold whoever counts what.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from mode import Service

from services.segmenter.backlog import Backlog
from services.segmenter.failures import TooManyFailuresError
from services.segmenter.lane import Lane, StoppedError
from shared.kafka import Topic
from shared.kafka_access import client_arguments
from shared.logging import logger
from shared.settings import SegmenterSettings

log = logger(__name__)
TOPICS = (Topic.SALES, Topic.COUPONS, Topic.CUSTOMERS, Topic.MAIL)
PARTING = 3.0  # seconds that a batch is waited for when its partitions go to another process
LONGEST_BATCH_MS = 3_600_000  # the database may be away for that long before the group gives the partitions away
ALONE = 400  # records up to which one lane counts them all
AHEAD = 2  # how many batches lanes may be apart

Records = Sequence[ConsumerRecord[bytes, bytes]]
Found = dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]
Work = list[asyncio.Future[None]]


class Stream(Service, ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka has no types
    """This process's member of the consumer group, and its lanes."""

    def __init__(self, settings: SegmenterSettings) -> None:
        super().__init__()
        self.settings = settings
        self.lanes = [Lane(settings, number) for number in range(settings.lanes)]
        self.stopped_because: str | None = None
        self.has_joined = False
        self.is_idle = asyncio.Event()  # all that was taken is committed
        self.is_idle.set()
        self.backlog = Backlog(settings.topic_prefix)
        self.consumer: AIOKafkaConsumer | None = None

    async def on_start(self) -> None:
        self.consumer = AIOKafkaConsumer(
            **client_arguments(self.settings),
            group_id=f"{self.settings.topic_prefix}segmenter",
            group_instance_id=self.settings.instance,
            client_id=self.settings.instance,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=[RangePartitionAssignor],
            session_timeout_ms=10_000,
            heartbeat_interval_ms=2_500,
            max_poll_interval_ms=LONGEST_BATCH_MS,
            fetch_max_wait_ms=250,
            max_partition_fetch_bytes=262_144,
        )
        self.consumer.subscribe([topic.on(self.settings) for topic in TOPICS], listener=self)
        await self.consumer.start()

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # noqa: ARG002
        """Finish and commit the batch at hand, so that nobody repeats it. If they do, the ledger knows it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PARTING):
                await self.is_idle.wait()
        self.backlog.forget()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Part of the group from here on, be it with no partition for now."""
        self.has_joined = True
        log.info("stream.assigned", partitions=len(assigned))

    async def on_stop(self) -> None:
        for lane in self.lanes:
            lane.stop.set()
        if self.consumer is not None:
            await self.consumer.stop()
        for lane in self.lanes:
            lane.end()

    def not_ready_because(self) -> str | None:
        """None while it consumes."""
        if self.stopped_because or self.has_joined:
            return self.stopped_because or next((lane.trouble for lane in self.lanes if lane.trouble), None)
        return "has not joined the consumer group yet"

    @Service.task
    async def consume(self) -> None:
        assert self.consumer is not None  # noqa: S101 - on_start came first
        at_most = self.settings.batch_events * len(self.lanes)
        under_way: deque[tuple[Found, Work]] = deque()
        try:
            while not self.should_stop:
                found: Found = await self.consumer.getmany(timeout_ms=250, max_records=at_most)
                self.backlog.take(found, self.consumer)
                records = [record for partition in found.values() for record in partition]
                ahead = AHEAD if len(records) > ALONE else 0
                if records:
                    self.is_idle.clear()
                    if not ahead:  # another lane may be at work on what the same customers did before
                        await self._land(under_way, 0)
                    under_way.append((found, self._hand_out(records)))
                # After many there are more: a lane that is done must not wait for the other one. After few, what comes
                # next is better taken when it is all there.
                await self._land(under_way, ahead)
                if not under_way:
                    self.is_idle.set()
        except TooManyFailuresError as error:
            self.stopped_because = str(error)
            log.critical("consumer.stopped", why=str(error))
        except StoppedError:
            pass
        self.backlog.forget()
        for lane in self.lanes:
            lane.stop.set()
        await asyncio.gather(*(part for _, work in under_way for part in work), return_exceptions=True)

    async def _land(self, under_way: deque[tuple[Found, Work]], ahead: int) -> None:
        """Wait for what was handed out and commit it, until only `ahead` batches are out."""
        while len(under_way) > ahead:
            found, work = under_way.popleft()
            await _finish(work)
            await self._commit(found)

    def _hand_out(self, records: Records) -> Work:
        """Give the lanes their shares."""
        shares = [records] if len(records) <= ALONE else part(records, len(self.lanes))
        loop = asyncio.get_running_loop()
        return [
            loop.run_in_executor(lane.thread, lane.handle, share)
            for lane, share in zip(self.lanes, shares, strict=False)
            if share
        ]

    async def _commit(self, found: Found) -> None:
        assert self.consumer is not None  # noqa: S101
        try:
            await self.consumer.commit({partition: records[-1].offset + 1 for partition, records in found.items()})
        except (CommitFailedError, IllegalStateError):
            # The partitions belong to somebody else by now, who repeats the batch: the ledger knows it.
            log.info("offsets.not_mine")
        except KafkaError as error:
            log.warning("offsets.not_committed", why=str(error))
        self.backlog.count(found)


async def _finish(work: Work) -> None:
    """Return when all shares are counted; raise only when no lane is at work on them any more."""
    for ended in await asyncio.gather(*work, return_exceptions=True):
        if ended is not None:
            raise ended


def part(records: Records, number: int) -> list[list[ConsumerRecord[bytes, bytes]]]:
    """Part records by their keys, so that a customer's stay together and in order."""
    shares: list[list[ConsumerRecord[bytes, bytes]]] = [[] for _ in range(number)]
    for record in records:
        shares[hash(record.key) % number].append(record)
    return shares
