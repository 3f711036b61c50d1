"""Into Kafka, from asyncio: what `publish` returns from, Kafka holds (acks=all).

kafka-python works with threads and may block where it lacks metadata, so one thread of ours produces, another looks
whether the broker is there, and the event loop is woken once for each call, not once for each record.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import Final

from kafka import KafkaProducer
from kafka.errors import KafkaError

from services.ingest.records import Record
from shared.errors import TransientError
from shared.kafka import Topic, create_topics, discard, is_reachable, producer
from shared.kafka_trouble import trouble_with
from shared.logging import logger
from shared.settings import IngestSettings

MOST_BYTES_IN_FLIGHT: Final = 48_000_000  # two of the largest bodies and their records; beyond it 503, not more memory
BYTES_A_RECORD: Final = 500  # what a record costs beside its bytes
PROBE_SECONDS: Final = 1.0
AWAY: Final = "Kafka is away. Nothing of this request was accepted: send it again."
FULL: Final = "Kafka takes events more slowly than they come in. Nothing of this request was accepted: send it again."
log = logger(__name__)


class Delivery:
    """One call of `publish`: counts its records down, on whatever thread they end, then wakes the loop once."""

    def __init__(self, records: Sequence[Record], waiting: asyncio.Future[None]) -> None:
        self.records = records
        self._waiting = waiting
        self._left = len(records)
        self._error: BaseException | None = None
        self._counting = threading.Lock()

    def settle(self, outcome: object, records: int = 1) -> None:
        """Note that so many records ended: by an exception, or by what Kafka acknowledged."""
        with self._counting:
            self._left -= records
            if isinstance(outcome, BaseException):
                self._error = self._error or outcome
            done = not self._left
        if done:
            try:
                self._waiting.get_loop().call_soon_threadsafe(self._wake)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _wake(self) -> None:
        if self._waiting.done():
            return
        if self._error is None:
            self._waiting.set_result(None)
        else:
            self._waiting.set_exception(self._error)


class Publisher:
    """Publishes records. Starts without a broker, answers "try again" while there is none, and finds it by itself."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._deliveries: SimpleQueue[Delivery | None] = SimpleQueue()
        self._bytes_in_flight = 0  # of the event loop's thread alone
        # What stands in the way: of the producer, and of the way to the broker.
        self._unusable: str | None = "Kafka was not reached yet."
        self._unreachable: str | None = None
        self._broken = threading.Event()  # the producer is beyond repair: make another
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._produce, name="produce", daemon=True),
            threading.Thread(target=self._probe, name="probe", daemon=True),
        ]

    def start(self) -> None:
        """Look for the broker in the background."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what was begun, for no longer than a request would wait."""
        self._stopping.set()
        self._deliveries.put(None)
        for thread in self._threads:
            thread.join(self._settings.acknowledge_seconds + 2 * PROBE_SECONDS)

    def why_not_ready(self) -> str | None:
        """None when ready, else why not. Safe from any thread."""
        return self._unusable or self._unreachable

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when Kafka has acknowledged all records.

        Raises TransientError otherwise: some of them may have got through then, and all should be sent again, which
        changes nothing, since an event counts once by its source and id.
        """
        if not records:
            return
        if self.why_not_ready() is not None:
            raise TransientError(AWAY, 2.0)
        size = sum(len(record.value) + BYTES_A_RECORD for record in records)
        if self._bytes_in_flight and self._bytes_in_flight + size > MOST_BYTES_IN_FLIGHT:
            raise TransientError(FULL, 1.0)
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._bytes_in_flight += size
        waiting.add_done_callback(lambda done: self._settled(done, size))
        self._deliveries.put(Delivery(records, waiting))
        try:
            # Shielded: what takes longer stays counted as in flight until the producer gives it up.
            await asyncio.wait_for(asyncio.shield(waiting), self._settings.acknowledge_seconds)
        except (TimeoutError, KafkaError) as error:
            log.warning("publish.failed", records=len(records), error=repr(error))
            self._replace_producer(error)
            raise TransientError(f"Kafka did not acknowledge. {AWAY.partition('. ')[2]}", 2.0) from error

    def _settled(self, done: asyncio.Future[None], size: int) -> None:
        self._bytes_in_flight -= size
        if not done.cancelled():
            done.exception()  # looked at: nobody may be waiting any more

    def _produce(self) -> None:
        """The body of the producing thread."""
        while not self._stopping.is_set():
            sender = self._connect()
            if sender is None:
                self._stopping.wait(PROBE_SECONDS)
                continue
            self._broken.clear()
            self._unusable = None
            log.info("kafka.connected", kafka=self._settings.kafka)
            self._send_all(sender)
            if self._stopping.is_set():
                with suppress(KafkaError):
                    sender.close(self._settings.acknowledge_seconds)
            else:
                discard(sender)

    def _send_all(self, sender: KafkaProducer) -> None:
        """Send until the service stops or the producer is broken; None in the queue means to look which."""
        while not self._broken.is_set():
            delivery = self._deliveries.get()
            if delivery is not None:
                self._send(sender, delivery)
            elif self._stopping.is_set():
                return

    def _send(self, sender: KafkaProducer, delivery: Delivery) -> None:
        prefix = self._settings.topic_prefix

        def ended(outcome: object) -> None:
            if isinstance(outcome, Exception):
                self._replace_producer(outcome)
            delivery.settle(outcome)

        for index, record in enumerate(delivery.records):
            try:
                sender.send(prefix + record.topic, record.value, record.key).add_both(ended)
            except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for an answer
                self._replace_producer(error)
                delivery.settle(KafkaError(repr(error)), len(delivery.records) - index)
                return

    def _replace_producer(self, why: Exception) -> None:
        """Have the producing thread make another one.

        kafka-python 3.0.12 never sends again once a batch that it had sent was given up: it drops its producer id and
        asks for none (`reset_producer_id` leaves the state READY, in which `init_producer_id` does nothing).
        """
        if not self._broken.is_set():
            log.warning("kafka.producer_replaced", error=repr(why))
            self._unusable = f"Kafka at {self._settings.kafka} did not acknowledge in time."
            self._broken.set()
            self._deliveries.put(None)

    def _connect(self) -> KafkaProducer | None:
        # Asked before: a producer that finds nobody leaves its thread behind, and does not say why.
        if why := trouble_with(self._settings):
            self._cannot(why)
            return None
        wait_ms = int(self._settings.acknowledge_seconds * 1000)
        sender = None
        try:
            create_topics(self._settings)
            sender = producer(
                self._settings,
                client_id="regulars-ingest",
                delivery_timeout_ms=wait_ms,
                request_timeout_ms=wait_ms // 2,
                max_block_ms=wait_ms,
                metrics_enabled=False,
            )
            # So that `send` has their metadata at hand and never waits for it; at once, since the client asks for what
            # it lacks ten times a second.
            names = [topic.on(self._settings) for topic in Topic]
            with ThreadPoolExecutor(len(names)) as together:
                list(together.map(sender.partitions_for, names))
        except (KafkaError, OSError, ValueError) as error:
            self._cannot(f"Kafka at {self._settings.kafka} cannot be used: {error!r}")
            if sender is not None:
                discard(sender)
            return None
        return sender

    def _cannot(self, why: str) -> None:
        """Readiness says why there is no producer, the log once."""
        if why != self._unusable:
            log.error("kafka.unusable", why=why)
        self._unusable = why

    def _probe(self) -> None:
        """The body of the probing thread: without it, only a request that fails would show that the broker is away."""
        while not self._stopping.wait(PROBE_SECONDS):
            before = self._unreachable
            reachable = is_reachable(self._settings)
            self._unreachable = None if reachable else f"Kafka at {self._settings.kafka} does not answer."
            if before is None and self._unreachable is not None:
                log.warning("kafka.away", kafka=self._settings.kafka)
            elif before is not None and self._unreachable is None:
                log.info("kafka.back", kafka=self._settings.kafka)
