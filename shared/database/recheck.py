"""Asks the segmenter to look at customers again: it alone writes memberships."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from shared.database.tables import flip

FLIPS_CHANNEL = "regulars_flips"


def request(connection: Connection, organization_id: str, customer_ids: Iterable[str], now: datetime) -> None:
    """Have the memberships of these customers computed at once, in this transaction's wake, with cause `edit`."""
    rows = [
        {"organization_id": organization_id, "due_at": now, "customer_id": customer_id, "cause": "edit"}
        for customer_id in customer_ids
    ]
    if rows:
        connection.execute(insert(flip).on_conflict_do_nothing(), rows)
        connection.execute(
            text("SELECT pg_notify(:channel, :payload)"), {"channel": FLIPS_CHANNEL, "payload": organization_id}
        )
