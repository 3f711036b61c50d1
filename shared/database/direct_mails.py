"""Asks the mailer for a mail to one address, outside of campaigns: it alone calls the provider."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, insert

from shared.database.channels import MESSAGES, notify
from shared.database.tables import direct_mail

Kind = Literal["test", "verification"]


def request(
    connection: Connection,
    organization_id: str,
    kind: Kind,
    emails: Iterable[str],
    *,
    now: datetime,
    campaign_id: str | None = None,
    customer_id: str | None = None,
) -> list[uuid.UUID]:
    """Their ids. The mails go when the transaction has committed."""
    rows: list[dict[str, Any]] = [
        {
            "organization_id": organization_id,
            "mail_id": uuid.uuid4(),
            "kind": kind,
            "email": email,
            "campaign_id": campaign_id,
            "customer_id": customer_id,
            "due_at": now,
            "created_at": now,
        }
        for email in emails
    ]
    if rows:
        connection.execute(insert(direct_mail), rows)
        notify(connection, MESSAGES, organization_id)
    return [row["mail_id"] for row in rows]
