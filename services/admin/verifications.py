"""Asks a customer to confirm their address, by a mail with a link."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field
from sqlalchemy import Connection, select

from services.admin import audit, customers
from shared.database import direct_mails
from shared.database.tables import direct_mail, suppression
from shared.errors import ConflictError
from shared.keys import Key


class Verification(BaseModel):
    """A verification mail."""

    id: str
    customer_id: str
    email: str
    state: str = Field(description="planned, claimed, sent, failed or skipped.")


def request(connection: Connection, key: Key, customer_id: str, now: datetime) -> Verification:
    """Have it sent; one that is on its way already is given back. Raises NotFoundError and ConflictError."""
    found = customers.read(connection, key.organization_id, customer_id)
    if found.email is None:
        raise ConflictError("No address is known of this customer. Give them one first.")
    if found.email_verified:
        raise ConflictError("This address is verified already.")
    stopped = select(suppression.c.reason).where(
        suppression.c.organization_id == key.organization_id, suppression.c.email == found.email.lower()
    )
    if (reason := connection.execute(stopped).scalar()) is not None:
        raise ConflictError(f"This address is suppressed ({reason}): nothing is sent to it.")
    under_way = select(direct_mail).where(
        direct_mail.c.organization_id == key.organization_id,
        direct_mail.c.customer_id == customer_id,
        direct_mail.c.kind == "verification",
        direct_mail.c.email == found.email,
        direct_mail.c.state.in_(("planned", "claimed")),
    )
    row = connection.execute(under_way).first()
    if row is not None:
        return Verification(id=str(row.mail_id), customer_id=customer_id, email=row.email, state=row.state)
    (mail_id,) = direct_mails.request(
        connection, key.organization_id, "verification", [found.email], now=now, customer_id=customer_id
    )
    audit.record(connection, key, "customer.verification_requested", f"customer:{customer_id}")
    return Verification(id=str(mail_id), customer_id=customer_id, email=found.email, state="planned")
