"""mail.sent on crm.mail.v1, for each batch once it is written down.

A batch is marked when Kafka has acknowledged its events. A relay that dies in between repeats them under the same ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from sqlalchemy import Connection, Engine, Row, select

from services.mailer.batches import change, letters_of
from services.mailer.rounds import LONGEST_SLEEP
from shared.clock import Clock
from shared.database.tables import mail_batch
from shared.domain.event_types import MailData
from shared.domain.events import MailSent, kafka_key
from shared.errors import TransientError
from shared.kafka import Topic
from shared.kafka_batches import Batches, batch_producer
from shared.settings import Settings

BATCHES: Final = 50
ACKNOWLEDGE: Final = 10.0


class Relay:
    """Publishes what was sent. Connects when there is something to publish."""

    def __init__(self, database: Engine, settings: Settings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._topic = Topic.MAIL.on(settings)
        self._clock = clock
        self._runner = asyncio.Runner()  # its loop begins in the thread that publishes
        self._producer: AIOKafkaProducer | None = None

    def step(self, organization_id: str) -> datetime:
        """Publish some batches; when to come again. Raises TransientError while Kafka is away."""
        now = self._clock()
        with self._database.begin() as connection:
            batches = _unpublished(connection, organization_id)
            if not batches:
                return now + LONGEST_SLEEP
            self._publish([event for batch in batches for event in _events(batch)])
            # Names and addresses are needed no more.
            those = [batch.batch_id for batch in batches]
            change(connection, organization_id, those, state="published", letters=None, ids=None)
        return now

    def close(self) -> None:
        """End the connection. Call it when no step is running."""
        self._drop()
        self._runner.close()

    def _publish(self, events: Sequence[MailSent]) -> None:
        try:
            self._runner.run(self._send(events))
        except (KafkaError, OSError) as error:
            self._drop()
            raise TransientError(f"Kafka does not acknowledge mail.sent: {error!r}") from error

    async def _send(self, events: Sequence[MailSent]) -> None:
        if self._producer is None:
            self._producer = batch_producer(self._settings, ACKNOWLEDGE)
            await self._producer.start()
        batches = Batches(self._producer)
        await batches.add(self._topic, [(kafka_key(event), msgspec.json.encode(event)) for event in events])
        await batches.finish()

    def _drop(self) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            with suppress(KafkaError, OSError, TimeoutError):
                self._runner.run(asyncio.wait_for(producer.stop(), 5))


def _unpublished(connection: Connection, organization_id: str) -> Sequence[Row[Any]]:
    statement = (
        select(mail_batch)
        .where(mail_batch.c.organization_id == organization_id, mail_batch.c.state == "accepted")
        .order_by(mail_batch.c.lease_until)
        .limit(BATCHES)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(statement).all()


def _events(batch: Row[Any]) -> Iterator[MailSent]:
    ids: list[str | None] = msgspec.json.decode(batch.ids or b"[]")
    source = f"/{batch.organization_id}/mailer"
    for letter, email_id in zip(letters_of(batch.letters), ids, strict=False):
        if email_id is not None:  # else it was refused
            yield MailSent(
                specversion="1.0",
                id=f"{letter.message_id}:sent",
                source=source,
                time=batch.accepted_at,
                data=MailData(
                    organization_id=batch.organization_id,
                    message_id=letter.message_id,
                    campaign_id=batch.campaign_id,
                    customer_id=letter.customer_id,
                    email_id=email_id or None,
                ),
            )
