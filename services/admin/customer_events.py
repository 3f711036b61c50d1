"""Changes of customers leave as events, as from a till: the ledger is the one source, the segmenter the one writer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from kafka import KafkaProducer
from kafka.errors import KafkaError
from sqlalchemy import Connection, func, select

from services.admin.publisher import connect
from shared.database.tables import ledger
from shared.domain.events import decode_till, kafka_key
from shared.errors import InvalidError, TransientError
from shared.kafka import Topic
from shared.settings import Settings

COUNTED_SECONDS = 3.0
POLL_SECONDS = 0.005
ACKNOWLEDGE_SECONDS = 10.0
CONSOLE = "console"  # the last part of the source of events that come from here


class Change(NamedTuple):
    """One event to be: its id, type and data beside organization_id."""

    event_id: str
    type: str
    data: dict[str, Any]


class Record(NamedTuple):
    """What Kafka takes."""

    key: bytes
    value: bytes


class CustomerEvents:
    """Publishes changes. Safe to use from many threads; connects at first use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connecting = threading.Lock()
        self._producer: KafkaProducer | None = None

    def publish(self, organization_id: str, changes: list[Change], now: datetime) -> None:
        """Publish; returns once Kafka holds all. Raises InvalidError (`field` without `data.`) and TransientError."""
        records = [record(organization_id, CONSOLE, change, now) for change in changes]
        topic = Topic.CUSTOMERS.on(self._settings)
        try:
            sent = [self._connected().send(topic, each.value, each.key) for each in records]
            for each in sent:
                each.get(ACKNOWLEDGE_SECONDS)
        except KafkaError as error:
            self.close()  # what broke may be the client: the next request makes a new one
            raise TransientError("Kafka does not answer, so nothing was changed for certain. Try again.", 5) from error

    def close(self) -> None:
        """Send what is waiting and give back the connections."""
        with self._connecting:
            old, self._producer = self._producer, None
        if old is not None:
            old.close(1)

    def _connected(self) -> KafkaProducer:
        with self._connecting:
            if self._producer is None:
                self._producer = connect(
                    self._settings,
                    client_id="regulars-admin",
                    max_block_ms=5_000,
                    delivery_timeout_ms=int(ACKNOWLEDGE_SECONDS * 1_000),
                    request_timeout_ms=int(ACKNOWLEDGE_SECONDS * 500),
                )
            return self._producer


def are_counted(connection: Connection, organization_id: str, changes: list[Change]) -> bool:
    """Whether the ledger holds all of these already."""
    wanted = select(func.count()).where(
        ledger.c.organization_id == organization_id,
        ledger.c.source == f"/{organization_id}/{CONSOLE}",
        ledger.c.event_id.in_([change.event_id for change in changes]),
    )
    return connection.execute(wanted).scalar_one() == len(changes)


def wait_until_counted(connection: Connection, organization_id: str, changes: list[Change]) -> bool:
    """Wait for the segmenter, a few milliseconds as a rule; False after three seconds."""
    return wait_until(lambda: are_counted(connection, organization_id, changes))


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether `condition` became true within three seconds."""
    end = time.monotonic() + COUNTED_SECONDS
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True


def record(organization_id: str, origin: str, change: Change, now: datetime) -> Record:
    """A change as Kafka takes it. Raises InvalidError, with `field` as the request says it, without `data.`."""
    event = {
        "specversion": "1.0",
        "id": change.event_id,
        "source": f"/{organization_id}/{origin}",
        "type": change.type,
        "time": now.isoformat(),
        "data": {"organization_id": organization_id} | change.data,
    }
    value = json.dumps(event).encode()
    try:
        return Record(kafka_key(decode_till(value, now)), value)
    except InvalidError as error:
        raise InvalidError(error.message, error.field.removeprefix("data."), error.code) from None
