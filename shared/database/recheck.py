"""Asks the segmenter to look at customers again: it alone writes memberships."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from shared.database.channels import FLIPS, notify
from shared.database.tables import flip


def request(connection: Connection, organization_id: str, customer_ids: Iterable[str], now: datetime) -> None:
    """Have the memberships of these customers computed at once, in this transaction's wake, with cause `edit`."""
    rows = [
        {"organization_id": organization_id, "due_at": now, "customer_id": customer_id, "cause": "edit"}
        for customer_id in customer_ids
    ]
    if rows:
        connection.execute(insert(flip).on_conflict_do_nothing(), rows)
        notify(connection, FLIPS, organization_id)
