"""What came back about a mail, written into the ledger of mail: the same result in whatever order and how often."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Connection, case, func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.ingest.publisher import Record
from shared.database.tables import customer, message, suppression
from shared.domain.events import decode, kafka_key, topic_of

Kind = Literal["delivered", "opened", "clicked", "bounced", "complained", "unsubscribed"]

# A message's state only moves to the right, however late the news of an earlier one arrives. It may be here before the
# mailer has written down that the mail went.
STATES: Final = ("planned", "claimed", "sent", "failed", "delivered", "bounced", "complained")


@dataclass(frozen=True, slots=True)
class Feedback:
    """One piece of news about a mail. `suppress` is the reason for never mailing that address again."""

    kind: Kind
    at: datetime
    email_id: str | None = None
    suppress: Literal["bounce", "complaint", "unsubscribe"] | None = None
    machine: bool = False
    link: str | None = None


class Mail(NamedTuple):
    """The mail that a piece of news is about; `at` is when it happened first, `email` None once it was erased."""

    organization_id: str
    message_id: str
    campaign_id: str
    customer_id: str
    email: str | None
    at: datetime


def record(connection: Connection, organization_id: str, message_id: UUID, news: Feedback) -> Mail | None:
    """Note it on the message, and suppress the address where that follows. None for a message we do not know."""
    column = message.c["machine_opened_at" if news.kind == "opened" and news.machine else f"{news.kind}_at"]
    changes: dict[str, Any] = {
        # The earliest wins; LEAST passes over null.
        column.name: func.least(column, news.at),
        "sent_at": func.coalesce(message.c.sent_at, news.at),
        "provider_id": func.coalesce(message.c.provider_id, news.email_id),
        "updated_at": func.now(),
    }
    if news.kind in STATES:
        earlier = STATES[: STATES.index(news.kind)]
        changes["state"] = case((message.c.state.in_(earlier), news.kind), else_=message.c.state)
    address = (
        select(customer.c.email)
        .where(customer.c.organization_id == message.c.organization_id, customer.c.customer_id == message.c.customer_id)
        .scalar_subquery()
    )
    statement = (
        update(message)
        .where(message.c.organization_id == organization_id, message.c.message_id == message_id)
        .values(changes)
        .returning(message.c.campaign_id, message.c.customer_id, func.coalesce(message.c.email, address), column)
    )
    row = connection.execute(statement).first()
    if row is None:
        return None
    mail = Mail(organization_id, str(message_id), *row)
    if news.suppress is not None and mail.email:
        suppressing = insert(suppression).values(
            organization_id=organization_id, email=mail.email.lower(), reason=news.suppress, at=news.at
        )
        connection.execute(suppressing.on_conflict_do_nothing())
    return mail


def mail_event(mail: Mail, news: Feedback, event_id: str) -> Record:
    """The `mail.*` event of a piece of news, for Kafka."""
    data: dict[str, Any] = {
        "organization_id": mail.organization_id,
        "message_id": mail.message_id,
        "campaign_id": mail.campaign_id,
        "customer_id": mail.customer_id,
    }
    if news.email_id is not None:
        data["email_id"] = news.email_id
    if news.kind in ("opened", "clicked"):
        data["machine"] = news.machine
    if news.kind == "clicked":
        data["link"] = news.link or ""
    return event_record(mail.organization_id, f"mail.{news.kind}", event_id, news.at, data)


def event_record(organization_id: str, kind: str, event_id: str, at: datetime, data: dict[str, Any]) -> Record:
    """An event as Kafka is to hold it; read once by the common door, so that no bad one leaves this house."""
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": f"/{organization_id}/mail",
        "type": kind,
        "time": at,
        "data": data,
    }
    raw = msgspec.json.encode(event)
    return Record(topic_of(kind), kafka_key(decode(raw, at)), raw)
