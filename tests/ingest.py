"""A running ingest for tests: a real server on a free port, keys in the database, and what its topics hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
from fastapi import FastAPI
from kafka import KafkaConsumer
from kafka.structs import TopicPartition
from sqlalchemy import Engine, insert, select

from services.ingest.app import create_app
from shared.clock import Clock
from shared.database.engine import engine
from shared.database.tables import mail_news, organization
from shared.kafka import Topic
from shared.kafka_access import client_arguments
from shared.keys import Role, create_key
from shared.settings import IngestSettings
from tests.serving import serving
from tests.stack import eventually

NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)


def sale(number: int, organization_id: str = "demo", **data: Any) -> dict[str, Any]:
    """A good sale; `data` replaces parts of its data."""
    return {
        "specversion": "1.0",
        "id": f"e-{number}",
        "source": f"/{organization_id}/stores/s1/terminals/t7",
        "type": "sale.completed",
        "time": (NOW - timedelta(minutes=number % 1000)).isoformat(),
        "data": {
            "organization_id": organization_id,
            "store_id": "s1",
            "terminal_id": "t7",
            "sale_id": f"R-{number}",
            "customer_id": f"c-{number % 50}",
            "currency": "INR",
            "total": 9000,
            "discount": 500,
            "lines": [{"product_id": "p-1", "category": "Bakery", "quantity": 2, "unit_price": 4750, "total": 9500}],
        }
        | data,
    }


def ndjson(events: list[bytes]) -> bytes:
    return b"\n".join(events) + b"\n"


@dataclass
class Service:
    """Where it answers, and what stands behind it."""

    settings: IngestSettings
    client: httpx.Client
    engine: Engine
    token: str
    app: FastAPI | None = None
    tokens: dict[str, str] = field(default_factory=dict)

    def publish(self, events: Any, token: str | None = None, **headers: str) -> httpx.Response:
        """POST bytes as they are, everything else as JSON."""
        content = events if isinstance(events, bytes) else msgspec.json.encode(events)
        given = {"authorization": f"Bearer {token or self.token}", "content-type": "application/json"}
        return self.client.post("/v1/events", content=content, headers=given | headers)

    def key(self, role: Role = "terminal", organization_id: str = "demo") -> str:
        with self.engine.begin() as connection:
            return create_key(connection, organization_id, role, "test")[1]

    def told(self, topic: Topic = Topic.MAIL) -> list[dict[str, Any]]:
        """The events of a topic, once all that was kept for it is published."""
        eventually(self._nothing_kept)
        return [msgspec.json.decode(value) for _, value in self.held(topic)]

    def _nothing_kept(self) -> bool:
        with self.engine.connect() as connection:
            return connection.execute(select(mail_news.c.event_id)).first() is None

    def held(self, *topics: Topic) -> list[tuple[bytes, bytes]]:
        """Keys and values of all that Kafka holds now."""
        return consume(self.settings, *(topics or tuple(Topic)))


def consume(settings: IngestSettings, *topics: Topic) -> list[tuple[bytes, bytes]]:
    """Read from the start to the present end of the topics."""
    consumer = KafkaConsumer(**client_arguments(settings), metrics_enabled=False, max_poll_records=5000)
    try:
        partitions = [
            TopicPartition(topic.on(settings), number)
            for topic in topics
            for number in consumer.partitions_for_topic(topic.on(settings)) or ()
        ]
        ends = consumer.end_offsets(partitions)
        left = {partition for partition in partitions if ends[partition]}
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        found: list[tuple[bytes, bytes]] = []
        while left:
            for batch in consumer.poll(timeout_ms=500).values():
                found.extend((record.key, record.value) for record in batch)
            left = {partition for partition in left if consumer.position(partition) < ends[partition]}
        return found
    finally:
        consumer.close()


def organize(database: Engine, organization_id: str = "demo", currency: str = "INR") -> None:
    with database.begin() as connection:
        connection.execute(
            insert(organization).values(
                organization_id=organization_id, name="Asha's Bakery", currency=currency, time_zone="Asia/Kolkata"
            )
        )


@contextmanager
def running(settings: IngestSettings, *, ready: bool = True, clock: Clock = lambda: NOW) -> Iterator[Service]:
    """Serve in a thread of this process, with the organization `demo` and a terminal's key."""
    database = engine(settings.database)
    organize(database)
    with database.begin() as connection:
        token = create_key(connection, "demo", "terminal", "till")[1]
    app = create_app(settings, clock=clock)
    try:
        with serving(app) as client:
            if ready:
                eventually(lambda: client.get("/readyz").status_code == 200)
            yield Service(settings, client, database, token, app)
    finally:
        database.dispose()
