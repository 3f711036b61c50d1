"""Dead letters as an operator sees them: listed, shown, and published again to the topic that they came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select, true, update

from shared.database.engine import engine
from shared.database.tables import dead_letter
from shared.kafka import producer
from shared.kafka_trouble import reach
from shared.settings import Settings

AT_ONCE = 50  # of up to 2 MB each
Progress = Callable[[int], None]


@dataclass(frozen=True)
class DeadLetter:
    """A record that did not count. (topic, partition, offset) is its place in Kafka."""

    organization_id: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    reason: str
    message: str
    recorded_at: datetime
    replayed_at: datetime | None

    @property
    def place(self) -> str:
        """As `show` and `replay --at` take it: pos.sales.v1/3/1042."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    def as_json(self) -> dict[str, Any]:
        return {
            "organization_id": self.organization_id,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "reason": self.reason,
            "message": self.message,
            "key": self.key.decode("utf-8", "replace") if self.key is not None else None,
            "value": self.value.decode("utf-8", "replace"),
            "recorded_at": self.recorded_at.isoformat(),
            "replayed_at": self.replayed_at.isoformat() if self.replayed_at else None,
        }


def chosen(reason: str | None, place: str | None, *, replayed: bool = False) -> ColumnElement[bool]:
    """Which letters are meant: by reason, by place (topic/partition/offset), or all that were not replayed yet."""
    parts: list[ColumnElement[bool]] = [true() if replayed else dead_letter.c.replayed_at.is_(None)]
    if reason:
        parts.append(dead_letter.c.reason == reason)
    if place:
        topic, partition, offset = place.rsplit("/", 2)
        parts += [
            dead_letter.c.topic == topic,
            dead_letter.c.partition == int(partition),
            dead_letter.c.offset == int(offset),
        ]
    return and_(*parts)


def read(settings: Settings, which: ColumnElement[bool], limit: int | None = None) -> list[DeadLetter]:
    """Letters in the order in which they came, of all organizations."""
    columns = [dead_letter.c[name] for name in DeadLetter.__dataclass_fields__]
    order = (dead_letter.c.recorded_at, dead_letter.c.topic, dead_letter.c.partition, dead_letter.c.offset)
    reader = engine(settings.database)
    with reader.connect() as connection:
        rows = connection.execute(select(*columns).where(which).order_by(*order).limit(limit)).all()
    reader.dispose()
    return [DeadLetter(*row) for row in rows]


def counts(settings: Settings, which: ColumnElement[bool]) -> dict[str, int]:
    """How many there are, by reason."""
    reader = engine(settings.database)
    with reader.connect() as connection:
        query = select(dead_letter.c.reason, func.count()).where(which).group_by(dead_letter.c.reason)
        rows = connection.execute(query.order_by(dead_letter.c.reason)).all()
    reader.dispose()
    return {row[0]: row[1] for row in rows}


def replay(settings: Settings, which: ColumnElement[bool], progress: Progress = lambda _: None) -> int:
    """Publish letters again, bytes and key as they were, to the topics they came from; returns how many.

    A replay that dies half-way is repeated without harm: the ledger counts an event once. What is still wrong comes
    back as a new letter, perhaps while this goes on: only those that were there at its start are meant. Raises
    SetupError or TransientError where Kafka does not let us in.
    """
    done = 0
    reach(settings)
    writer, sink = engine(settings.database), producer(settings, linger_ms=5)
    try:
        with writer.connect() as connection:
            started = connection.scalar(select(func.now()))
        due = and_(which, dead_letter.c.replayed_at.is_(None), dead_letter.c.recorded_at < started)
        while letters := read(settings, due, AT_ONCE):
            sent = [sink.send(letter.topic, key=letter.key, value=letter.value) for letter in letters]
            for future in sent:
                future.get(timeout=30)
            with writer.begin() as connection:
                for letter in letters:
                    mark = (
                        update(dead_letter)
                        .values(replayed_at=func.now())
                        .where(dead_letter.c.organization_id == letter.organization_id, chosen(None, letter.place))
                    )
                    connection.execute(mark)
            done += len(letters)
            progress(len(letters))
    finally:
        sink.close()
        writer.dispose()
    return done
