"""mail.sent on crm.mail.v1, for each batch once it is written down.

A batch is marked when Kafka has acknowledged its events. A relay that dies in between repeats them under the same ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError
from sqlalchemy import Connection, Engine, select, update

from services.mailer.rounds import LONGEST_SLEEP
from shared.clock import Clock
from shared.database.tables import mail_batch, message
from shared.domain.event_types import MailData
from shared.domain.events import MailSent, kafka_key
from shared.errors import TransientError
from shared.kafka import Topic, discard, producer
from shared.settings import Settings

BATCHES: Final = 10
ACKNOWLEDGE: Final = 10.0


class Relay:
    """Publishes what was sent. Connects when there is something to publish."""

    def __init__(self, database: Engine, settings: Settings, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._topic = Topic.MAIL.on(settings)
        self._clock = clock
        self._producer: KafkaProducer | None = None

    def step(self, organization_id: str) -> datetime:
        """Publish some batches; when to come again. Raises TransientError while Kafka is away."""
        now = self._clock()
        with self._database.begin() as connection:
            batches = self._unpublished(connection, organization_id)
            if not batches:
                return now + LONGEST_SLEEP
            self._publish(_events(connection, organization_id, batches))
            connection.execute(
                update(mail_batch)
                .where(mail_batch.c.organization_id == organization_id, mail_batch.c.batch_id.in_(batches))
                .values(state="published")
            )
        return now

    def close(self) -> None:
        """End the connection."""
        if self._producer is not None:
            self._producer.close(timeout=timedelta(seconds=5).total_seconds())

    def _unpublished(self, connection: Connection, organization_id: str) -> Sequence[Any]:
        statement = (
            select(mail_batch.c.batch_id)
            .where(mail_batch.c.organization_id == organization_id, mail_batch.c.state == "accepted")
            .order_by(mail_batch.c.lease_until)
            .limit(BATCHES)
            .with_for_update(skip_locked=True)
        )
        return connection.execute(statement).scalars().all()

    def _publish(self, events: Sequence[MailSent]) -> None:
        try:
            if self._producer is None:
                self._producer = producer(self._settings, client_id="regulars-mailer", linger_ms=5)
            sent = [
                self._producer.send(self._topic, key=kafka_key(event), value=msgspec.json.encode(event))
                for event in events
            ]
            for each in sent:
                each.get(timeout=ACKNOWLEDGE)
        except KafkaError as error:
            if self._producer is not None:
                discard(self._producer)
                self._producer = None
            raise TransientError(f"Kafka does not acknowledge mail.sent: {error!r}") from error


def _events(connection: Connection, organization_id: str, batches: Sequence[Any]) -> list[MailSent]:
    statement = select(message).where(
        message.c.organization_id == organization_id,
        message.c.batch_id.in_(batches),
        message.c.sent_at.is_not(None),
    )
    return [
        MailSent(
            specversion="1.0",
            id=f"{row.message_id}:sent",
            source=f"/{organization_id}/mailer",
            time=row.sent_at,
            data=MailData(
                organization_id=organization_id,
                message_id=str(row.message_id),
                campaign_id=row.campaign_id,
                customer_id=row.customer_id,
                email_id=row.provider_id,
            ),
        )
        for row in connection.execute(statement)
    ]
