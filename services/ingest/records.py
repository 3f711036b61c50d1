"""What Kafka is to hold: a till's event as it came, or one of our own."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from shared.domain.events import decode, kafka_key, topic_of


class Record(NamedTuple):
    """`topic` is its published name, without the installation's prefix."""

    topic: str
    key: bytes
    value: bytes


def event_record(
    organization_id: str, kind: str, event_id: str, at: datetime, data: dict[str, Any], *, origin: str = "mail"
) -> Record:
    """An event of ours, whose source ends with `origin`; read once by the common door, so that no bad one leaves."""
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": f"/{organization_id}/{origin}",
        "type": kind,
        "time": at,
        "data": data,
    }
    raw = msgspec.json.encode(event)
    return Record(topic_of(kind), kafka_key(decode(raw, at)), raw)
