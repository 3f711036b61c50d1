"""What came back about mails, into Kafka.

Each piece of news is kept in the transaction that writes it down, published, then taken out: nobody has to come again
because Kafka is away, and a crash in between publishes an event again under its id, which counts once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.dialects.postgresql import insert

from services.ingest import clicks
from services.ingest.background import Background
from services.ingest.publisher import Publisher
from services.ingest.records import Record
from shared.clock import Clock
from shared.database.tables import mail_news

MOST: Final = 1_000
ORGANIZATIONS: Final = text("SELECT organization_id FROM organization ORDER BY organization_id")
UNPUBLISHED: Final = text("""
SELECT organization_id, event_id, topic, record_key, event FROM mail_news WHERE organization_id = ANY(:ids) LIMIT :most
""")
PUBLISHED: Final = text("""
DELETE FROM mail_news n
USING unnest(CAST(:organizations AS text[]), CAST(:events AS text[])) AS p (organization_id, event_id)
WHERE n.organization_id = p.organization_id AND n.event_id = p.event_id
""")


def keep(connection: Connection, organization_id: str, events: Mapping[str, Record]) -> None:
    """Have them published once the transaction has committed; by their ids, so that a repetition is kept once."""
    rows = [
        {"organization_id": organization_id, "event_id": event_id, "topic": record.topic}
        | {"record_key": record.key, "event": record.value}
        for event_id, record in events.items()
    ]
    if rows:
        connection.execute(insert(mail_news).on_conflict_do_nothing(), rows)


class News(Background):
    """Publishes what was kept, at once when woken; and decides what clicks were when their time has come."""

    def __init__(self, engine: Engine, publisher: Publisher, clock: Clock) -> None:
        super().__init__("news")
        self._engine = engine
        self._publisher = publisher
        self._clock = clock

    async def step(self) -> None:
        """Settle clicks, publish all."""
        organizations = await asyncio.to_thread(self._organizations)
        await asyncio.to_thread(self._settle, organizations)
        while rows := await asyncio.to_thread(self._unpublished, organizations):
            await self._publisher.publish([Record(row.topic, row.record_key, row.event) for row in rows])
            await asyncio.to_thread(self._note, rows)
            if len(rows) < MOST:
                break

    def _organizations(self) -> list[str]:
        with self._engine.connect() as connection:
            return list(connection.execute(ORGANIZATIONS).scalars())

    def _settle(self, organizations: list[str]) -> None:
        for organization_id in organizations:
            while True:
                with self._engine.begin() as connection:
                    settled = clicks.settle(connection, organization_id, self._clock())
                    for each in settled:
                        keep(connection, organization_id, each)
                if len(settled) < clicks.MOST:
                    break

    def _unpublished(self, organizations: list[str]) -> Sequence[Row[Any]]:
        with self._engine.connect() as connection:
            return connection.execute(UNPUBLISHED, {"ids": organizations, "most": MOST}).all()

    def _note(self, rows: Sequence[Row[Any]]) -> None:
        places = {
            "organizations": [row.organization_id for row in rows],
            "events": [row.event_id for row in rows],
        }
        with self._engine.begin() as connection:
            connection.execute(PUBLISHED, places)
