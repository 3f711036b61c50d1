"""The relay: publishes membership changes and dead letters in order, after the transaction that made them.

A change's event id comes from its number, so a relay that dies between publishing and noting it repeats an event and
never makes a second one. One relay works at a time; the others wait for its lock.

Events come first: while many wait to be counted, it lets the lanes have the machine, for ten seconds at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError as BatchError
from kafka import KafkaProducer
from kafka.errors import KafkaError

from services.segmenter.changes import Change, tell
from services.segmenter.listener import Listener
from services.segmenter.staging import Connection
from shared.database.channels import OUTBOX
from shared.database.tables.segments import PLACES
from shared.kafka import LARGEST_LETTER, Topic, discard, producer
from shared.kafka_batches import Batches, batch_producer
from shared.settings import SegmenterSettings

LEADER = "SELECT pg_try_advisory_lock(hashtextextended('regulars relay', 0))"
# One by one from the key's index, however many changes each has.
ORGANIZATIONS = """
WITH RECURSIVE o AS (
    (SELECT organization_id FROM outbox ORDER BY organization_id LIMIT 1)
    UNION ALL
    SELECT (SELECT x.organization_id FROM outbox x WHERE x.organization_id > o.organization_id
            ORDER BY x.organization_id LIMIT 1)
    FROM o WHERE o.organization_id IS NOT NULL
)
SELECT organization_id FROM o WHERE organization_id IS NOT NULL
"""
# None for some seconds while a segment is filled: a fill's changes are many, and to be filled is what people wait for.
# Later changes wait behind them, because a customer's stay in order.
BATCHES = """
SELECT batch_id FROM outbox WHERE organization_id = %(organization_id)s AND NOT EXISTS (
    SELECT FROM segment WHERE organization_id = %(organization_id)s AND state = 'filling'
    AND updated_at > now() - make_interval(secs => %(patience)s))
ORDER BY batch_id LIMIT %(at_once)s
"""
# One batch by its range of the key.
CHANGES = f"""
SELECT change_id, customer_id, at, cause, entered::text, "left"::text FROM segment_change
WHERE organization_id = %(organization_id)s
  AND change_id > %(after)s AND change_id < (%(batch_id)s + 1)::bigint << {PLACES}
ORDER BY change_id LIMIT %(at_once)s
"""
# A deleted one keeps its name until nothing that is to be published names it.
SEGMENTS = "SELECT segment_id, name FROM segment WHERE organization_id = %s"
PUBLISHED = "DELETE FROM outbox WHERE organization_id = %s AND batch_id = ANY(%s)"
LETTERS = """
SELECT organization_id, topic, partition, "offset", key, value, reason, message FROM dead_letter
WHERE published_at IS NULL ORDER BY recorded_at, topic, partition, "offset" LIMIT %s
"""
LETTERS_PUBLISHED = """
UPDATE dead_letter SET published_at = now()
WHERE (organization_id, topic, partition, "offset")
   IN (SELECT * FROM unnest(%s::text[], %s::text[], %s::int[], %s::bigint[]))
"""
AT_ONCE = 5_000  # changes
TOLD_AT_ONCE = 500  # changes whose messages, one a segment, are held beside those on their way
BATCHES_AT_ONCE = 16  # of large batches a second's work
MANY = 2_000  # changes: more are there by now
FILL_PATIENCE = 30.0  # seconds from when a segment was made or edited
BACKLOG_PATIENCE = 10.0  # seconds from when it had something to tell and many events waited
GATHER = 0.02  # seconds: what changes close together goes together
PATIENCE = 30.0  # seconds
LETTERS_AT_ONCE = 50  # of up to 2 MB each
AGAIN = 1.0


class Relay(Listener):
    """Outbox to crm.segments.v1, dead letters to crm.dead-letter.v1."""

    channel = OUTBOX

    def __init__(self, settings: SegmenterSettings, is_behind: Callable[[], bool] = lambda: False) -> None:
        super().__init__(settings)
        self.is_behind = is_behind  # whether many events wait to be counted
        self.waiting_since: float | None = None
        self.producer: KafkaProducer | None = None
        self.batches: tuple[AIOKafkaProducer, Batches] | None = None
        self.runner = asyncio.Runner()  # its loop begins in the thread that publishes

    def work(self, connection: Connection) -> float:
        if self._lets_events_first():
            return AGAIN
        if connection.execute(LEADER).fetchone() != (True,):
            return AGAIN
        while not self.ending.wait(GATHER):
            has_more, letters = self._publish_changes(connection), self._publish_letters(connection)
            if not has_more and letters < LETTERS_AT_ONCE:
                self.waiting_since = None
                break
            if self._lets_events_first():
                break
        # Session locks count: one call, one release.
        connection.execute("SELECT pg_advisory_unlock(hashtextextended('regulars relay', 0))")
        return 5.0

    def _lets_events_first(self) -> bool:
        if not self.is_behind():
            self.waiting_since = None
            return False
        now = time.monotonic()
        self.waiting_since = self.waiting_since or now
        return now - self.waiting_since < BACKLOG_PATIENCE

    def end(self) -> None:
        self._drop_batches()
        self.runner.close()
        if self.producer is not None:
            discard(self.producer)

    def _send_changes(self, organization_id: str, changes: Sequence[Change], names: Mapping[str, str]) -> None:
        """In whole batches: there may be millions. Returns when Kafka holds them, in order by customer."""
        try:
            self.runner.run(self._in_batches(organization_id, changes, names))
        except BatchError as error:
            self._drop_batches()
            raise KafkaError(str(error)) from error

    async def _in_batches(self, organization_id: str, changes: Sequence[Change], names: Mapping[str, str]) -> None:
        if self.batches is None:
            sender = batch_producer(self.settings, PATIENCE)
            self.batches = (sender, Batches(sender))
            await sender.start()
        topic = Topic.SEGMENTS.on(self.settings)
        for first in range(0, len(changes), TOLD_AT_ONCE):
            await self.batches[1].add(topic, tell(organization_id, changes[first : first + TOLD_AT_ONCE], names))
        await self.batches[1].finish()

    def _drop_batches(self) -> None:
        if self.batches is not None:
            (sender, _), self.batches = self.batches, None
            with suppress(BatchError, TimeoutError):
                self.runner.run(asyncio.wait_for(sender.stop(), 5))

    def _send_letters(self, messages: Sequence[tuple[bytes | None, bytes, list[tuple[str, bytes]]]]) -> None:
        if self.producer is None:
            self.producer = producer(self.settings, linger_ms=2, max_request_size=LARGEST_LETTER)
        name = Topic.DEAD_LETTERS.on(self.settings)
        try:
            sent = [self.producer.send(name, key=key, value=value, headers=headers) for key, value, headers in messages]
            for future in sent:
                future.get(timeout=PATIENCE)
        except KafkaError:
            discard(self.producer)
            self.producer = None
            raise

    def _publish_changes(self, connection: Connection) -> bool:
        """Tells if there are more by now."""
        has_more = False
        for (organization_id,) in connection.execute(ORGANIZATIONS).fetchall():
            has_more |= self._publish_changes_of(connection, organization_id)
        return has_more

    def _publish_changes_of(self, connection: Connection, organization_id: str) -> bool:
        known = {"organization_id": organization_id, "patience": FILL_PATIENCE, "at_once": BATCHES_AT_ONCE}
        batches = [row[0] for row in connection.execute(BATCHES, known).fetchall()]
        if not batches:
            return False
        segments = dict(connection.execute(SEGMENTS, [organization_id]).fetchall())
        total = 0
        for changes in _gathered(connection, organization_id, batches):
            self._send_changes(organization_id, changes, segments)
            total += len(changes)
        connection.execute(PUBLISHED, [organization_id, batches])
        return total >= MANY or len(batches) == BATCHES_AT_ONCE

    def _publish_letters(self, connection: Connection) -> int:
        rows = connection.execute(LETTERS, [LETTERS_AT_ONCE]).fetchall()
        messages = []
        for _, topic, partition, offset, key, value, reason, message in rows:
            named = {"topic": topic, "partition": partition, "offset": offset, "reason": reason, "message": message}
            messages.append((key, value, [(name, str(given).encode()) for name, given in named.items()]))
        if rows:
            self._send_letters(messages)
            connection.execute(LETTERS_PUBLISHED, [[row[n] for row in rows] for n in range(4)])
        return len(rows)


def _gathered(connection: Connection, organization_id: str, batches: Sequence[int]) -> Iterator[list[Change]]:
    """The changes of some batches in order, some thousands at a time."""
    gathered: list[Change] = []
    for batch_id in batches:
        known = {"organization_id": organization_id, "batch_id": batch_id, "after": (batch_id << PLACES) - 1}
        while rows := connection.execute(CHANGES, known | {"at_once": AT_ONCE}, binary=True).fetchall():
            gathered += [Change(*row) for row in rows]
            if len(gathered) >= AT_ONCE:
                yield gathered
                gathered = []
            if len(rows) < AT_ONCE:
                break
            known["after"] = rows[-1][0]
    if gathered:
        yield gathered
