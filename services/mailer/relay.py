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

from services.mailer.batches import change
from services.mailer.rounds import LONGEST_SLEEP
from services.mailer.stencil import as_utf8, in_json
from shared.clock import Clock
from shared.database.tables import mail_batch
from shared.domain.event_structs import MailData
from shared.domain.events import MailSent
from shared.errors import TransientError
from shared.kafka_batches import Batches, batch_producer
from shared.settings import Settings
from shared.topics import Topic

BATCHES: Final = 64  # as many as a sender has in a cycle
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
            self._publish([event for batch in batches for event in events_of(batch)])
            # Names and addresses are needed no more; the provider's ids say which mail was which.
            change(connection, organization_id, [batch.batch_id for batch in batches], state="published", letters=None)
        return now

    def close(self) -> None:
        """End the connection. Call it when no step is running."""
        self._drop()
        self._runner.close()

    def _publish(self, events: Sequence[tuple[bytes, bytes]]) -> None:
        try:
            self._runner.run(self._send(events))
        except (KafkaError, OSError) as error:
            self._drop()
            raise TransientError(f"Kafka does not acknowledge mail.sent: {error!r}") from error

    async def _send(self, events: Sequence[tuple[bytes, bytes]]) -> None:
        if self._producer is None:
            self._producer = batch_producer(self._settings, ACKNOWLEDGE)
            await self._producer.start()
        batches = Batches(self._producer)
        await batches.add(self._topic, events)
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


class _Addressees(msgspec.Struct, frozen=True, gc=False):
    """What the events say of a batch's letters: the rest is passed over."""

    message_ids: list[str]
    customer_ids: list[str]


_read = msgspec.json.Decoder(_Addressees).decode
_read_ids = msgspec.json.Decoder(dict[str, str | None]).decode


def events_of(batch: Row[Any]) -> Iterator[tuple[bytes, bytes]]:
    """What Kafka is to hold, (key, value). The events of a batch differ in message, customer and provider's id only, so
    the rest stands ready; a test holds them equal to the event's own encoding.
    """
    if not batch.letters or not batch.ids:
        return
    template = _template(batch.organization_id, batch.campaign_id, batch.accepted_at)
    prefix = f"{batch.organization_id}/".encode()
    letters, ids = _read(batch.letters), _read_ids(batch.ids)
    customer_of = dict(zip(letters.message_ids, letters.customer_ids, strict=True))
    customer_ids = [customer_of[message_id] for message_id in ids]  # the others were refused
    emails = [b'"%b"' % text if text else b"null" for text in in_json([email_id or "" for email_id in ids.values()])]
    columns = (as_utf8(customer_ids), as_utf8([*ids]), in_json(customer_ids), emails)
    for customer, message, customer_json, email in zip(*columns, strict=True):
        yield prefix + customer, template % (message, message, customer_json, email)


def _template(organization_id: str, campaign_id: str, at: datetime) -> bytes:
    """Wants the message's id twice, the customer's inside of its quotes, and the provider's with them, or null."""
    event = MailSent(
        specversion="1.0",
        id="\0:sent",
        source=f"/{organization_id}/mailer",
        time=at,
        data=MailData(
            organization_id=organization_id,
            message_id="\0",
            campaign_id=campaign_id,
            customer_id="\0",
            email_id="\0",
        ),
    )
    text = msgspec.json.encode(event).replace(b"%", b"%%")
    first, second, third, fourth, end = text.split(b"\\u0000")
    return b"%b".join([first, second, third, fourth[:-1], end[1:]])
