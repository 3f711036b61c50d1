"""A lane: a thread and a connection of its own. Several run side by side in a process, and use its cores."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
from aiokafka import ConsumerRecord

from services.segmenter.batch import Batches, Outcome, process_or_split
from services.segmenter.connection import connect
from services.segmenter.failures import Failures
from shared import metrics
from shared.domain.events import id_of
from shared.kafka import Topic
from shared.logging import logger
from shared.settings import SegmenterSettings

log = logger(__name__)
TROUBLE = 0.5  # of the waits between repetitions, in seconds: longer ones are told, for it may not pass by itself


class StoppedError(Exception):
    """The service stops while the database is away."""


class Lane:
    """Counts batches in its thread; stays with a batch until the database has taken it; `trouble`: what keeps it."""

    def __init__(self, settings: SegmenterSettings, number: int) -> None:
        self.settings = settings
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=f"lane-{number}")
        self.stop = threading.Event()
        self.failures = Failures(settings.dead_letter_share, settings.dead_letter_window)
        self.batches: Batches | None = None
        self.trouble: str | None = None

    def handle(self, records: Sequence[ConsumerRecord[bytes, bytes]]) -> None:
        """Count a batch. Raises TooManyFailuresError with nothing of it counted."""
        started = time.perf_counter()
        delay = 0.05
        if self.stop.is_set():
            raise StoppedError
        while True:
            try:
                self.batches = self.batches or self._connect()
                outcomes = process_or_split(self.batches, records, self.failures.check)
                break
            except psycopg.Error as error:
                log.warning("batch.repeated", why=str(error).strip(), events=len(records))
                if delay > TROUBLE:
                    self.trouble = f"repeats a batch of {len(records):,} events again and again: {str(error).strip()}"
                if not isinstance(error, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure):
                    self.close()
                if self.stop.wait(delay * (0.5 + random.random())):  # noqa: S311 - spreads retries, no secret
                    raise StoppedError from error
                delay = min(delay * 2, 5.0)
        self.trouble = None
        for outcome in outcomes:
            self.failures.note(len(outcome.taken), len(outcome.letters))
            self._measure(outcome)
            if log.is_enabled_for(logging.DEBUG):
                log.debug("events.counted", event_ids=[id_of(record.value or b"") for record in outcome.taken])
        log.debug("batch.counted", events=len(records), seconds=round(time.perf_counter() - started, 4))

    def end(self) -> None:
        """Wait for the batch at hand and let go."""
        self.thread.shutdown()
        self.close()

    def close(self) -> None:
        if self.batches is not None:
            self.batches.connection.close()
            self.batches = None

    def _connect(self) -> Batches:
        return Batches(connect(self.settings.database), Topic.MAIL.on(self.settings))

    def _measure(self, outcome: Outcome) -> None:
        prefix = self.settings.topic_prefix
        for (topic, kind), number in outcome.kinds.items():
            metrics.events.labels(topic.removeprefix(prefix), kind, "taken").inc(number)
        for letter in outcome.letters:
            metrics.dead_letters.labels(letter.reason).inc()
            record, event_id = letter.record, id_of(letter.record.value or b"")
            place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
            log.warning("event.refused", event_id=event_id, reason=letter.reason, **place)
        metrics.events.labels("all", "all", "duplicate").inc(outcome.repeated)
        metrics.coupon_decisions.labels("over_limit").inc(outcome.over_limit)
        metrics.segment_changes.labels("entered").inc(outcome.moves.entered)
        metrics.segment_changes.labels("left").inc(outcome.moves.left)
        now = time.time()
        # Each of a small batch, a sample of a large one.
        for record in outcome.taken[:: max(1, len(outcome.taken) // 200)]:
            metrics.event_to_membership.observe(max(0.0, now - record.timestamp / 1000))
